"""The core of one partition: how it begins at a time or after a loss, what silence does, and what it says of how far it is."""

from typing import Any

import msgspec
import pytest

from pipeline.alerts.rules import load_rules
from pipeline.config import Start
from schemas.partials import PartitionReport, decode_partial
from tests.support.core.cores import NOW_MS, START_MS, TOPIC, Event, Run, batch_of, config_of

CONFIG = config_of((2, 6), 1_000, 2_000)
RULES = load_rules('[[rule]]\nname="Errors"\nwindow="2s"\nexpression="error_rate > 0.5"\n', "rules.toml", ["2s", "6s"])
BEGIN_MS = START_MS + 3_000
EVENTS = [Event("m", START_MS + second * 1_000, success=False) for second in range(30)]


def played(start: Start | None, *, restart: bool = False) -> Run:
    """All events, half of them before the restart."""
    run = Run(CONFIG, RULES, start=start)
    run.apply(EVENTS[:15])
    run.cut(everything=True)
    if restart:
        run.start = None  # what the task was told first counts for ever
        run.restart()
    run.apply(EVENTS[15:])
    run.cut(NOW_MS + 1_000_000, everything=True)
    return run


def alerts_of(run: Run) -> list[dict[str, Any]]:
    return [msgspec.json.decode(e.value) for e in run.emitted if e.role == "module_alerts"]


@pytest.mark.parametrize("restart", [False, True])
def test_windows_that_start_before_are_not_published_and_all_others_are_as_ever(restart: bool) -> None:
    whole = {(r.window, r.window_start): r for r in played(None).metrics if r.status == "final"}
    found = {
        (r.window, r.window_start): r
        for r in played(Start(whole_from_ms=BEGIN_MS), restart=restart).metrics
        if r.status == "final"
    }
    assert found.keys() == {key for key in whole if key[1] >= BEGIN_MS}
    for key, record in found.items():
        assert record.total_requests == whole[key].total_requests == int(key[0][:-1])


def test_the_report_says_from_when_on_windows_are_whole() -> None:
    run = Run(CONFIG, start=Start(whole_from_ms=BEGIN_MS))
    run.cut()
    (report,) = [decode_partial(partial.value, "test") for partial in run.cuts[-1].partials]
    assert isinstance(report, PartitionReport)
    assert report.whole_from_ms == {2_000: BEGIN_MS, 6_000: BEGIN_MS}


@pytest.mark.parametrize("restart", [False, True])
def test_rules_are_not_evaluated_on_windows_that_end_before(restart: bool) -> None:
    from_ms = START_MS + 20_000
    assert alerts_of(played(None))[0]["starts_at"] == START_MS
    (alert,) = alerts_of(played(Start(alerts_from_ms=from_ms), restart=restart))
    assert (alert["status"], alert["starts_at"]) == ("firing", from_ms - 2_000)


@pytest.mark.parametrize("restart", [False, True])
def test_revisions_of_records_and_alerts_begin_above_the_base(restart: bool) -> None:
    run = played(Start(revision_base=1_000), restart=restart)
    first: dict[bytes, int] = {}
    revised = [[e for e in each.emitted if e.role != "health_status"] for each in (run, played(None))]
    for emitted in revised[0]:
        first.setdefault(emitted.key, emitted.revision)
    assert len(first) > 15
    assert set(first.values()) == {1_001}
    assert [e.revision for e in revised[0]] == [e.revision + 1_000 for e in revised[1]]


def test_a_state_has_the_last_word_over_a_start() -> None:
    run = Run(CONFIG, RULES)
    run.apply(EVENTS[:5])
    run.cut(everything=True)
    run.start = Start(whole_from_ms=START_MS + 10**6, alerts_from_ms=START_MS + 10**6, revision_base=50)
    run.restart()
    run.apply(EVENTS[5:])
    run.cut(NOW_MS + 1_000_000, everything=True)
    assert run.core.parts().position().start.revision_base == 0
    assert any(r.status == "final" and r.window_start > START_MS + 8_000 for r in run.metrics)


