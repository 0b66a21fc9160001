"""Unusual records that are valid and must be counted, with the event each stands for, and builders of record bytes.

Every oddity has a module id of its own, so that one wrong answer shows as one wrong module.
"""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

Headers = tuple[tuple[str, bytes | None], ...]

AT_MS = 1_780_315_200_000  # 2026-06-01T12:00:00Z
MODULE = "checkout"
MAX_RECORD_BYTES = 65_536
MAX_LABELS = 32
STRUCTURED: Headers = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
FRAME = b"\x00\x00\x00\x00\x07"


@dataclass(frozen=True, slots=True)
class GoodOddity:
    """One unusual record that is valid, and the event it stands for (always a success)."""

    name: str
    value: bytes
    key: bytes | None
    headers: Headers
    module_id: str
    timestamp_ms: int
    response_time_ms: float
    note: str


def raw(at_ms: int, extra: str = "", without: str = "", **literals: str) -> bytes:
    """Return a successful event as bytes; each field's value is given as the text that stands in the JSON."""
    fields = {"module_id": f'"{MODULE}"', "timestamp": str(at_ms), "success": "true", "response_time_ms": "1.5"}
    fields |= literals
    fields.pop(without, None)
    text = ",".join(f'"{name}":{literal}' for name, literal in fields.items())
    return f"{{{text}{extra}}}".encode()


def padded(at_ms: int, size: int, **literals: str) -> bytes:
    """Return an event of exactly `size` bytes, filled up in an unknown field."""
    bare = raw(at_ms, ',"padding":""', **literals)
    return bare.replace(b'"padding":""', b'"padding":"' + b"x" * (size - len(bare)) + b'"')


