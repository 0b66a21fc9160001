"""The system task: its records, state and alerts keep their rules whatever comes, and it stops at what is not ours."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.alerts.rules import load_rules
from pipeline.config import Start
from pipeline.ingest.batch import NoHeaders, RecordBatch
from pipeline.outputs import Emitted
from pipeline.system.core import SystemCore
from schemas.errors import StateIncompatible
from schemas.partials import PartialRecord, encode_partial
from schemas.state import POSITION_KEY, pack_position
from tests.support.core.cores import NOW_MS, START_MS, Event, Run, batch_of, config_of, fixed
from tests.support.core.system_tasks import (
    BASE,
    CONFIG,
    HASTY,
    NOW,
    RULES,
    SIZES,
    SystemRun,
    partial,
    record_lists,
    report,
)

# A stream of one event a second, under windows of seconds.
SECONDS = config_of((2, 6), 1_000, 2_000)
ANY_RULE = load_rules(
    '[[rule]]\nname="Any"\nscope="system"\nwindow="2s"\nexpression="total_requests > 0"\n', "rules.toml", ["2s", "6s"]
)
BEGIN_MS = START_MS + 3_000
EVENTS = [Event("m", START_MS + second * 1_000, success=False) for second in range(30)]


@fixed(150)
@given(records=record_lists, every=st.integers(1, 7))
def test_records_and_state_keep_their_rules_whatever_comes(records: list[PartialRecord], every: int) -> None:
    run = SystemRun(SystemCore(HASTY, RULES))
    for low in range(0, len(records), every):
        run.feed(*records[low : low + every])
        run.cut()
    run.cut(everything=True)
    history: dict[bytes, list[dict[str, Any]]] = defaultdict(list)
    for key, record in zip(run.keys, run.records, strict=True):
        history[key].append(record)
    for records_of_key in history.values():
        statuses = [r["status"] for r in records_of_key]
        assert statuses == sorted(statuses, key=["provisional", "final", "corrected"].index)
        assert statuses.count("final") <= 1
        assert [r["revision"] for r in records_of_key] == list(range(1, len(statuses) + 1))
        for record in records_of_key:
            assert record["completeness"]["partitions_seen"] <= record["completeness"]["partitions_expected"]
    finals = [(r["window_end"], r["window"]) for r in run.records if r["status"] == "final"]
    for name, _ in SIZES:
        ends = [end for end, window in finals if window == name]
        assert ends == sorted(ends)
    assert run.core.open_windows <= HASTY.limits.max_open_windows
    held = {key.removeprefix(b"window|") for key in run.log if key.startswith(b"window|")}
    parts = {key.rsplit(b"|", 1)[0].removeprefix(b"partial|") for key in run.log if key.startswith(b"partial|")}
    assert held == parts
    assert len(held) == run.core.open_windows
    ledger = run.core.ledgers["partials"]
    assert (ledger.consumed, ledger.applied, ledger.balanced) == (len(records), len(records), True)
    assert run.core.offsets == {"partials": len(records)}


@fixed(80)
@given(records=record_lists, every=st.tuples(st.integers(1, 3), st.integers(4, 60)))
def test_finals_and_alerts_do_not_depend_on_batches_and_cuts(
    records: list[PartialRecord], every: tuple[int, int]
) -> None:
    told = []
    for size in every:
        run = SystemRun(SystemCore(HASTY, RULES))
        for low in range(0, len(records), size):
            run.feed(*records[low : low + size])
            run.cut()
        free = {"revision": 0, "last_updated": 0}
        finals = [r | free for r in run.records if r["status"] == "final"]
        told.append((finals, [a | {"updated_at": 0} for a in run.alerts]))
    assert told[0] == told[1]


def test_larger_windows_go_out_at_intervals_or_when_nothing_came_or_at_the_end() -> None:
    run = SystemRun()
    run.feed(report(0, BASE), report(1, BASE), partial(0), partial(0, BASE - BASE % 60_000, size_ms=60_000))
    assert [r["window"] for r in run.cut()] == ["10s", "1m"]
    for requests, expected in ((11, ["10s"]), (12, ["10s"]), (13, ["10s", "1m"]), (14, ["10s"])):
        run.feed(partial(0, requests=requests), partial(0, BASE, requests, 60_000))
        assert [r["window"] for r in run.cut()] == expected
    owed = [run.core.owes]
    assert [(r["window"], r["total_requests"]) for r in run.cut()] == [("1m", 14)]
    assert [*owed, run.core.owes] == [True, False]
    run.feed(partial(0, BASE, 15, 60_000))
    assert [r["total_requests"] for r in run.cut(everything=True)] == [15]


def test_reports_alone_do_not_count_as_traffic() -> None:
    run = SystemRun()
    run.feed(report(0, BASE), report(1, BASE), partial(0, BASE, 10, 60_000))
    run.cut()
    run.feed(partial(0, BASE, 11, 60_000))
    assert run.cut() == []
    run.feed(report(0, BASE + 1_000))
    assert [r["total_requests"] for r in run.cut()] == [11]


def test_alerts_follow_the_finals_and_resolve_when_windows_stay_empty() -> None:
    run = SystemRun(SystemCore(CONFIG, RULES[:1]))
    run.feed(report(0, BASE), report(1, BASE), partial(0, requests=4), partial(1, requests=4))
    run.cut()
    assert run.alerts == []
    run.feed(report(0, BASE + 15_000), report(1, BASE + 15_000))
    run.cut()
    assert [(a["status"], a["value"], a["module_id"]) for a in run.alerts] == [("firing", 8, None)]
    run.feed(partial(0, requests=1), report(0, BASE + 25_000), report(1, BASE + 25_000))
    run.cut()
    assert [a["status"] for a in run.alerts] == ["firing", "resolved"]
    assert run.alerts[1]["ends_at"] == BASE + 20_000


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x00",
        b"{}",
        b"\x81\xa4type\xa6rep\xffrt",
        b"\x82\xa4type\xa6report\xa1x" + b"\x91" * 5_000,
        encode_partial(partial(v=2)),
        encode_partial(partial(size_ms=10_000))[:-1],
    ],
)
def test_a_record_that_is_not_ours_stops_the_task(value: bytes) -> None:
    with pytest.raises(StateIncompatible):
        SystemRun().feed(value)


def test_a_tombstone_on_the_topic_stops_the_task() -> None:
    batch = RecordBatch("partials", 0, [0], [0], [b"k"], [None], NoHeaders())
    with pytest.raises(StateIncompatible, match="partials-0 at offset 0"):
        SystemCore(CONFIG).apply(batch, NOW)


@pytest.mark.parametrize("restart", [False, True])
def test_the_system_task_begins_likewise(restart: bool) -> None:
    start = Start(whole_from_ms=BEGIN_MS, alerts_from_ms=START_MS + 20_000, revision_base=1_000)
    run = Run(SECONDS)
    system = SystemCore(SECONDS, ANY_RULE, start=start)
    emitted: list[Emitted] = []
    log: dict[bytes, bytes | None] = {}
    offset = 0
    for event in EVENTS:
        run.apply([event])
        run.cut(everything=True)
        values: list[bytes | None] = [partial.value for partial in run.cuts[-1].partials]
        system.apply(batch_of(values, [None] * len(values), first=offset), NOW_MS)
        offset += len(values)
        cut = system.cut(NOW_MS, everything=True)
        emitted += cut.outbox.emitted
        log |= {record.key: record.value for record in cut.state}
        if restart:
            log[POSITION_KEY] = pack_position(cut.position)
            system = SystemCore(SECONDS, ANY_RULE, start=replace(start, revision_base=7))
            system.restore({key: value for key, value in log.items() if value is not None})
    records = [e for e in emitted if e.role == "system_metrics"]
    starts = [msgspec.json.decode(e.value)["window_start"] for e in records]
    assert min(starts) == START_MS + 4_000
    first: dict[bytes, int] = {}
    for record in emitted:
        first.setdefault(record.key, record.revision)
    assert set(first.values()) == {1_001}
    (alert,) = [msgspec.json.decode(e.value) for e in emitted if e.role == "module_alerts"]
    assert alert["starts_at"] == START_MS + 18_000


@pytest.mark.parametrize("lost", [8, 9])
def test_after_a_loss_the_system_says_nothing_of_windows_whose_partials_came_before(lost: int) -> None:
    run = Run(SECONDS)
    system = SystemCore(SECONDS, start=Start(after_loss=True))
    emitted: list[Emitted] = []
    offset = 0
    for number, event in enumerate(EVENTS):
        run.apply([event])
        run.cut(everything=True)
        if number < lost:
            continue  # these were read before the loss
        values: list[bytes | None] = [partial.value for partial in run.cuts[-1].partials]
        system.apply(batch_of(values, [None] * len(values), first=offset), NOW_MS)
        offset += len(values)
        emitted += system.cut(NOW_MS, everything=True).outbox.emitted
    starts = [msgspec.json.decode(e.value)["window_start"] for e in emitted if e.role == "system_metrics"]
    assert min(starts) >= START_MS + lost * 1_000 + SECONDS.windows.grace_ms
    assert max(starts) > START_MS + 20_000


def test_after_a_loss_windows_are_whole_behind_the_partition_that_is_farthest() -> None:
    run = SystemRun(SystemCore(CONFIG, start=Start(after_loss=True)))
    run.feed(report(0, BASE + 15_000), report(1, BASE + 5_000))
    run.feed(*(partial(0, BASE + start) for start in (0, 10_000, 20_000, 30_000)))
    assert [record["window_start"] - BASE for record in run.cut()] == [20_000, 30_000]
