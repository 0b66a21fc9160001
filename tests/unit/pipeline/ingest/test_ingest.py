"""Every record ends in exactly one place: bad ones untouched among the dead letters, good ones counted exactly."""

import base64
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import CoreConfig, Limits, WindowConfig
from pipeline.ingest.batch import RecordBatch
from pipeline.ingest.hop import first_place, own_headers
from pipeline.ingest.packed import each_forwarded
from pipeline.outputs import Header, Rejected, WholeBatch
from schemas.metrics import ModuleMetrics
from tests.support.cores import NOW_MS, START_MS, Event, Run, batch_of, config_of, fixed, last_of_each
from tests.support.oddities import MAX_RECORD_BYTES, STRUCTURED, envelope, padded
from tests.support.poison import AT_MS, GOOD_ODDITIES, POISON, GoodOddity, PoisonKind, raw

pytestmark = pytest.mark.usefixtures("both_ways")

CLOCK_MS = AT_MS + 60_000
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


def small() -> CoreConfig:
    """One window of a minute."""
    return CoreConfig(WindowConfig(sizes=(("1m", 60_000),)))


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


def counted(run: Run) -> dict[str, ModuleMetrics]:
    """The newest record of each module."""
    return {record.module_id: record for record in last_of_each(run.metrics).values()}


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


@fixed(150)
@given(
    st.sampled_from(["data", "data_base64"]),
    st.one_of(
        st.text(max_size=12).map(json.dumps),
        st.binary(max_size=12).map(lambda data: json.dumps(base64.b64encode(data).decode())),
        st.sampled_from(["null", "1", "{}", "[", '"\\ud800"', raw(AT_MS).decode()]),
        st.just(json.dumps(base64.b64encode(raw(AT_MS)).decode())),
    ),
    st.text(max_size=3),
)
def test_any_envelope_ends_in_one_column_of_the_ledger(member: str, content: str, tail: str) -> None:
    record = PoisonKind("envelope", envelope(content, member) + tail.encode(), MODULE, STRUCTURED, "", "")
    run = Run(small())
    apply(run, batch_of_records([record]))
    assert run.ledger.consumed == 1
    assert run.ledger.balanced
    assert run.ledger.applied + run.ledger.invalid == 1


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


FOREIGN: dict[str, bytes | None] = {"null": None, "empty": b"", "other": b"search", "prefix": b"checkou", "ff": b"\xff"}


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


SPOOFED: tuple[Header, ...] = (
    ("modpulse.forwarded.from", b"a/1/2"),
    ("modpulse.forwarded.timestamp", b"77"),
    ("modpulse.forwarded.key", b"spoofed"),
)


@pytest.mark.parametrize("own", [(), SPOOFED], ids=["honest", "spoofed"])
@pytest.mark.parametrize("key", FOREIGN.values(), ids=FOREIGN)
def test_a_letter_of_a_forwarded_record_has_the_key_and_the_time_it_came_in_with(
    key: bytes | None, own: tuple[Header, ...]
) -> None:
    """The record on the repartition topic has the time of its second hop, and a sender may write any header."""
    run = Run(small())
    late = raw(AT_MS - 86_400_000)
    run.core.apply(batch_of([raw(AT_MS)], [MODULE], topic="forwarded", forwarded=True), CLOCK_MS)
    run.core.apply(batch_of([late], [key], first=50, headers=(own,)), CLOCK_MS)
    run.cut()
    (sent,) = run.forwarded
    batch = batch_of([sent.value], [b"checkout"], first=1, headers=(sent.headers,), topic="forwarded", forwarded=True)
    run.core.apply(batch, CLOCK_MS)
    run.cut()
    (reject,) = run.rejected
    assert (reject.reason, reject.key, reject.timestamp_ms) == ("late", key, 57)
    assert (reject.topic, reject.offset, reject.headers) == ("forwarded", 1, sent.headers)
    assert tuple(own_headers(sent.headers)) == own
    assert first_place(sent.headers) == ("events", 3, 50)


@pytest.mark.parametrize(
    "said", [(), (("modpulse.forwarded.from", b"garbage"), ("modpulse.forwarded.timestamp", b"soon"))]
)
def test_a_record_on_the_repartition_topic_that_says_nothing_is_taken_as_it_is(said: tuple[Header, ...]) -> None:
    run = Run(small())
    run.core.apply(batch_of([b"{"], [b"k"], headers=(said,), topic="forwarded", forwarded=True), CLOCK_MS)
    run.cut()
    (reject,) = run.rejected
    assert (reject.key, reject.timestamp_ms, reject.headers) == (b"k", 7, said)
    assert first_place(said) is None


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


def test_tombstones_among_events_and_alone_are_dead_letters_without_a_value() -> None:
    run = Run(small())
    apply(run, batch_of([None], [MODULE]))
    apply(run, batch_of([raw(AT_MS), None, raw(AT_MS), None], [MODULE, None, MODULE, b"\xff"], first=1))
    assert [(r.offset, r.reason, r.key, r.value) for r in run.rejected] == [
        (0, "undecodable", MODULE, None),
        (2, "undecodable", None, None),
        (4, "undecodable", b"\xff", None),
    ]
    assert counted(run)["checkout"].total_requests == 2


def test_an_empty_batch_changes_nothing() -> None:
    run = Run(small())
    apply(run, batch_of([], []))
    assert run.ledger.consumed == 0
    assert run.core.offsets == {}


