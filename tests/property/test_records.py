"""No record hurts: any log, through the whole way from the fetch to letters and forwarded records as they are written.

Every record ends in one column of the ledger, every byte is kept or its loss said, everything can be written, no piece is larger
than it may be, and the compiled part changes nothing.
"""

import random
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED
from hypothesis import given
from hypothesis import strategies as st

import topology.records.span
from pipeline.config import CoreConfig, Limits, WindowConfig
from pipeline.ingest.hop import first_place
from pipeline.ingest.packed import unpack
from pipeline.ingest.plain import PlainScanner
from pipeline.outputs import Header, PackedRecords, Rejected, name_bytes
from pipeline.partitioner import partition_of
from schemas.state import Ledger
from tests.support.core.cores import NOW_MS, TOPIC, Run, fixed
from tests.support.records.hostile_records import BATCH_BYTES, FIRST, RECORD_BYTES, Log, Stored, random_log
from tests.support.records.parsed_records import recs_of
from tests.support.records.wire import Rec
from topology.consumer.fetch import _SpanRecords
from topology.producer.addressed import Addresses
from topology.producer.letters import letter
from topology.records.outgoing import Builder, Record, batches_of
from topology.records.piece import Piece
from topology.records.record_objects import RecordObjects
from topology.records.span import Span
from topology.records.wire_batches import WireBatches
from topology.settings import Settings

PIECE_BYTES = 40_000
PARTITION = 3
OWNER = partition_of(b"__other__", 2)


@dataclass(slots=True)
class Outcome:
    """What one reader of a log made of it."""

    run: Run
    second: Run

    @property
    def letters(self) -> list[Rejected]:
        """Of both hops, in the order of their places."""
        found = [*self.run.rejected, *self.second.rejected]
        return sorted(found, key=lambda one: (one.topic, one.offset))


def config(most_modules: int, *, native: bool) -> CoreConfig:
    windows = WindowConfig((("10s", 10_000), ("1m", 60_000)), 1_000, 60_000)
    limits = Limits(max_record_bytes=RECORD_BYTES, max_modules=most_modules)
    return CoreConfig(windows, limits=limits, native=native)


def read(log: Log, seed: int, *, native: bool, most_modules: int = 2_000) -> Outcome:
    """Read a log in fetches and pieces of any size, now and then going back to what was applied last."""
    rng = random.Random(seed)
    run = Run(config(most_modules, native=native), partitions=2)
    offset = FIRST
    while offset < log.end:
        data, aborted = log.fetched(offset, rng.choice((1, 700, 9_000, 1 << 30)))
        found = _SpanRecords(
            TopicPartition(TOPIC, PARTITION), WireBatches(data), aborted, offset, None, None, True, READ_COMMITTED
        )
        batches = found.take_batches()
        offset = apply(run, Span(offset, found.next_fetch_offset, batches), rng, native=native)
    run.cut(everything=True)
    # The owner of `__other__` forwards nothing again.
    second = Run(config(most_modules, native=native), partition=OWNER, partitions=2)
    apply(second, forwarded_span(run), random.Random(1), native=native, topic="forwarded")
    second.cut(everything=True)
    return Outcome(run, second)


def apply(run: Run, span: Span, rng: random.Random, *, native: bool, topic: str = TOPIC) -> int:
    """Apply the pieces of a span, or some of them; answers the offset to go on from."""
    scanner = PlainScanner.of(run.config)
    least = rng.choice((1, 3, 20, 1_000))
    position = span.start
    for piece in span.pieces(least, None if scanner is None else scanner.native, refuse_above=BATCH_BYTES):
        assert piece.start == position, "a gap, or an overlap"
        check_size(piece, least)
        position = piece.end
        whole = piece if scanner is None else piece.scanned(scanner)
        if len(piece.records):
            run.core.apply(whole.batch(topic, PARTITION, forwarded=topic != TOPIC), NOW_MS)
        if rng.random() < 0.2:
            run.cut()
        if topic == TOPIC and rng.random() < 0.1:
            return position  # a rebalance, or a restart: the rest is fetched again
    assert position == span.end
    return position


def check_size(piece: Piece, least: int) -> None:
    """Its bound, but for what is larger by itself: one record, or one batch that aiokafka made objects of."""
    records = piece.records
    if records.whole:
        return
    assert len(records) < 3 * least + 50
    one_batch = BATCH_BYTES + 350 * len(records) if isinstance(records, RecordObjects) else 0
    assert piece.nbytes <= max(PIECE_BYTES, one_batch) or len(records) == 1


def forwarded_span(run: Run) -> Span:
    """What the worker writes to the repartition topic, one partition after the other."""
    addresses, by_partition = Addresses(Settings()), dict[int, list[bytes]]()
    for cut in run.cuts:
        for parcel in addresses.forwarded(cut, 2):
            by_partition.setdefault(parcel.partition, []).extend(sent(parcel.batches(1 << 20)))
    stored, at = b"", 0
    for data in [data for _, batches in sorted(by_partition.items()) for data in batches]:
        stored += struct.pack(">q", at) + data[8:]
        at += struct.unpack_from(">i", data, 57)[0]
    batches, taken = WireBatches(stored), []
    while batches.has_next():
        taken.append(batches.next_batch())
    return Span(0, at, taken)


