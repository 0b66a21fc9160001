"""The compiled part against the Python path: what it calls a plain event is that event to the bit, or it says nothing."""

import json
import math
import random
from collections.abc import Callable, Sequence
from itertools import product

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

import pipeline.ingest.plain
from pipeline.config import CoreConfig
from pipeline.ingest.batch import RecordBatch, join_slices
from pipeline.ingest.packed import each_forwarded
from pipeline.ingest.plain import PlainScanner
from pipeline.native import HAS_ID, KEY_DIFFERS, PLAIN, SUCCESS, Native, PlainEvents
from schemas.errors import PoisonRecord
from schemas.valid.reading import read_event
from schemas.valid.rules import parse_timestamp
from tests.support.core.cores import NOW_MS, Event, Run, batch_of, fixed, split
from tests.support.core.streams import configs, cut_places, streams
from tests.support.records.poison import AT_MS, GOOD_ODDITIES, POISON, GoodOddity, PoisonKind, raw

KEYS = (
    "module_id",
    "timestamp",
    "success",
    "response_time_ms",
    "event_id",
    "memory_bytes",
    "cpu_percent",
    "labels",
    "x",
)
LITERALS = (
    "0", "1", "-1", "1.5", "12.50", "0.1", "1e3", "1E-7", "1e400", "00", "01", "1.", ".5", "-0", "-0.0", "5.0",
    "999999999999999999", "1234567890123456789", "9223372036854775808", "123456789.123456789123", "9007199254740993",
    "0.30000000000000004", "1.7976931348623157e308", "4.9406564584124654e-324", "null", "true", "false", "nul", "True",
    "NaN", "Infinity", '"a"', '""', '"a b"', '"\\u0041"', '"\\n"', '"\x01"', '"\x7f"', '"süß"', '"𝄞"', '"\\ud800"',
    '"2026-06-01T12:00:00Z"', '"2026-06-01T12:00:00.1239+02:00"', '"2026-02-29T12:00:00Z"', '"2026-06-01"', "{}", "[]",
    '{"a":"b"}', '{"a":1}', '{"a":{"b":[1,2,{"c":null}]}}', "[1,2", '{"a":"b",}', '{"ä":"ö"}', '"' + "x" * 257 + '"',
    '"' + "m" * 200 + '"', '"' + "m" * 201 + '"', '"' + "i" * 129 + '"',
)  # fmt: skip
SPACES = ("", "", "", " ", "\n", "\t\r ", "\x0b", "\xa0")


def scan(values: Sequence[bytes | None], keys: Sequence[bytes | None]) -> PlainEvents:
    scanner = PlainScanner.of(CoreConfig())
    assert scanner is not None
    return scanner.scan(keys, values)


def check_row(found: PlainEvents, row: int, value: bytes, key: bytes | None) -> bool:
    """Whether a record is plain; if it is, it must be what the Python path reads, to the bit."""
    if not found.flags[row] & PLAIN:
        return False
    event = read_event(value)
    stamp = event.timestamp if isinstance(event.timestamp, int) else parse_timestamp(event.timestamp)
    name = found.modules[int(found.tokens[row])]
    assert name == event.module_id.encode()
    assert int(found.times[row]) == stamp
    assert bool(found.flags[row] & SUCCESS) is event.success
    assert float(found.response_ms[row]).hex() == float(event.response_time_ms).hex()
    gauges = (event.memory_bytes, event.goroutines, event.db_connections)
    assert found.gauges[:, row].tolist() == [-1 if gauge is None else gauge for gauge in gauges]
    cpu = float(found.cpu[row])
    assert (math.isnan(cpu) and event.cpu_percent is None) or cpu.hex() == float(event.cpu_percent or 0.0).hex()
    assert bool(found.flags[row] & HAS_ID) is bool(event.event_id)
    if event.event_id:
        assert int(found.ids[row]) == xxhash.xxh3_64_intdigest(event.event_id.encode())
    assert bool(found.flags[row] & KEY_DIFFERS) is (key != event.module_id.encode())
    return True


