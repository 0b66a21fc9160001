"""One definition of valid: the worker (compiled and not), `validate` and the published schemas judge each record alike.

Records are made near each border: lengths, numbers, times, characters, framing. Each has one or two odd parts.
"""

import base64
import json
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import CoreConfig, WindowConfig
from pipeline.ingest.batch import RecordBatch
from pipeline.ingest.ingest import Ingest
from pipeline.modules.registry import Modules
from pipeline.outputs import Outbox
from schemas import export
from schemas.state import Ledger
from schemas.valid import published
from schemas.valid.reading import read_event
from schemas.valid.rules import BIDI_CONTROLS, BLANKS, FIRST_MICROSECOND, FIRST_MS, FIRST_NANOSECOND, EventRules
from tests.support.core.cores import fixed
from tests.support.records.oddities import AT_MS, FRAME, STRUCTURED, Headers

TOPIC = "module-log-events"
FAR_MS = 1 << 62  # a clock that finds nothing to be in the future
MAX_GAUGE = 2**63 - 1


class Made(NamedTuple):
    """A record and the JSON text of the event in it."""

    value: bytes
    headers: Headers
    inner: bytes


def near(*numbers: int) -> list[str]:
    """Literals at and beside numbers, in each notation."""
    around = [number + step for number in numbers for step in (-1, 0, 1)]
    return [form.format(number) for number in around for form in ("{}", "{}.0", "{}.5", "{}e0", "{}0E-1")]