def written(records: Iterable[Record], most_bytes: int) -> Iterator[bytes]:
    """The batches, as they are sent."""
    return sent(batches_of(records, most_bytes))


def sent(batches: Iterable[Builder]) -> Iterator[bytes]:
    """The same of any batches."""
    for batch in batches:
        batch._set_producer_state(5, 0, 0)  # type: ignore[attr-defined]
        yield bytes(batch._build())  # type: ignore[attr-defined]


def decoded(data: bytes) -> Rec:
    """The only record of a batch."""
    (batch,) = [WireBatches(data).next_batch()]
    assert batch.validate_crc()
    (records,) = batch.parts(None, 64 << 20, 10, 64 << 20)
    (found,) = recs_of(records)
    return found


def check_letter(log: Log, reject: Rejected, most_bytes: int) -> None:
    """It can be written, and what came in is in it, or said to be missing."""
    (data,) = written([letter(reject, most_bytes)], most_bytes)
    assert len(data) <= most_bytes
    found = decoded(data)
    begin = max(index for index, (name, _) in enumerate(found.headers) if name == b"modpulse.errors.reason")
    own, said = found.headers[:begin], {name[16:].decode(): text or b"" for name, text in found.headers[begin:]}
    place = Rec(0, 0, None, None)
    if reject.whole is not None:
        stored = next(one for one in log.refused if one.end - 1 == reject.whole.last_offset)
        check_whole(stored, reject, said)
        place = Rec(stored.first, reject.timestamp_ms, None, stored.data)
    elif reject.topic == TOPIC:
        place = log.records[reject.offset]
    else:
        origin = first_place(reject.headers)
        assert origin is not None
        place = log.records[origin.offset]
        trace = tuple((name_bytes(name), text) for name, text in reject.headers[len(place.headers) :])
        assert [name for name, _ in trace[:2]] == [b"modpulse.forwarded.from", b"modpulse.forwarded.timestamp"]
        place = place._replace(headers=(*place.headers, *trace))
    check_parts(place, found._replace(headers=own), said)
    assert said["timestamp"] == b"%d" % place.stamp
    assert said["reason"].decode() == reject.reason
    assert said["topic"].decode() == reject.topic


def check_whole(stored: Stored, reject: Rejected, said: dict[str, bytes]) -> None:
    whole = reject.whole
    assert whole is not None
    assert stored.reason in (whole.reason, "any")
    assert whole.last_offset == stored.end - 1
    if stored.legacy:  # it does not say where it begins: behind what came before
        assert whole.first_offset <= stored.first
        assert whole.records == whole.last_offset - whole.first_offset + 1
    else:
        assert (whole.first_offset, whole.records) == (stored.first, stored.counted)
    names = ("first_offset", "last_offset", "records")
    assert [int(said[name]) for name in names] == [whole.first_offset, whole.last_offset, whole.records]
    assert int(said["offset"]) == whole.first_offset


def check_parts(true: Rec, found: Rec, said: dict[str, bytes]) -> None:
    """Each part is as it came, or the beginning of it, with its true size said."""
    cut = dict(part.split("=") for part in said.get("truncated", b"").decode().split(",") if part)
    for name, came, is_there in (("key", true.key, found.key), ("value", true.value, found.value)):
        if name in cut:
            assert came is not None
            assert is_there is not None
            assert len(is_there) < len(came) == int(cut[name])
            assert came.startswith(is_there)
        else:
            assert is_there == came
    assert found.headers == true.headers[: len(found.headers)]
    size = sum(len(name) + len(value or b"") for name, value in true.headers)
    assert ("headers" in cut) == (len(found.headers) < len(true.headers))
    assert int(cut.get("headers", size)) == size


def check_ledgers(log: Log, outcome: Outcome) -> None:
    """Each record in one column, and in that of what became of it."""
    first, second = outcome.run, outcome.second
    ledger = first.core.ledgers.get(TOPIC, Ledger())
    letters = first.rejected
    single = Counter(one.offset for one in letters if one.whole is None)
    forwarded = Counter(place.offset for one in first.forwarded if (place := first_place(one.headers)) is not None)
    assert sum(forwarded.values()) == len(first.forwarded)
    assert set((single + forwarded).values()) <= {1}, "no record has two fates"
    assert set(single | forwarded) <= log.records.keys()
    whole = [one.whole for one in letters if one.whole is not None]
    assert sorted(one.last_offset for one in whole) == [one.end - 1 for one in log.refused], "one letter for each batch"
    assert ledger.balanced
    assert ledger.consumed == len(log.records) + sum(one.records for one in whole)
    assert ledger.forwarded == len(first.forwarded)
    assert ledger.late == sum(one.reason == "late" for one in letters)
    assert ledger.future == sum(one.reason == "future_timestamp" for one in letters)
    counted = sum(one.records for one in letters) - ledger.late - ledger.future
    assert ledger.invalid == counted
    assert ledger.applied + ledger.duplicate == len(log.records) - single.total() - forwarded.total()
    if log.records or whole:
        seen = max([*log.records, *(one.last_offset for one in whole)])
        assert first.core.offsets[TOPIC] == seen + 1
    assert second.ledger.consumed == len(first.forwarded)
    assert second.ledger.balanced
    assert second.forwarded == []