def odd_object(rng: random.Random) -> bytes:
    """An object that is nearly an event: odd values, odd spaces, fields missing, unknown and twice."""
    fields = [("module_id", '"checkout"'), ("timestamp", str(AT_MS)), ("success", "true"), ("response_time_ms", "1.5")]
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        name = rng.choice(KEYS)
        fields.append((name, rng.choice(LITERALS)))
    if rng.random() < 0.5:
        rng.shuffle(fields)
    if rng.random() < 0.1:
        fields.pop(rng.randrange(len(fields)))
    gap: Callable[[], str] = lambda: rng.choice(SPACES) if rng.random() < 0.1 else ""  # noqa: E731 - one use, three places
    text = ",".join(f'{gap()}"{name}"{gap()}:{gap()}{literal}{gap()}' for name, literal in fields)
    data = bytearray(f"{gap()}{{{text}}}{gap()}".encode())
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        where = rng.randrange(len(data))
        action = rng.randrange(3)
        if action == 0:
            data[where] = rng.randrange(256)
        elif action == 1:
            del data[where]
        else:
            data.insert(where, rng.choice(b'{}[]",:\\0e-. \x00\xff'))
    return (b"\x00\x00\x00\x00\x07" if rng.random() < 0.1 else b"") + bytes(data)


@pytest.mark.usefixtures("native")
def test_20000_odd_objects_are_what_the_python_path_reads_or_are_left_to_it() -> None:
    rng = random.Random(20)
    values = [odd_object(rng) for _ in range(20_000)]
    keys = [rng.choice((b"checkout", b"checkout", None, b"", b"checkout2")) for _ in values]
    found = scan(values, keys)
    plain = sum(check_row(found, row, value, keys[row]) for row, value in enumerate(values))
    good = 0
    for value in values:
        try:
            event = read_event(value)
            good += isinstance(event.timestamp, int) or parse_timestamp(event.timestamp) >= 0
        except PoisonRecord:
            continue
    assert plain <= good
    assert plain >= good * 0.7, f"only {plain} of {good} good events are plain: what is common must not be left over"


@pytest.mark.usefixtures("native")
def test_every_poison_is_left_over_and_every_oddity_is_right_or_left_over() -> None:
    values = [kind.value for kind in POISON]
    found = scan(values, [kind.key for kind in POISON])
    for row, kind in enumerate(POISON):
        if found.flags[row] & PLAIN:
            # Only what is refused for its meaning (too far in the future, characters of the id), or for what the scanner does
            # not see (key and headers), may look plain here.
            assert check_row(found, row, kind.value or b"", kind.key), kind.name
            assert kind.reason in {"future_timestamp", "invalid", "too_large"} or "module_id" in kind.name, kind.name
    found = scan([good.value for good in GOOD_ODDITIES], [good.key for good in GOOD_ODDITIES])
    assert sum(check_row(found, row, good.value, good.key) for row, good in enumerate(GOOD_ODDITIES)) > 10


@pytest.mark.usefixtures("native")
def test_usual_events_are_plain_in_every_usual_notation() -> None:
    event = {
        "module_id": "checkout",
        "timestamp": AT_MS,
        "success": True,
        "response_time_ms": 12.345,
        "event_id": "a-1",
    }
    full = event | {"memory_bytes": 1 << 40, "goroutines": 3, "db_connections": None, "cpu_percent": 12.5}
    full |= {"labels": {"region": "eu", "köln": "ja"}, "unknown": {"deep": [1, -2.5e3, None, True, {"a": []}]}}
    values = [json.dumps(e, ensure_ascii=False).encode() for e in (event, full)]
    values += [json.dumps(e, indent=2, ensure_ascii=False).encode() for e in (event, full)]
    values += [json.dumps(e | {"timestamp": "2026-06-01T12:00:00.5+02:00"}).encode() for e in (event, event)]
    values += [raw(AT_MS), b"\x00\x00\x00\x00\x07" + raw(AT_MS)]
    found = scan(values, [b"checkout"] * len(values))
    assert [check_row(found, row, value, b"checkout") for row, value in enumerate(values)] == [True] * len(values)


@pytest.mark.usefixtures("native")
@fixed(300)
@given(st.text(max_size=130))
def test_ids_have_the_hash_of_the_xxhash_package(text: str) -> None:
    value = json.dumps(json.loads(raw(AT_MS)) | {"event_id": text}, ensure_ascii=False).encode(errors="surrogatepass")
    plain = check_row(scan([value], [b"checkout"]), 0, value, b"checkout")
    assert plain or len(text.encode()) > 128 or b"\\" in value


@pytest.mark.usefixtures("native")
def test_ids_of_every_length_have_the_hash_of_the_xxhash_package() -> None:
    texts = [
        bytes(33 + (i * 7 + n) % 90 for i in range(n)).replace(b"\\", b"/").replace(b'"', b"'") for n in range(129)
    ]
    values = [raw(AT_MS, f',"event_id":"{text.decode()}"') for text in texts]
    found = scan(values, [b"checkout"] * len(values))
    assert all(check_row(found, row, value, b"checkout") for row, value in enumerate(values))
    assert [int(i) for i in found.ids[1:]] == [xxhash.xxh3_64_intdigest(text) for text in texts[1:]]