HALVES = (
    "\\ud83d",
    "\\ude00",
    "\\ude00\\ud83d",
    "\\\\ud83d",
    "\\ud83d\\ude00",
    "\\uD83D\\u0041",
    "\\udfff",
    "\\ud83d\\n",
)
TEXTS = ("", "a", " ", "\\u0000", "\\u0020", "\\ufffd", "ü", "🚂", "\\/", "\\x", "\\", "\t", *HALVES)
ODD_VALUES = ("null", "true", "false", "[]", "{}", '"1"', "1", "-1", "-0", "1e400", "NaN", "01", "tru", "")
GAUGES = [*near(0, 1, 2**53, MAX_GAUGE, 2**64, 10**20), "-0.0", "1e-400", "1e18", "1.5e0", "1048576.000", "1e400"]
NUMBERS = [*near(0, 2**53, 2**63), "-0.0", "1e-400", "-1e-400", "1.7976931348623157e308", "1.8e308", "1e400", "5e-324"]
STAMPS = near(0, FIRST_MS // 1000, FIRST_MS, FIRST_MICROSECOND, FIRST_NANOSECOND, AT_MS, MAX_GAUGE)
DATES = (
    "1969-12-31", "1970-01-01", "1972-12-31", "1973-01-01", "1999-02-29", "2000-02-29", "2100-02-29", "2024-02-29",
    "2024-02-30", "2026-04-31", "2026-06-31", "2026-12-31", "2026-00-10", "2026-13-01", "2026-01-00", "2026-01-32",
    "9999-12-31", "0000-01-01", "10000-01-01", "2026-6-1", "٢٠٢٦-06-01",
)  # fmt: skip
CLOCKS = (
    "00:00:00", "23:59:59", "23:59:60", "24:00:00", "12:60:00", "00:30:00", "12:00", "12:00:00.", "12:00:00,5", "12:00:00.5",
    "12:00:00.1234567890123456789", "00:00:00.999", "23:30:00",
)  # fmt: skip
ZONES = (
    "Z",
    "z",
    "+00:00",
    "-00:00",
    "+01:00",
    "-01:00",
    "+23:59",
    "-23:59",
    "+24:00",
    "+01:60",
    "+0100",
    "",
    " Z",
    "Z\\n",
    "Z ",
)


def text(rng: random.Random, most: int) -> str:
    """A JSON string near a limit of length, or with an odd character somewhere."""
    if rng.random() < 0.3:
        return '"' + rng.choice(("x", "🚂", "ü")) * (most + rng.choice((-1, 0, 1))) + '"'
    if rng.random() < 0.4:
        character = rng.choice([*BIDI_CONTROLS, *BLANKS, *map(chr, (0x7F, 0x85, 0x9F, 0xA0, 0xAD, 0xFFFD, 0x10FFFF))])
        return json.dumps(rng.choice(("{}", "a{}", "{}a", "{0}{0}")).format(character), ensure_ascii=rng.random() < 0.5)
    return f'"{rng.choice(("", "a"))}{rng.choice(TEXTS)}{rng.choice(("", "b"))}"'


def labels(rng: random.Random) -> str:
    """Labels near each limit."""
    if rng.random() < 0.3:
        return "{" + ",".join(f'"l{i}":"v"' for i in range(32 + rng.choice((-1, 0, 1)))) + "}"
    return f"{{{text(rng, 64)}:{rng.choice((text(rng, 256), '1', 'null'))}}}"


def literal(rng: random.Random, field: str) -> str:
    """A value for a field, nearly always of its type."""
    if rng.random() < 0.1:
        return rng.choice(ODD_VALUES)
    if field in {"module_id", "event_id"}:
        return text(rng, 200 if field == "module_id" else 256)
    if field == "timestamp":
        moment = f'"{rng.choice(DATES)}{rng.choice("TTTt ")}{rng.choice(CLOCKS)}{rng.choice(ZONES)}"'
        return rng.choice((moment, moment, rng.choice(STAMPS)))
    if field == "labels":
        return labels(rng)
    if field == "success":
        return rng.choice(("true", "false", "1"))
    if field == "x":
        return rng.choice((text(rng, 5), "1e400", "[[[]]]", '{"a":"\\ud83d"}', "NaN", "1e5", "[" * 50 + "]" * 50))
    return rng.choice(NUMBERS if field in {"response_time_ms", "cpu_percent"} else GAUGES)


FIELDS = (
    "module_id", "timestamp", "success", "response_time_ms", "event_id", "memory_bytes", "goroutines", "db_connections",
    "cpu_percent", "labels", "x", "specversion", "data",
)  # fmt: skip
PLANTED = ("second 60", "minimum", "halves", "blanks", "fraction")


def made(rng: random.Random) -> Made:
    """A record with a few odd parts, perhaps wrapped."""
    fields = {"module_id": '"checkout"', "timestamp": str(AT_MS), "success": "true", "response_time_ms": "1.5"}
    for name in rng.choices(FIELDS, k=rng.choice((1, 1, 2))):
        fields[name] = literal(rng, name)
    if rng.random() < 0.05:  # the same name, spelled otherwise
        fields["module\\u005fid"] = fields.pop("module_id")
    if rng.random() < 0.1:
        fields.pop(rng.choice(list(fields)))
    inner = ("{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}").encode()
    if rng.random() < 0.03:
        inner = rng.choice((inner[:-1], b"", b" ", b"[]", b"null", inner + b" x", inner.replace(b"check", b"\xff")))
    return wrapped(rng, inner)


def wrapped(rng: random.Random, inner: bytes) -> Made:
    """An event's text as it comes on the topic."""
    ways: tuple[Headers, ...] = ((), (), (("content-type", b"application/json"),))
    value, headers = inner, rng.choice(ways)
    way = rng.random()
    if way < 0.1 and inner.strip():
        headers = rng.choice((ways[0], STRUCTURED))
        based = rng.random() < 0.4
        held = f'"{base64.b64encode(inner).decode()}"'.encode() if based else inner
        name = b"data_base64" if based else b"data"
        value = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","' + name + b'":' + held + b"}"
    if way < 0.05 or way > 0.9:
        value = FRAME + value
    return Made(value, headers, inner)


def by_schema(schema: dict[str, Any], inner: bytes) -> bool | None:
    """What the published schema says of the event; None where it is no JSON to begin with."""

    def none(_: str) -> object:
        raise ValueError

    try:
        event = json.loads(inner.decode("utf-8"), parse_constant=none)
    except (ValueError, RecursionError):
        return None
    return bool(jsonschema.Draft202012Validator(schema).is_valid(event))


