"""Tasks without state that begin at a time: windows they did not see whole are not published, and history raises no alert."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from pipeline.alerts.rules import load_rules
from pipeline.config import Start
from pipeline.outputs import Emitted
from pipeline.system.core import SystemCore
from schemas.partials import PartitionReport, decode_partial
from schemas.state import POSITION_KEY, pack_position
from tests.support.cores import NOW_MS, START_MS, Event, Run, batch_of, config_of

CONFIG = config_of((2, 6), 1_000, 2_000)
RULES = load_rules('[[rule]]\nname="Errors"\nwindow="2s"\nexpression="error_rate > 0.5"\n', "rules.toml", ["2s", "6s"])
SYSTEM_RULES = load_rules(
    '[[rule]]\nname="Any"\nscope="system"\nwindow="2s"\nexpression="total_requests > 0"\n', "rules.toml", ["2s", "6s"]
)
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
def test_the_system_task_begins_likewise(restart: bool) -> None:
    start = Start(whole_from_ms=BEGIN_MS, alerts_from_ms=START_MS + 20_000, revision_base=1_000)
    run = Run(CONFIG)
    system = SystemCore(CONFIG, SYSTEM_RULES, start=start)
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
            system = SystemCore(CONFIG, SYSTEM_RULES, start=replace(start, revision_base=7))
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


def test_after_a_loss_the_system_says_nothing_of_windows_whose_partials_came_before() -> None:
    run = Run(CONFIG)
    system = SystemCore(CONFIG, start=Start(after_loss=True))
    emitted: list[Emitted] = []
    offset = 0
    for number, event in enumerate(EVENTS):
        run.apply([event])
        run.cut(everything=True)
        if number < 9:
            continue  # these were read before the loss
        values: list[bytes | None] = [partial.value for partial in run.cuts[-1].partials]
        system.apply(batch_of(values, [None] * len(values), first=offset), NOW_MS)
        offset += len(values)
        emitted += system.cut(NOW_MS, everything=True).outbox.emitted
    starts = [msgspec.json.decode(e.value)["window_start"] for e in emitted if e.role == "system_metrics"]
    assert min(starts) >= START_MS + 9_000 + CONFIG.windows.grace_ms
    assert max(starts) > START_MS + 20_000