@pytest.mark.usefixtures("native")
@fixed(300)
@given(st.floats(0, allow_nan=False, allow_infinity=False), st.integers(0, 3))
def test_numbers_are_read_to_the_bit(number: float, notation: int) -> None:
    literal = (repr(number), f"{number:.3f}", f"{number:.20e}", f"{number:.17g}")[notation]
    value = raw(AT_MS, response_time_ms=literal)
    plain = check_row(scan([value], [b"checkout"]), 0, value, b"checkout")
    assert plain or len(literal) > 18


def everything(run: Run) -> list[object]:
    """All a core wrote, in order."""
    boxes = [cut.outbox for cut in run.cuts]
    return [
        (box.emitted, box.rejected, each_forwarded(box), cut.state) for box, cut in zip(boxes, run.cuts, strict=True)
    ]


@pytest.mark.usefixtures("native")
@fixed(60)
@given(configs(), streams(), cut_places, st.randoms(use_true_random=False))
def test_a_core_with_it_and_one_without_write_the_same_bytes(
    config: CoreConfig, events: list[Event], batches: list[int], rng: random.Random
) -> None:
    records: list[tuple[bytes, bytes]] = [(event.value, event.module.encode()) for event in events]
    odds: list[PoisonKind | GoodOddity] = [*POISON, *GOOD_ODDITIES]
    for odd in rng.sample(odds, 12):
        records.insert(rng.randrange(len(records) + 1), (odd.value or b"", odd.key or b""))
    runs = [Run(_with(config, native=way)) for way in (True, False)]
    for run in runs:
        first = 0
        for index, part in enumerate(split(records, batches)):
            run.core.apply(batch_of([v for v, _ in part], [k for _, k in part], first=first), NOW_MS)
            first += len(part)
            if index % 3 == 0:
                run.cut(NOW_MS + index * 1_000)
        run.cut(NOW_MS + 1_000_000, everything=True)
    assert runs[0].ledger == runs[1].ledger
    assert everything(runs[0]) == everything(runs[1])


def _with(config: CoreConfig, *, native: bool) -> CoreConfig:
    return CoreConfig(config.windows, config.health, config.limits, config.dedup, config.repartition, native)


@pytest.mark.usefixtures("native")
def test_a_batch_read_ahead_gives_what_one_read_on_the_spot_gives() -> None:
    values = [raw(AT_MS + n, module_id=f'"m{n % 5}"') for n in range(50)]
    keys: list[bytes | None] = [f"m{n % 5}".encode() for n in range(50)]
    joined_values, joined_keys = join_slices(values, keys)
    outputs = []
    for ahead in (False, True):
        run = Run(CoreConfig())
        for first in (0, 50):
            batch = batch_of(values, keys, first=first)
            plain = scan(joined_values, joined_keys) if ahead else None
            columns = (batch.timestamps, joined_keys, joined_values, batch.headers)
            run.core.apply(RecordBatch(batch.topic, 3, batch.offsets, *columns, plain=plain), AT_MS)
        run.cut(AT_MS, everything=True)
        assert run.core.one_by_one == 50, "only the first batch brings new modules"
        outputs.append(everything(run))
    assert outputs[0] == outputs[1]


def test_without_the_library_the_python_path_reads_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.ingest.plain, "load_native", lambda: None)
    run = Run(CoreConfig())
    run.core.apply(batch_of([raw(AT_MS)], [b"checkout"]), AT_MS)
    assert (run.ledger.applied, run.core.one_by_one) == (1, 0)


def test_events_of_producers_that_write_otherwise_are_all_plain(native: Native) -> None:
    event = {
        "module_id": "m",
        "timestamp": AT_MS,
        "success": True,
        "response_time_ms": 1.5,
        "event_id": "e",
        "labels": {"a": "b"},
    }
    backwards = dict(reversed(event.items()))
    texts = [
        json.dumps(members, separators=separators)
        for members in (event, backwards, {"version": 2, **event})
        for separators in ((",", ":"), (", ", ": "), (" , ", " : "), (",", ":\n\t"), (",  ", ":"))
    ]
    # Each behind each: a name is looked for where it stood in the event before.
    values = [text.encode() for pair in product(texts, repeat=2) for text in pair]
    found = scan(values, [b"m"] * len(values))
    for row, value in enumerate(values):
        assert check_row(found, row, value, b"m"), value