def rfc3339(at_ms: int, offset_minutes: int = 0, digits: int = 3) -> str:
    """Return a time as RFC 3339 text with a numeric offset and 3 or more fraction digits."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    text = moment.astimezone(timezone(timedelta(minutes=offset_minutes))).isoformat(timespec="milliseconds")
    return text[:23] + "0" * (digits - 3) + text[23:]


def envelope(data: str, name: str = "data") -> bytes:
    """Return a CloudEvents envelope in structured mode around a JSON text."""
    return f'{{"specversion":"1.0","id":"a1","source":"/shop","type":"module.log","{name}":{data}}}'.encode()


def _shapes(at: int) -> list[GoodOddity]:
    """Odd JSON around an ordinary event."""
    oddities = []

    def add(name: str, extra: str = "", note: str = "", text: str = "1.5", expected: float = 1.5) -> None:
        module = f"odd-{name}"
        value = raw(at, extra, module_id=f'"{module}"', response_time_ms=text)
        oddities.append(GoodOddity(name, value, module.encode(), (), module, at, expected, note))

    add("unknown-fields", extra=',"host":"a","pid":7,"tags":[1,{"b":null}]', note="ignored")
    add("deep-unknown-field", extra=',"x":' + "[" * 100 + "]" * 100, note="skipped, not kept")
    add("unknown-overflow", extra=',"x":1e400', note="nobody reads the number")
    add("duplicate-key", extra=',"response_time_ms":2.5', expected=2.5, note="the last one wins")
    nulls = ("event_id", "memory_bytes", "goroutines", "db_connections", "cpu_percent", "labels")
    add("null-optionals", extra="".join(f',"{name}":null' for name in nulls), note="as if not sent")
    add("empty-labels", extra=',"labels":{}')
    add("empty-event-id", extra=',"event_id":""', note="as if not sent")
    add("most-labels", extra=',"labels":' + json.dumps({f"l{i}": "v" * 256 for i in range(MAX_LABELS)}))
    add("largest-gauges", extra=f',"memory_bytes":{2**63 - 1},"goroutines":0,"cpu_percent":6400.5')
    add("integer", text="5", expected=5.0)
    add("zero", text="0", expected=0.0)
    add("minus-zero", text="-0.0", expected=0.0, note="is zero, not negative")
    add("largest", text="1e308", expected=1e308, note="two of them overflow a naive sum, one a naive square")
    add("smallest", text="5e-324", expected=5e-324, note="a subnormal")
    add("underflow", text="1e-400", expected=0.0, note="rounds to zero")
    add("exponent", text="1.5E+0", expected=1.5)
    add("many-digits", text="1.5" + "0" * 3000, expected=1.5)
    add(
        "whole-gauges",
        extra=',"memory_bytes":1048576.0,"goroutines":1e2,"db_connections":-0.0',
        note="integers by value",
    )
    add(
        "half-a-pair-unread",
        extra=',"x":"\\ud83d","\\udc00":{"y":["\\ude00\\ud83dz"]}',
        note="in fields that nobody reads",
    )
    add("backslash-before-u", extra=',"x":"\\\\ud83d \\ud83d\\ude00"', note="an escaped backslash and a whole pair")
    return oddities


def _times(at: int) -> list[GoodOddity]:
    """RFC 3339 in all its spellings, and numbers in all of theirs."""
    utc = rfc3339(at)[:23]
    texts = {
        "offset-nepal": rfc3339(at, 345),
        "offset-west": rfc3339(at, -570),
        "offset-largest": rfc3339(at, 14 * 60),
        "offset-minus-zero": f"{utc}-00:00",
        "nanoseconds": rfc3339(at, 0, 9),
        "zulu": f"{utc}Z",
        "lower-case": f"{utc}z".replace("T", "t"),
        "tenths": f"{rfc3339(at - at % 1000)[:19]}.0Z",
        "no-fraction": f"{rfc3339(at - at % 1000)[:19]}Z",
    }
    whole = {"tenths", "no-fraction"}
    numbers = {"point-zero": f"{at}.0", "exponent": f"{at / 10**12!r}e12", "capital": f"{at}00E-2"}
    return [
        GoodOddity(
            f"time-{name}",
            raw(at, module_id=f'"odd-time-{name}"', timestamp=text),
            f"odd-time-{name}".encode(),
            (),
            f"odd-time-{name}",
            at,
            1.5,
            text,
        )
        for name, text in numbers.items()
    ] + [
        GoodOddity(
            f"time-{name}",
            raw(at, module_id=f'"odd-time-{name}"', timestamp=f'"{text}"'),
            f"odd-time-{name}".encode(),
            (),
            f"odd-time-{name}",
            at - at % 1000 if name in whole else at,
            1.5,
            text,
        )
        for name, text in texts.items()
    ]


def _ids(at: int) -> list[GoodOddity]:
    """Module ids that are text like any other, whatever a page, a sheet, a log or a key parser makes of them."""
    ids = {
        "one-char": "x",
        "spaced": " x ",
        "longest": "x" * 200,
        "longest-emoji": "🚂" * 200,
        "family": "👨‍👩‍👧",
        "umlaut": "süßwaren",
        "hebrew": "קופה",
        "pipe": "shop|30s|1780315200000",
        "glob": "*[a-z]?",
        "csv-formula": "=cmd|' /C calc'!A1",
        "html": "<script>alert(1)</script>",
        "lookup": "${jndi:ldap://example.invalid/a}",
        "sql": "'; DROP TABLE windows; --",
        "path": "../../etc/passwd",
        "placeholder": "{module_id} %s {0}",
        "prometheus": 'a"} 1\\n# EOF',
        "null-text": "null",
    }
    oddities = [
        GoodOddity(f"id-{name}", raw(at, module_id=json.dumps(text)), text.encode(), (), text, at, 1.5, "escaped")
        for name, text in ids.items()
    ]
    plain = raw(at, module_id='"odd-raw-Ü🚂"')
    oddities.append(
        GoodOddity("id-unescaped", plain, "odd-raw-Ü🚂".encode(), (), "odd-raw-Ü🚂", at, 1.5, "plain UTF-8")
    )
    return oddities


def _wrappings(at: int) -> list[GoodOddity]:
    """Whitespace, frames, envelopes, keys and headers around an ordinary event."""
    oddities = []

    def add(name: str, value: bytes, headers: Headers = (), note: str = "") -> None:
        module = f"odd-{name}"
        value = value.replace(MODULE.encode(), module.encode())
        oddities.append(GoodOddity(name, value, module.encode(), headers, module, at, 1.5, note))

    event = raw(at)
    based = base64.b64encode(event.replace(MODULE.encode(), b"odd-cloudevent-base64")).decode()
    reordered = envelope(event.decode()).replace(b'{"specversion":"1.0",', b"{")[:-1] + b',"specversion":"1.0"}'
    binary: Headers = (("content-type", b"application/json"), ("ce_specversion", b"1.0"), ("ce_id", b"a1"))
    odd_headers: Headers = (("trace", None), ("trace", b"\xff\xfe"), ("", b""), *((f"h{i}", b"v") for i in range(100)))
    add("whitespace", b" \r\n\t" + event + b" \r\n")
    add("pretty-printed", json.dumps(json.loads(event), indent=2).encode(), note="line ends inside")
    add("escaped-key", event.replace(b'"module_id"', b'"module\\u005fid"'), note="the same key, spelled otherwise")
    add("frame", FRAME + event, note="Confluent: magic 0 and a schema id")
    add("frame-and-whitespace", FRAME + b"\n" + event)
    add("cloudevent", envelope(event.decode()), STRUCTURED, "structured mode")
    add("cloudevent-upper-case", envelope(event.decode()), (("content-type", b"Application/CloudEvents+JSON"),))
    add("cloudevent-reordered", reordered, STRUCTURED, "the data before the version")
    add("cloudevent-without-header", envelope(event.decode()), (), "told by its members")
    add("cloudevent-framed", FRAME + envelope(event.decode()), (), "both wrappings")
    add("cloudevent-base64", envelope(f'"{based}"', "data_base64"), STRUCTURED)
    add("cloudevent-binary", event, binary, "binary mode: the value is the event")
    add("odd-headers", event, odd_headers, "null, not UTF-8, repeated, nameless, many")
    for name, key in {
        "no-key": None,
        "empty-key": b"",
        "foreign-key": b"somebody-else",
        "key-not-utf8": b"\xff",
    }.items():
        value = event.replace(MODULE.encode(), f"odd-{name}".encode())
        oddities.append(GoodOddity(name, value, key, (), f"odd-{name}", at, 1.5, "forwarded, then counted once"))
    for name, headers in (
        ("largest-record", ()),
        ("largest-record-with-headers", (("", None), ("trace", b"x" * 30_000))),
    ):
        module = f"odd-{name}"
        own = len(module) + sum(8 + len(header) + len(value or b"") for header, value in headers)
        largest = padded(at, MAX_RECORD_BYTES - own, module_id=f'"{module}"')
        oddities.append(GoodOddity(name, largest, module.encode(), headers, module, at, 1.5, "key and headers count"))
    return oddities


def good_oddities(at_ms: int = AT_MS) -> tuple[GoodOddity, ...]:
    """Return every oddity as an event of the time `at_ms` (two of them of its whole second)."""
    return (*_shapes(at_ms), *_times(at_ms), *_ids(at_ms), *_wrappings(at_ms))


GOOD_ODDITIES: tuple[GoodOddity, ...] = good_oddities()
