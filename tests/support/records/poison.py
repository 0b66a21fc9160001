"""Bad records a topic gets from hostile or confused producers, and the reason each must get.

One rule gives the reason. The size of key, value and headers is judged first (`too_large`); then the typed JSON decoder: what
is no JSON, no UTF-8 or nested too deep is `undecodable`, JSON that breaks the contract is `invalid`; then the clock
(`future_timestamp`). Each bad record has one thing wrong with it, so the order of checks inside a step is free.
`half_event_head` and `half_event_tail` are one good event when a comma joins them, and `two_events_comma` is two: a
decoder that joins a batch into one array and trusts the number of results applies what it must refuse.
What is odd but good stands in oddities.py.
"""

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.records.oddities import (
    AT_MS,
    FRAME,
    GOOD_ODDITIES,
    MAX_LABELS,
    MAX_RECORD_BYTES,
    MODULE,
    STRUCTURED,
    GoodOddity,
    Headers,
    envelope,
    good_oddities,
    padded,
    raw,
    rfc3339,
)

__all__ = ["AT_MS", "GOOD_ODDITIES", "POISON", "GoodOddity", "PoisonKind", "good_oddities", "poison_kinds", "raw"]


@dataclass(frozen=True, slots=True)
class PoisonKind:
    """One bad record and the contract's reason for it."""

    name: str
    value: bytes | None
    key: bytes | None
    headers: Headers
    reason: str
    note: str


def _undecodable(at: int) -> dict[str, bytes | None]:
    good = raw(at)
    return {
        "null_value": None,
        "empty": b"",
        "only_whitespace": b" \r\n\t",
        "nesting_30k_arrays": raw(at, ',"x":' + "[" * 30_000 + "]" * 30_000),
        "nesting_10k_objects_unclosed": b'{"a":' * 10_000,
        "nan": raw(at, response_time_ms="NaN"),
        "infinity": raw(at, response_time_ms="Infinity"),
        "minus_infinity": raw(at, response_time_ms="-Infinity"),
        "nan_gauge": raw(at, ',"cpu_percent":NaN'),
        "nan_in_unknown_field": raw(at, ',"x":NaN'),
        "hexadecimal_number": raw(at, response_time_ms="0x10"),
        "leading_zero": raw(at, response_time_ms="01"),
        "plus_sign": raw(at, response_time_ms="+1"),
        "python_literals": raw(at, success="True"),
        "invalid_utf8": good.replace(b"checkout", b"check\xffout"),
        "truncated_utf8": good.replace(b"checkout", b"checkout\xc3"),
        "overlong_utf8": good.replace(b"checkout", b"\xc0\xafcheckout"),
        "raw_surrogate": good.replace(b"checkout", b"check\xed\xa0\x80out"),
        "lone_surrogate_escape": raw(at, module_id='"check\\ud800out"'),
        "low_surrogate_escape": raw(at, module_id='"check\\udc00out"'),
        "bad_escape": raw(at, module_id='"check\\x41"'),
        "raw_newline_in_id": raw(at, module_id='"check\nout"'),
        "raw_nul_in_id": raw(at, module_id='"check\0out"'),
        "raw_ansi_escape_in_id": raw(at, module_id='"check\x1b[31mout"'),
        "utf16": good.decode().encode("utf-16"),
        "utf16_without_mark": good.decode().encode("utf-16-le"),
        "byte_order_mark": b"\xef\xbb\xbf" + good,
        "gzip": gzip.compress(good, mtime=0),
        "truncated": good[:-9],
        "half_event_head": good[:-1] + b',"x":"a',
        "half_event_tail": b'b"}',
        "two_events_comma": good + b"," + good,
        "two_events": good + good,
        "two_events_newline": good + b"\n" + good,
        "trailing_garbage": good + b" garbage",
        "trailing_comma": raw(at, ","),
        "trailing_nul": good + b"\0",
        "comment": b"/* hello */" + good,
        "single_quotes": good.replace(b'"', b"'"),
        "plain_text": b"checkout answered in 1.5 ms",
        "xml": b"<event><module_id>checkout</module_id></event>",
        "zero_bytes": bytes(64),
        "frame_alone": FRAME,
        "frame_truncated": FRAME[:3],
        "frame_garbage": FRAME + b"\x02\x10checkout",
        "frame_twice": FRAME + FRAME + good,
        "frame_magic_1": b"\x01" + bytes(range(16)) + good,
    }