@pytest.mark.parametrize("restart", [False, True])
def test_after_a_loss_of_state_nothing_is_said_of_windows_that_may_have_begun_before(restart: bool) -> None:
    """What was said of them before the loss had more events, and readers would take the newer record."""
    run = Run(CONFIG, RULES, start=Start(revision_base=1_000, after_loss=True))
    run.cut(everything=True)
    if restart:
        run.restart()
    run.apply(EVENTS[5:15])
    run.cut(everything=True)
    if restart:
        run.restart()
    run.apply([Event("m", START_MS + 500), *EVENTS[15:]])
    run.cut(NOW_MS + 1_000_000, everything=True)
    first_ms = START_MS + 5_000 + CONFIG.windows.grace_ms
    starts = {record.window_start for record in run.metrics}
    assert min(starts) == first_ms
    whole = {(r.window, r.window_start): r for r in played(None).metrics if r.status == "final"}
    for record in run.metrics:
        if record.status == "final":
            assert record.total_requests == whole[record.window, record.window_start].total_requests
    assert min(record.revision for record in run.metrics) == 1_001


def test_idle_time_moves_stream_time_to_the_wall_clock_at_most_never_back_and_not_before_the_first_event() -> None:
    run = Run(CONFIG)
    run.core.idle_until(START_MS, NOW_MS)
    assert (run.core.idle, run.core.stream_ms) == (True, None)
    run.apply(EVENTS[:1])
    moved = []
    for to_ms, now_ms in ((500, 9_000), (100, 9_000), (9_000, 700)):
        run.core.idle_until(START_MS + to_ms, START_MS + now_ms)
        assert run.core.stream_ms is not None
        moved.append(run.core.stream_ms - START_MS)
    assert moved == [500, 500, 700]


def test_an_event_ends_the_silence_and_a_record_that_is_none_does_not() -> None:
    run = Run(CONFIG)
    run.core.idle_until(START_MS, NOW_MS)
    run.core.apply(batch_of([b"no event"], [b"m"]), NOW_MS)
    idle = [run.core.idle]
    run.core.apply(batch_of([EVENTS[0].value], [b"m"], first=1), NOW_MS)
    assert [*idle, run.core.idle] == [True, False]
    assert (run.core.ledgers[TOPIC].invalid, run.core.ledgers[TOPIC].applied) == (1, 1)


def test_how_far_the_task_is_is_said_again_only_when_it_changed() -> None:
    run = Run(CONFIG)
    told = []
    for step in ("nothing", "nothing", "event", "idle"):
        if step == "event":
            run.apply(EVENTS[:1])
        elif step == "idle":
            run.core.idle_until(0, NOW_MS)
        run.cut()
        reports = [decode_partial(partial.value, "test") for partial in run.cuts[-1].partials]
        told.append([(r.stream_ms, r.idle) for r in reports if isinstance(r, PartitionReport)])
    assert told == [[(None, False)], [], [(START_MS, False)], [(START_MS, True)]]


def test_a_task_that_goes_as_far_as_another_closes_and_seals_what_is_closed_and_sealed_there() -> None:
    run = Run(CONFIG)
    run.apply(EVENTS[:4])
    run.core.advance_to((START_MS + 3_500, START_MS + 4_000, START_MS + 2_000), NOW_MS)
    run.cut()
    assert [(r.window_start - START_MS, r.status) for r in run.metrics if r.window == "2s"] == [
        (0, "final"),
        (2_000, "final"),
    ]
    run.apply([Event("m", START_MS + 1_999), Event("m", START_MS + 2_000)])
    assert (run.ledger.late, run.ledger.applied, run.core.stream_ms) == (1, 5, START_MS + 3_500)
    run.core.advance_to((START_MS, START_MS, START_MS), NOW_MS)
    assert run.core.stream_ms == START_MS + 3_500