def by_worker(records: Sequence[Made], *, native: bool) -> list[str | None]:
    """The reason of each record that the worker sets aside."""
    config = CoreConfig(windows=WindowConfig(max_future_ms=FAR_MS), native=native)
    ingest = Ingest(config, Modules(config.limits, config.windows), 0, 1)
    said: list[str | None] = [None] * len(records)
    for first in range(0, len(records), 40):
        part = records[first : first + 40]
        offsets, stamps = range(first, first + len(part)), [AT_MS] * len(part)
        keys, values = [b"checkout"] * len(part), [record.value for record in part]
        headers = [record.headers for record in part]
        # They are at home here, whatever module they are of: elsewhere a record is judged where it is sent on to.
        batch = RecordBatch("events", 0, offsets, stamps, keys, values, headers, forwarded=True)
        ledger, outbox = Ledger(), Outbox()
        ingest.columns(batch, 0, ledger, outbox)
        for reject in outbox.rejected:
            said[reject.offset] = reject.reason
    return said


def disagreements(
    records: Sequence[Made], schemas: Sequence[dict[str, Any]]
) -> list[tuple[bytes, Headers, list[str | bool | None]]]:
    """Records that are not judged alike, with what each judge said."""
    found = []
    compiled, plain = by_worker(records, native=True), by_worker(records, native=False)
    for record, one, other in zip(records, compiled, plain, strict=True):
        told = [verdict for schema in schemas if (verdict := by_schema(schema, record.inner)) is not None]
        own = export.validate(TOPIC, record.value)
        mine = None if own is None else own.split(":")[0]
        # What is wrong with an envelope may be said otherwise where a header says that it is one.
        alike = one == other and (one == mine or (record.headers == STRUCTURED and None not in {one, mine}))
        if not alike or any(verdict != (mine is None) for verdict in told):
            found.append((record.value, record.headers, [one, other, own, *told]))
    return found


def documents() -> list[dict[str, Any]]:
    """The schema of the topic and that of its message in AsyncAPI."""
    return [export.json_schema(TOPIC), export.asyncapi()["components"]["schemas"]["ModuleLogEvent"]]


@pytest.mark.usefixtures("native")
@fixed(25)
@given(st.integers(0, 2**63))
def test_worker_validate_and_published_schemas_judge_alike(seed: int) -> None:
    rng = random.Random(seed)
    assert disagreements([made(rng) for _ in range(120)], documents()) == []


def stamped(*, moments: int) -> list[Made]:
    """An event for each number near a border, and for some of the texts."""
    texts = [f'"{date}T{clock}{zone}"' for date in DATES for clock in CLOCKS for zone in ZONES]
    event = '{{"module_id":"m","success":true,"response_time_ms":1,"timestamp":{}}}'
    inner = [event.format(stamp).encode() for stamp in [*STAMPS, *random.Random(7).sample(texts, moments)]]
    return [Made(one, (), one) for one in inner]


@pytest.mark.usefixtures("native")
def test_every_stamp_and_every_moment_near_a_border_is_judged_alike() -> None:
    assert disagreements(stamped(moments=900), documents()[:1]) == []


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_disagreement_is_seen(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if planted == "second 60":
        monkeypatch.setattr(published, "RFC3339", published.RFC3339.replace(":[0-5][0-9](", ":([0-5][0-9]|60)("))
    elif planted == "halves":
        monkeypatch.setattr(published, "HALF_A_PAIR", "nothing like it")
    elif planted == "blanks":
        monkeypatch.setattr(published, "VISIBLE", "")
    elif planted == "fraction":
        monkeypatch.setattr("schemas.valid.reading._WHOLE_FIELDS", ("timestamp",))
    schemas = documents()
    if planted == "minimum":
        schemas[1]["properties"]["timestamp"]["anyOf"][0]["minimum"] -= 1
    rng = random.Random(11)
    records = [*stamped(moments=300), *(made(rng) for _ in range(600))]
    assert disagreements(records, schemas[1:])


def test_the_generator_reaches_both_sides_of_the_borders() -> None:
    rng = random.Random(5)
    records = [made(rng) for _ in range(2_000)]
    said = by_worker(records, native=False)
    assert 500 < said.count(None) < 1_500
    assert min(said.count("invalid"), said.count("undecodable")) > 100
    assert sum(record.value != record.inner for record in records) > 200
    events = [record for record, why in zip(records, said, strict=True) if why is None and b"\\ud83d" in record.value]
    assert len(events) > 10
    assert all(read_event(record.value).module_id for record in events if record.headers != STRUCTURED)
    assert EventRules().min_timestamp_ms == FIRST_MS