def _invalid(at: int) -> dict[str, bytes]:
    kinds = {
        "array_of_events": b"[" + raw(at) + b"," + raw(at) + b"]",
        "empty_array": b"[]",
        "empty_object": b"{}",
        "json_null": b"null",
        "json_true": b"true",
        "json_number": b"42",
        "json_string": b'"hello"',
        "json_in_a_string": json.dumps(raw(at).decode()).encode(),
        "wrong_case": raw(at).replace(b"module_id", b"Module_Id"),
        "camel_case": raw(at).replace(b"response_time_ms", b"responseTimeMs"),
        "wrapped": b'{"event":' + raw(at) + b"}",
        "frame_around_invalid": FRAME + raw(at, without="success"),
        "too_many_labels": raw(at, ',"labels":' + json.dumps({f"l{i}": "v" for i in range(MAX_LABELS + 1)})),
        "label_value_too_long": raw(at, f',"labels":{{"a":"{"v" * 257}"}}'),
        "label_key_too_long": raw(at, f',"labels":{{"{"k" * 65}":"v"}}'),
    }
    kinds |= {f"missing_{f}": raw(at, without=f) for f in ("module_id", "timestamp", "success", "response_time_ms")}
    wrong: dict[str, dict[str, str]] = {
        "module_id": {"null": "null", "number": "5", "empty": '""', "too_long": f'"{"x" * 201}"', "object": "{}"}
        | {"blank": '" "', "blanks": '"\u2003 \u200b\u3000"'}
        | {f"U+{c:04X}": f'"check\\u{c:04x}out"' for c in (0, 7, 9, 10, 0x1B, 0x7F, 0x85, 0x9F)}
        | {f"U+{c:04X}": f'"check{chr(c)}out"' for c in (0x61C, 0x200E, 0x200F, 0x202A, 0x202E, 0x2066, 0x2069)},
        "timestamp": {"null": "null", "bool": "true", "negative": "-1", "seconds_fraction": f"{at // 1000}.123"}
        | {"object": "{}", "huge": "9" * 5000, "beyond_int64": str(2**63), "zero": "0", "fraction": f"{at}.5"}
        | {
            "seconds": str(at // 1000),
            "microseconds": f"{at}000",
            "nanoseconds": f"{at}000000",
            "int64": str(2**63 - 1),
        }
        | {"seconds_exponent": "1.7e9", "last_of_1972": "94694399999", "first_microsecond": "94694400000000"}
        | {name: f'"{text}"' for name, text in _bad_times(at).items()},
        "success": {"null": "null", "number": "1", "string": '"true"'},
        "response_time_ms": {"null": "null", "bool": "true", "string": '"12"', "nan_string": '"NaN"', "array": "[1]"}
        | {"negative": "-1", "1e400": "1e400", "5000_digits": "9" * 5000},
    }
    gauges = {"negative": "-1", "string": '"1"', "bool": "true", "fraction": "1.5", "beyond_int64": str(2**63)}
    optional = dict.fromkeys(("memory_bytes", "goroutines", "db_connections"), gauges) | {
        "cpu_percent": {"negative": "-0.1", "string": '"1"', "bool": "true", "1e400": "1e400"},
        "event_id": {"number": "5", "too_long": f'"{"x" * 257}"'},
        "labels": {"array": "[]", "string": '"a"', "value_number": '{"a":1}', "value_null": '{"a":null}'},
    }
    return (
        kinds
        | {f"{field}_{what}": raw(at, **{field: text}) for field, ways in wrong.items() for what, text in ways.items()}
        | {f"{f}_{what}": raw(at, f',"{f}":{text}') for f, ways in optional.items() for what, text in ways.items()}
    )


def _bad_times(at: int) -> dict[str, str]:
    text = rfc3339(at)[:23]  # 2026-06-01T12:00:00.000
    return {
        "no_offset": text,
        "offset_without_colon": f"{text}+0100",
        "offset_too_large": f"{text}+25:00",
        "offset_with_seconds": f"{text}+01:00:30",
        "offset_name": f"{text} UTC",
        "date_only": text[:10],
        "basic_format": f"{text[:19].replace('-', '').replace(':', '')}Z",
        "week_date": "2026-W23-1T12:00:00Z",
        "month_13": "2026-13-01T12:00:00Z",
        "february_29": "2026-02-29T12:00:00Z",
        "hour_24": "2026-06-01T24:00:01Z",
        "minute_60": "2026-06-01T12:60:00Z",
        "decimal_comma": f"{text[:19]},5Z",
        "leading_space": f" {text}Z",
        "arabic_digits": "٢٠٢٦-06-01T12:00:00Z",
        "before_1970": "1969-12-31T23:59:59Z",
        "before_1973": "1972-12-31T23:59:59.999Z",
        "second_60": "2026-06-30T23:59:60Z",
        "february_30": "2028-02-30T12:00:00Z",
        "line_end": f"{text}Z\\n",
        "number_in_text": str(at),
        "words": "yesterday",
        "empty_text": "",
    }


def _structured(at: int) -> dict[str, tuple[str, bytes]]:
    event = raw(at).decode()
    return {
        "cloudevent_truncated": ("undecodable", envelope(event)[:-1]),
        "cloudevent_base64_of_garbage": ("undecodable", envelope(f'"{_base64(b"garbage")}"', "data_base64")),
        "cloudevent_base64_not_ascii": ("undecodable", envelope('"é"', "data_base64")),
        "cloudevent_base64_cut": ("undecodable", envelope('"a"', "data_base64")),
        "cloudevent_without_data": ("invalid", envelope("1", "subject_number")),
        "cloudevent_data_string": ("invalid", envelope('"hello"')),
        "cloudevent_data_incomplete": ("invalid", envelope(raw(at, without="timestamp").decode())),
        "cloudevent_without_specversion": ("invalid", envelope(event).replace(b'"specversion":"1.0",', b"")),
        "cloudevent_batch": ("invalid", b"[" + envelope(event) + b"]"),
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def poison_kinds(at_ms: int = AT_MS) -> tuple[PoisonKind, ...]:
    """Return every bad record. Where they carry a readable event time it is `at_ms`, or far in the future."""
    key = MODULE.encode()
    future = {"year_2100": str(4_102_444_800_000), "last_millisecond": "94694399999999"}
    future |= {"text_2100": '"2100-01-01T00:00:00Z"', "text_9999": '"9999-12-31T23:59:59.999-12:00"'}
    large: dict[str, bytes] = {"value": padded(at_ms, MAX_RECORD_BYTES + 1), "not_json": b"x" * 100_000}
    large |= {"one_byte_over": padded(at_ms, MAX_RECORD_BYTES + 1 - len(key))}
    large |= {"nesting_200k": b"[" * 200_000, "long_id": raw(at_ms, module_id=f'"{"x" * 100_000}"')}
    values: Mapping[str, tuple[str, bytes | None]] = (
        {name: ("undecodable", value) for name, value in _undecodable(at_ms).items()}
        | {name: ("invalid", value) for name, value in _invalid(at_ms).items()}
        | {f"future_{name}": ("future_timestamp", raw(at_ms, timestamp=text)) for name, text in future.items()}
        | {f"too_large_{name}": ("too_large", value) for name, value in large.items()}
    )
    plain = [PoisonKind(name, value, key, (), reason, "") for name, (reason, value) in values.items()]
    structured = [PoisonKind(n, value, key, STRUCTURED, why, "") for n, (why, value) in _structured(at_ms).items()]
    garbage, spoofed = b"{garbage", ((f"modpulse.errors.{n}", b"late") for n in ("reason", "offset"))
    return (
        *plain,
        *structured,
        PoisonKind("no_key", garbage, None, (), "undecodable", "the dead letter has no key either"),
        PoisonKind("key_not_utf8", garbage, b"\xff\xfe", (), "undecodable", "the key stays as it is"),
        PoisonKind("empty_key", garbage, b"", (), "undecodable", "an empty key is not a missing key"),
        PoisonKind("header_null", garbage, key, (("trace", None),), "undecodable", "a header may have no value"),
        PoisonKind("header_not_utf8", garbage, key, (("trace", b"\xff"),), "undecodable", "header values are bytes"),
        *_large_but_for_the_value(at_ms),
        PoisonKind("headers_spoofed", garbage, key, tuple(spoofed), "undecodable", "the worker's own reason must win"),
    )


def _large_but_for_the_value(at_ms: int) -> list[PoisonKind]:
    """Records whose value is an ordinary event, or nothing, and whose other parts are not."""
    good, key, most = raw(at_ms), MODULE.encode(), MAX_RECORD_BYTES
    room = most - len(good) - len(key)
    parts: dict[str, tuple[bytes | None, Headers, bytes | None]] = {
        "key": (b"k" * most, (), good),
        "key_of_a_tombstone": (b"k" * (most + 1), (), None),
        "key_not_utf8": (b"\xff" * (most + 1), (), b"{garbage"),
        "header_one_byte_over": (key, (("h", b"x" * (room - 8)),), good),
        "header_name": (key, (("n" * (room - 7), None),), good),
        "header_name_of_two_bytes": (key, (("ü" * (room // 2), b""),), good),
        "headers_foreign_key": (b"somebody-else", (("h", b"x" * most),), good),
        "headers_many": (key, (("", None),) * (room // 8 + 1), good),
        "all_together": (b"k" * 30_000, (("h", b"x" * 30_000),), padded(at_ms, 30_000)),
    }
    return [
        PoisonKind(f"too_large_{name}", value, own, headers, "too_large", "more than its value counts")
        for name, (own, headers, value) in parts.items()
    ]


POISON: tuple[PoisonKind, ...] = poison_kinds()