def test_the_other_module_takes_what_does_not_fit_and_no_count_is_lost() -> None:
    rng = random.Random(3)
    run = Run(replace(config_of((1, 2), 0, 1_000_000), limits=Limits(max_modules=5)))
    events = [Event(f"m{rng.randrange(20)}", START_MS + i * 10, float(i), i % 3 > 0) for i in range(600)]
    seen = list(dict.fromkeys(event.module for event in events))
    for first in range(0, 600, 37):
        run.apply(events[first : first + 37])
    run.cut(everything=True)
    names = {module: module if module in seen[:5] else "__other__" for module in seen}
    expected = Counter((names[e.module], e.time // 1_000 * 1_000) for e in events)
    totals = {
        (key[0], key[2]): record.total_requests for key, record in last_of_each(run.metrics).items() if key[1] == "1s"
    }
    assert totals == expected
    assert run.ledger.applied == 600
    assert run.core.modules.tracked == 5
    assert run.core.modules.overflowed == sum(names[event.module] == "__other__" for event in events)
    assert run.core.modules.newest_overflow == next(e.module for e in reversed(events) if e.module not in seen[:5])


def test_of_several_partitions_one_owns_what_does_not_fit_elsewhere() -> None:
    limits = replace(config_of((1,), 0, 1_000), limits=Limits(max_modules=1))
    full, owner = Run(limits, partitions=2), Run(limits, partitions=2)
    full.apply([Event(name, START_MS, event_id=id_) for name, id_ in (("m", "1"), ("x", "1"), ("y", "1"), ("x", "1"))])
    full.apply([Event("x", START_MS, event_id="2"), Event("m", START_MS, event_id="2")])
    full.cut()
    assert [sent.module_id for sent in full.forwarded] == ["__other__"] * 4
    assert (full.ledger.applied, full.ledger.forwarded) == (2, 4)
    owner.apply([Event("y", START_MS, event_id="9")])  # known there, and still counted as what it was sent as
    values = [sent.value for sent in full.forwarded]
    owner.core.apply(batch_of(values, [b"__other__"] * 4, topic="forwarded", forwarded=True), NOW_MS)
    owner.cut()
    assert {module: record.total_requests for module, record in counted(owner).items()} == {"y": 1, "__other__": 3}
    assert (owner.ledger.applied, owner.ledger.duplicate, owner.ledger.forwarded) == (4, 1, 0)


def test_modules_without_a_code_of_their_own_keep_event_ids_of_their_own() -> None:
    run = Run(replace(config_of((1,), 0, 1_000), limits=Limits(max_modules=1)))
    events = [Event(module, START_MS, event_id="1") for module in ("m", "x", "y", "__other__", "x", "m", "y", "z")]
    run.apply(events[:5])
    run.apply(events[5:])
    run.cut()
    assert (run.ledger.applied, run.ledger.duplicate) == (5, 3)
    assert counted(run)["__other__"].total_requests == 4


def test_a_silent_module_gives_its_place_to_a_new_one_once_no_window_holds_it() -> None:
    run = Run(replace(config_of((1, 8), 0, 2_000), limits=Limits(max_modules=1, module_expiry_ms=1_000)))
    names = {}
    for second in range(16):
        run.apply([Event("a" if second == 0 else "b", START_MS + second * 1_000)])
        run.cut(everything=True)
        names[second] = run.metrics[-1].module_id
    first = min(second for second, name in names.items() if name == "b")
    assert first >= 10, "not before its window of 8 s is sealed, 2 s after its end"
    assert [names[second] for second in range(1, 16)] == ["__other__"] * (first - 1) + ["b"] * (16 - first)
    finals = {(record.module_id, record.window) for record in run.metrics if record.status == "final"}
    assert ("a", "8s") in finals


@pytest.mark.parametrize("what", ["future", "labels", "timestamp", "forwarded"])
def test_a_record_that_is_not_counted_takes_no_place_among_the_modules(what: str) -> None:
    run = Run(replace(small(), limits=Limits(max_modules=1)))
    name = '"nobody"'
    value = {
        "future": raw(AT_MS, module_id=name, timestamp=str(2 * AT_MS)),
        "labels": raw(AT_MS, ',"labels":{"' + "k" * 99 + '":""}', module_id=name),
        "timestamp": raw(AT_MS, module_id=name, timestamp='"yesterday"'),
        "forwarded": raw(AT_MS, module_id=name),
    }[what]
    run.core.apply(batch_of([value], [b"somebody" if what == "forwarded" else b"nobody"]), CLOCK_MS)
    run.core.apply(batch_of([raw(AT_MS)], [MODULE], first=1), CLOCK_MS)
    run.cut()
    assert run.ledger.applied == 1
    assert set(counted(run)) == {"checkout"}


def test_many_new_modules_that_are_all_forwarded_do_not_upset_the_windows() -> None:
    run = Run(small())
    run.core.apply(batch_of([raw(AT_MS)], [MODULE]), CLOCK_MS)
    values = [raw(AT_MS, module_id=f'"m{i}"') for i in range(100)]
    run.core.apply(batch_of(values, [b"elsewhere"] * 100, first=1), CLOCK_MS)
    run.core.idle_until(AT_MS + 100_000, CLOCK_MS + 100_000)
    run.cut()
    assert [record.status for record in run.metrics] == ["final"]
