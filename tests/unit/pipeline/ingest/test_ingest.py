"""Every record ends in exactly one place: bad ones untouched among the dead letters, good ones counted exactly."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import CoreConfig, Limits, WindowConfig
from pipeline.ingest.batch import RecordBatch
from pipeline.ingest.decode import decode_batch
from pipeline.ingest.ingest import Ingest, decoded_part
from pipeline.ingest.packed import each_forwarded
from pipeline.modules.registry import Modules
from pipeline.outputs import Header, Outbox, Rejected, WholeBatch
from schemas.metrics import ModuleMetrics
from schemas.state import Ledger
from schemas.valid.rules import EventRules
from tests.support.core.cores import NOW_MS, Event, Run, batch_of, fixed
from tests.support.core.ingested import CLOCK_MS, FOREIGN, counted, small
from tests.support.records.oddities import MAX_RECORD_BYTES, padded
from tests.support.records.poison import AT_MS, GOOD_ODDITIES, POISON, GoodOddity, PoisonKind, raw

pytestmark = pytest.mark.usefixtures("both_ways")
RULES = EventRules(max_record_bytes=1_000)

MODULE = b"checkout"
Record = GoodOddity | PoisonKind


def batch_of_records(records: Sequence[Record], first: int = 0) -> RecordBatch:
    """Keys, values and headers as they are."""
    headers = [tuple((name, value) for name, value in record.headers) for record in records]
    return batch_of(
        [record.value for record in records],
        [record.key for record in records],
        first=first,
        headers=headers,
    )


def apply(run: Run, batch: RecordBatch, now_ms: int = CLOCK_MS) -> None:
    """Apply a batch, and what it forwards as the repartition topic would bring it."""
    run.core.apply(batch, now_ms)
    run.cut(now_ms)
    sent = each_forwarded(run.cuts[-1].outbox)
    if sent:
        keys = [record.module_id.encode() for record in sent]
        headers = [record.headers for record in sent]
        values = [record.value for record in sent]
        run.core.apply(batch_of(values, keys, headers=headers, topic="forwarded", forwarded=True), now_ms)
        run.cut(now_ms)
        assert not run.cuts[-1].outbox.forwarded, "nothing is forwarded twice"


def untouched(reject: Rejected, record: Record, offset: int) -> None:
    """The dead letter is the record, and says where it was."""
    assert (reject.key, reject.value, reject.headers) == (record.key, record.value, record.headers)
    assert (reject.topic, reject.partition, reject.offset, reject.timestamp_ms) == ("events", 3, offset, offset + 7)
    assert 0 < len(reject.message) <= 300
    assert reject.message.isprintable()


@pytest.mark.parametrize("kind", POISON, ids=lambda kind: kind.name)
def test_a_bad_record_alone_gets_its_reason_and_is_left_untouched(kind: PoisonKind) -> None:
    run = Run(small())
    apply(run, batch_of_records([kind], first=41))
    (reject,) = run.rejected
    assert reject.reason == kind.reason, reject.message
    untouched(reject, kind, 41)
    future = int(kind.reason == "future_timestamp")
    assert (run.ledger.consumed, run.ledger.invalid, run.ledger.future) == (1, 1 - future, future)
    assert run.metrics == []
    assert run.core.stream_ms is None, "no bad record moves stream time"
    assert run.core.offsets == {"events": 42}


@pytest.mark.parametrize("oddity", GOOD_ODDITIES, ids=lambda oddity: oddity.name)
def test_an_odd_but_good_record_alone_is_counted_as_what_it_stands_for(oddity: GoodOddity) -> None:
    run = Run(small())
    apply(run, batch_of_records([oddity]))
    assert run.rejected == []
    (record,) = run.metrics
    check_oddity(record, oddity)
    assert run.ledger.applied == 1
    assert run.core.stream_ms == oddity.timestamp_ms


def check_oddity(record: ModuleMetrics, oddity: GoodOddity) -> None:
    """One successful event with this module, time and response time."""
    assert (record.module_id, record.total_requests, record.successful_requests) == (oddity.module_id, 1, 1)
    assert record.window_start == oddity.timestamp_ms // 60_000 * 60_000
    times = record.response_time_ms
    assert (times.min, times.max, times.p50) == (oddity.response_time_ms,) * 3
    assert abs(times.avg - oddity.response_time_ms) <= 2.0**-64


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_all_kinds_mixed_in_any_batches_cost_their_neighbours_nothing(size: int) -> None:
    rng = random.Random(size)
    good = [GoodOddity(f"good{i}", raw(AT_MS), MODULE, (), "checkout", AT_MS, 1.5, "") for i in range(300)]
    records: list[Record] = [*POISON, *GOOD_ODDITIES, *good]
    rng.shuffle(records)
    run = Run(small())
    for first in range(0, len(records), size):
        apply(run, batch_of_records(records[first : first + size], first))
    bad = {offset: record for offset, record in enumerate(records) if isinstance(record, PoisonKind)}
    assert [reject.offset for reject in run.rejected] == sorted(bad)
    for reject in run.rejected:
        kind = bad[reject.offset]
        assert reject.reason == kind.reason, kind.name
        untouched(reject, kind, reject.offset)
    found = counted(run)
    assert found.pop("checkout").total_requests == len(good)
    assert set(found) == {oddity.module_id for oddity in GOOD_ODDITIES}
    for oddity in GOOD_ODDITIES:
        check_oddity(found[oddity.module_id], oddity)
    assert run.ledger.applied == len(good) + len(GOOD_ODDITIES)
    assert run.ledger.future == sum(kind.reason == "future_timestamp" for kind in POISON)
    assert run.ledger.invalid == len(POISON) - run.ledger.future
    assert run.ledger.forwarded == len(run.forwarded)


@pytest.mark.parametrize("key", FOREIGN.values(), ids=FOREIGN)
def test_an_event_whose_key_is_not_its_module_is_forwarded_and_counts_only_where_it_arrives(key: bytes | None) -> None:
    run = Run(small())
    headers: tuple[tuple[Header, ...], ...] = ((("trace", b"x"),), (), ())
    values = [raw(AT_MS, ',"unknown":1'), raw(AT_MS), raw(AT_MS, module_id='"search"')]
    run.core.apply(batch_of(values, [key, MODULE, b"search"], first=5, headers=headers), CLOCK_MS)
    run.cut()
    (sent,) = run.forwarded
    assert (sent.module_id, sent.value, sent.timestamp_ms) == ("checkout", values[0], 12)
    assert sent.headers == (
        ("trace", b"x"),
        ("modpulse.forwarded.from", b"events/3/5"),
        ("modpulse.forwarded.timestamp", b"12"),
        ("modpulse.forwarded.key", key),
    )
    assert (run.ledger.applied, run.ledger.forwarded) == (2, 1)
    assert {module: record.total_requests for module, record in counted(run).items()} == {"checkout": 1, "search": 1}


def test_what_forwarding_adds_makes_no_record_too_large() -> None:
    run = Run(small())
    largest = padded(AT_MS, MAX_RECORD_BYTES - len("x"))
    apply(run, batch_of([largest], [b"x"]))
    assert run.rejected == []
    assert run.core.ledgers["forwarded"].applied == 1


def test_a_batch_that_cannot_be_taken_apart_is_one_letter_and_all_its_records_are_invalid() -> None:
    run = Run(small())
    places = [WholeBatch(5, 9, 5, "too_large", "much too large"), WholeBatch(10, 40, 3, "undecodable", "garbage")]
    whole = batch_of([b"bytes", b"more"], [None, None])
    run.core.apply(replace(whole, offsets=[9, 40], whole=places), CLOCK_MS)
    run.cut()
    assert [(r.reason, r.message, r.offset, r.timestamp_ms) for r in run.rejected] == [
        ("too_large", "much too large", 5, 7),
        ("undecodable", "garbage", 10, 8),
    ]
    assert [(r.key, r.value, r.headers, r.whole) for r in run.rejected] == [
        (None, b"bytes", (), places[0]),
        (None, b"more", (), places[1]),
    ]
    assert (run.ledger.consumed, run.ledger.invalid, run.core.offsets) == (8, 8, {"events": 41})
    assert run.core.stream_ms is None


def test_always_forwards_every_good_event_and_no_bad_one() -> None:
    run = Run(replace(small(), repartition="always"))
    values = [raw(AT_MS), b"{garbage", raw(AT_MS, module_id='"search"'), raw(AT_MS, ',"labels":[]')]
    apply(run, batch_of(values, [MODULE, MODULE, b"search", MODULE]))
    assert [sent.module_id for sent in run.forwarded] == ["checkout", "search"]
    assert [(reject.offset, reject.reason) for reject in run.rejected] == [(1, "undecodable"), (3, "invalid")]
    assert run.core.ledgers["events"].forwarded == 2
    assert run.core.ledgers["events"].applied == 0
    assert run.core.ledgers["forwarded"].applied == 2


def test_a_framed_event_is_forwarded_as_it_came() -> None:
    run = Run(small())
    value = b"\x00\x00\x00\x00\x07" + raw(AT_MS)
    apply(run, batch_of([value], [None]))
    assert [sent.value for sent in run.forwarded] == [value]
    assert counted(run)["checkout"].total_requests == 1


def test_the_limits_are_the_configured_ones_and_include_their_ends() -> None:
    limits = Limits(max_record_bytes=150, max_labels=2, max_label_key_chars=3, max_label_value_chars=4)
    run = Run(replace(small(), limits=limits))
    bare = raw(AT_MS)
    texts = ('{"abc":"1234"}', '{"a":"1","b":"2"}', '{"abcd":"1"}', '{"a":"12345"}', '{"a":"1","b":"2","c":"3"}')
    room = 150 - len(MODULE) - len(bare)
    values = [bare + b" " * room, bare + b" " * (room + 1)]
    values += [raw(AT_MS, f',"labels":{text}') for text in texts]
    apply(run, batch_of(values, [MODULE] * len(values)))
    assert [(reject.offset, reject.reason) for reject in run.rejected] == [
        (1, "too_large"), (4, "invalid"), (5, "invalid"), (6, "invalid"),
    ]  # fmt: skip
    messages = [reject.message for reject in run.rejected]
    for message, word in zip(messages, ("record_bytes", "key_chars", "value_chars", "max_labels"), strict=True):
        assert word in message


def test_an_event_may_be_as_far_in_the_future_as_configured_and_no_further() -> None:
    run = Run(CoreConfig(WindowConfig(sizes=(("1s", 1_000),), max_future_ms=5_000)))
    run.apply([Event("m", NOW_MS + 5_000), Event("m", NOW_MS + 5_001), Event("m", NOW_MS)], NOW_MS)
    run.cut()
    assert [(reject.offset, reject.reason) for reject in run.rejected] == [(1, "future_timestamp")]
    assert run.core.stream_ms == NOW_MS + 5_000
    assert (run.ledger.applied, run.ledger.future) == (2, 1)


def test_times_are_told_ahead_of_every_event_that_is_not_from_the_future_and_nothing_is_decided() -> None:
    config = small()
    modules = Modules(config.limits, config.windows)
    ingest = Ingest(config, modules, 0, 1)
    last = CLOCK_MS + config.windows.max_future_ms
    texts = [str(AT_MS), '"2026-06-01T12:00:00.5Z"', str(last), str(last + 1), '"yesterday"', "-1"]
    values = [*(raw(AT_MS, timestamp=text) for text in texts), b"{", None]
    batch = batch_of(values, [MODULE] * len(values))
    times, read, decoded = ingest.times(batch, CLOCK_MS)
    assert times.tolist() == [AT_MS, AT_MS + 500, last, -1, -1, -1, -1, -1]
    assert (modules.tracked, ingest.one_by_one) == (0, 0)
    columns = ingest.columns(read, CLOCK_MS, Ledger(), Outbox(), decoded)
    assert columns is not None
    assert columns.times.tolist() == [AT_MS, AT_MS + 500, last]


@fixed(60)
@given(st.lists(st.sampled_from([raw(AT_MS), b"{", None, b"{}"]), max_size=8), st.integers(0, 8), st.integers(0, 8))
def test_the_decoded_part_of_a_batch_is_what_decoding_that_part_gives(
    values: list[bytes | None], one: int, two: int
) -> None:
    batch = batch_of(values, [None] * len(values))
    low, high = sorted(min(place, len(values)) for place in (one, two))
    events, bad = decoded_part(decode_batch(batch, RULES), low, high)
    alone, bad_alone = decode_batch(batch.part(low, high), RULES)
    assert events == alone
    assert [(index, str(why)) for index, why in bad] == [(index, str(why)) for index, why in bad_alone]


def test_an_empty_batch_changes_nothing() -> None:
    run = Run(small())
    apply(run, batch_of([], []))
    assert run.ledger.consumed == 0
    assert run.core.offsets == {}


def test_many_new_modules_that_are_all_forwarded_do_not_upset_the_windows() -> None:
    run = Run(small())
    run.core.apply(batch_of([raw(AT_MS)], [MODULE]), CLOCK_MS)
    values = [raw(AT_MS, module_id=f'"m{i}"') for i in range(100)]
    run.core.apply(batch_of(values, [b"elsewhere"] * 100, first=1), CLOCK_MS)
    run.core.idle_until(AT_MS + 100_000, CLOCK_MS + 100_000)
    run.cut()
    assert [record.status for record in run.metrics] == ["final"]