def check_reasons(log: Log, outcome: Outcome) -> None:
    large = {one.offset for one in outcome.run.rejected if one.reason == "too_large" and one.whole is None}
    assert large == {offset for offset, record in log.records.items() if record.size > RECORD_BYTES}
    assert all(one.reason != "too_large" for one in outcome.second.rejected), "what forwarding adds does not count"
    for one in outcome.run.forwarded:
        place = first_place(one.headers)
        assert place is not None
        assert one.value == log.records[place.offset].value
        own = tuple((name_bytes(name), text) for name, text in one.headers[: len(log.records[place.offset].headers)])
        assert own == log.records[place.offset].headers
    for reject in outcome.second.rejected:
        place = first_place(reject.headers)
        assert place is not None
        assert reject.key == log.records[place.offset].key


def said(headers: Iterable[Header]) -> list[tuple[bytes, bytes | None]]:
    """Headers as their bytes."""
    return [(name_bytes(name), value) for name, value in headers]


def comparable(outcome: Outcome) -> object:
    """All that may not depend on how records were read."""
    return (
        [one._replace(headers=tuple((name_bytes(n), v) for n, v in one.headers)) for one in outcome.letters],  # type: ignore[misc]
        outcome.run.core.ledgers,
        outcome.second.core.ledgers,
        outcome.run.core.offsets,
        [(one.module_id, one.value, one.timestamp_ms, said(one.headers)) for one in outcome.run.forwarded],
    )


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology.records.span, "PIECE_BYTES", PIECE_BYTES)


@fixed(250)
@given(st.integers(0, 2**32))
def test_any_log_becomes_events_letters_and_forwarded_records_and_nothing_else(seed: int) -> None:
    rng = random.Random(seed)
    log = random_log(rng)
    most_modules = rng.choice((0, 1, 2, 2_000))
    outcomes = [read(log, rng.randrange(2**32), native=native, most_modules=most_modules) for native in (True, False)]
    for outcome in outcomes:
        check_ledgers(log, outcome)
        check_reasons(log, outcome)
        most_bytes = rng.choice((1_500, 3_000, 20_000, 1 << 20))
        for reject in outcome.letters:
            check_letter(log, reject, most_bytes)
    assert comparable(outcomes[0]) == comparable(outcomes[1])


def test_the_logs_hold_everything() -> None:
    """A generator that never makes something proves nothing about it."""
    logs = [random_log(random.Random(seed)) for seed in range(200)]
    batches = [batch for log in logs for batch in log.batches]
    reasons = Counter(batch.reason for batch in batches if not batch.hidden)
    assert min(reasons[reason] for reason in ("", "too_large", "undecodable", "any")) > 15
    assert sum(batch.hidden for batch in batches) > 50
    assert sum(batch.legacy for batch in batches) > 20
    records = [record for log in logs for record in log.records.values()]
    assert sum(record.size > RECORD_BYTES for record in records) > 100
    assert sum(any(b"\xff" in name for name, _ in record.headers) for record in records) > 50
    outcomes = [read(log, 1, native=True) for log in logs[:60]]
    fates = Counter(reject.reason for outcome in outcomes for reject in outcome.letters)
    assert min(fates[reason] for reason in ("late", "invalid", "undecodable", "too_large", "future_timestamp")) > 5
    assert sum(outcome.run.ledger.applied for outcome in outcomes) > 100
    assert sum(outcome.run.ledger.duplicate for outcome in outcomes) > 5
    assert sum(len(outcome.run.forwarded) for outcome in outcomes) > 50
    assert sum(outcome.second.ledger.late for outcome in outcomes) > 0
    full = [read(log, 1, native=True, most_modules=1) for log in logs[:60]]
    entries = [one for outcome in full for cut in outcome.run.cuts for one in cut.outbox.forwarded]
    packed = [one for one in entries if isinstance(one, PackedRecords)]
    assert sum(map(len, packed)) > 100
    assert sum(bool(one.headers[0][0] != "modpulse.forwarded.from") for entry in packed for one in unpack(entry)) > 10
    assert sum(not isinstance(one, PackedRecords) for one in entries) > 50
    assert sum(outcome.second.core.modules.overflowed for outcome in full) > 100
