"""A core restored from its changelog goes on as if nothing had happened, and the changelog does not grow for ever."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as msgspec_replace

from pipeline.alerts.rules import Rule, load_rules
from pipeline.config import CoreConfig, Limits
from pipeline.cores.module_core import ModuleCore
from schemas.errors import StateIncompatible
from schemas.state import POSITION_KEY, pack_position, unpack_position
from tests.support.core.cores import NOW_MS, START_MS, Event, Run, config_of, finals_of, fixed, last_of_each, split
from tests.support.core.streams import configs, cut_places, streams

pytestmark = pytest.mark.usefixtures("both_ways")

RULES = """
[[rule]]
name = "Errors"
window = "{window}"
expression = "error_rate > threshold"
threshold = 0.3
no_data = "ok"
keep_firing_for = "2s"
[[rule]]
name = "Slow"
window = "{window}"
expression = "response_time_ms.p99 > 1000.0 || health.status == 'critical'"
value = "response_time_ms.p99"
for = "2s"
annotations = {{ summary = "{{module_id}} takes {{response_time_ms.p99:.0f}} ms" }}
[[rule]]
name = "Held"
window = "{window}"
expression = "total_requests >= 2"
no_data = "hold"
[[rule]]
name = "Silent"
window = "{window}"
no_data = "alert"
for = "1s"
annotations = {{ summary = "{{module_id}} since {{silent_since}}" }}
"""


def rules_of(config: CoreConfig) -> tuple[Rule, ...]:
    """Rules on the smallest window, one for each meaning of no data."""
    names = [name for name, _ in config.windows.sizes]
    return load_rules(RULES.format(window=names[0]), "rules.toml", names)


def run_with_restarts(
    config: CoreConfig, events: Sequence[Event], batches: Sequence[int], restarts: int, *, drain: bool
) -> Run:
    """Cut after every batch, and restart after those cuts whose bit is set; `drain` cuts everything at the end."""
    run = Run(config, rules_of(config))
    for index, part in enumerate(split(events, batches)):
        now = NOW_MS + index * 1_000
        run.apply(part, now)
        run.cut(now)
        if restarts >> index & 1:
            run.restart(seed=index)
    assert run.core.stream_ms is not None
    run.core.idle_until(run.core.stream_ms + 2_500, NOW_MS + 2_500)
    run.cut(NOW_MS + 1_000_000, everything=drain)
    run.cut(NOW_MS + 1_001_000, everything=drain)
    return run


def said(run: Run) -> list[list[tuple[bytes, int, bytes]]]:
    """Every output and partial of every cut, byte by byte; within a cut in the order of keys."""
    return [
        sorted([(e.key, e.revision, e.value) for e in cut.outbox.emitted])
        + sorted((p.key, 0, p.value) for p in cut.partials if p.key.startswith(b"partial"))
        + sorted((b"rejected", r.offset, r.reason.encode()) for r in cut.outbox.rejected)
        for cut in run.cuts
    ]


small_limits = st.builds(
    Limits,
    max_modules=st.sampled_from([2, 100]),
    module_expiry_ms=st.sampled_from([2_000, 86_400_000]),
    max_dedup_ids_per_pane=st.sampled_from([1, 100]),
)


@fixed(25)
@given(configs(), small_limits, streams(), cut_places, st.integers(1, 2**13 - 1))
def test_a_restart_at_any_cut_changes_no_byte_of_any_output(
    config: CoreConfig, limits: Limits, events: list[Event], batches: list[int], restarts: int
) -> None:
    config = replace(config, limits=limits)
    steady = run_with_restarts(config, events, batches, 0, drain=True)
    restarted = run_with_restarts(config, events, batches, restarts, drain=True)
    assert said(restarted) == said(steady)
    assert restarted.ledger == steady.ledger
    assert set(restarted.core.modules.codes) == set(steady.core.modules.codes)
    assert restarted.core.open_windows == steady.core.open_windows
    assert restarted.core.dedup.remembered <= max(steady.core.dedup.remembered, len(events))


@fixed(25)
@given(configs(emit_interval_ms=60_000), streams(), cut_places, st.integers(1, 2**13 - 1))
def test_a_restart_between_two_records_of_larger_windows_loses_none_of_them(
    config: CoreConfig, events: list[Event], batches: list[int], restarts: int
) -> None:
    """Larger windows go out rarely here, so at most cuts the changelog knows them by their panes only."""
    steady = run_with_restarts(config, events, batches, 0, drain=False)
    restarted = run_with_restarts(config, events, batches, restarts, drain=False)
    assert finals_of(restarted.metrics) == finals_of(steady.metrics)
    assert last_of_each(restarted.metrics) == last_of_each(steady.metrics)
    alerts = [[e.value for e in run.emitted if e.role == "module_alerts"] for run in (steady, restarted)]
    assert sorted(alerts[0]) == sorted(alerts[1])


@fixed(25)
@given(configs(), streams(), cut_places)
def test_the_changelog_holds_only_what_can_still_change(
    config: CoreConfig, events: list[Event], batches: list[int]
) -> None:
    run = Run(config, rules_of(config))
    keep_ms = config.windows.grace_ms + config.windows.corrections_ms
    for part in split(events, batches):
        run.apply(part)
        run.cut()
        assert run.core.stream_ms is not None
        for key in run.log:
            kind, *numbers = key.split(b"|")
            if kind in (b"sums", b"meta"):
                size, start = int(numbers[0]), int(numbers[1])
                assert start + size + keep_ms > run.core.stream_ms, key
            elif kind == b"ids":
                assert int(numbers[0]) + keep_ms > run.core.stream_ms, key
            else:
                assert kind in (b"modules", b"alert", b"position"), key


def test_a_larger_window_that_has_no_record_yet_is_not_lost_in_a_restart() -> None:
    """Its pane is in the changelog and it is not: it must come back with the pane."""
    runs = []
    for restart in (False, True):
        run = Run(config_of((1, 2), 1_000, 10_000, emit_interval_ms=5_000))
        run.apply([Event("m", START_MS)])
        run.cut(NOW_MS)
        run.apply([Event("m", START_MS + 2_000)])
        run.cut(NOW_MS + 100)
        if restart:
            run.restart()
        run.apply([Event("m", START_MS + 6_000)])
        run.cut(NOW_MS + 200)
        runs.append(finals_of(run.metrics))
    assert ("m", "2s", START_MS + 2_000) in runs[0]
    assert runs[1] == runs[0]


def test_a_record_that_a_larger_window_owes_survives_a_restart_even_when_all_its_panes_are_sealed() -> None:
    run = Run(config_of((1, 10), 0, 0, emit_interval_ms=5_000))
    run.apply([Event("m", START_MS)])
    run.cut(NOW_MS)
    run.apply([Event("m", START_MS)])
    run.core.idle_until(START_MS + 3_000, NOW_MS + 3_000)
    run.cut(NOW_MS + 100)
    assert last_of_each(run.metrics)["m", "10s", START_MS].total_requests == 1
    run.restart()
    run.cut(NOW_MS + 200)
    assert last_of_each(run.metrics)["m", "10s", START_MS].total_requests == 2


def test_a_cut_writes_only_the_chunks_that_changed() -> None:
    run = Run(config_of((1, 2), 1_000, 5_000))
    run.apply([Event(f"m{i}", START_MS, event_id="1") for i in range(200)])
    run.cut()
    assert len(run.cuts[-1].state) == 4 * 4 + 1, "sums, two metas and modules of four chunks, one segment of ids"
    run.cut()
    assert run.cuts[-1].state == []
    run.apply([Event("m150", START_MS)])
    run.cut()
    assert [record.key for record in run.cuts[-1].state] == [
        b"sums|1000|%d|2" % START_MS,
        b"meta|1000|%d|2" % START_MS,
        b"meta|2000|%d|2" % START_MS,
    ]


def test_a_chunk_of_modules_that_have_all_expired_can_be_restored() -> None:
    run = Run(replace(config_of((1,), 0, 0), limits=Limits(module_expiry_ms=1_000)))
    run.apply([Event(f"m{i}", START_MS) for i in range(100)])
    for second in range(10, 16):
        run.apply([Event("m0", START_MS + second * 1_000)])
        run.cut()
    assert run.core.modules.tracked == 1
    run.restart()
    run.apply([Event("m99", START_MS + 16_000)])
    run.cut()
    assert set(run.core.modules.codes) == {"__other__", "m0", "m99"}


def test_a_window_of_unwell_modules_that_have_all_expired_can_be_restored_under_the_default_settings() -> None:
    """What a window remembers of an unwell module outlives it by grace and corrections, in a chunk that no module is left in."""
    run = Run(CoreConfig())
    day = 86_400_000
    begin = START_MS // day * day
    now_ms = begin + 3 * day
    for number in range(65):
        run.apply([Event(f"m{number}", begin + i, success=number < 64) for i in range(10)], now_ms)
    times = [*range(begin + 600_000, begin + day, 600_000), *range(begin + day, begin + day + 12 * 60_000, 30_000)]
    for time in times:
        run.apply([Event("m0", time)], now_ms)
        run.cut(now_ms)
    assert (run.core.modules.tracked, run.core.modules.capacity) == (1, 128)
    for attempt in range(3):
        run.restart()
        run.apply([Event("m0", times[-1] + attempt)], now_ms)
        run.cut(now_ms, everything=True)
    assert run.ledger.applied == 650 + len(times) + 3


def test_a_sealed_window_stays_sealed_where_corrections_are_made_longer() -> None:
    """Its events are late, its ids are gone, and no record of it goes out again."""
    run = Run(config_of((30, 60, 300), 10_000, 30_000))
    run.apply([Event("m", START_MS + i, event_id=f"e{i}") for i in range(100)])
    run.apply([Event("m", START_MS + 120_000)])
    run.cut(everything=True)
    told = len(run.metrics)
    run.config = config_of((30, 60, 300), 10_000, 600_000)
    run.restart()
    run.apply([Event("m", START_MS + 5, event_id="e5"), Event("m", START_MS + 6, event_id="new")])
    run.cut(everything=True)
    assert [letter.reason for letter in run.rejected] == ["late", "late"]
    assert [(r.window, r.total_requests) for r in run.metrics[told:]] == []
    assert last_of_each(run.metrics)["m", "300s", START_MS // 300_000 * 300_000].total_requests == 101
    run.apply([Event("m", START_MS + 119_000)])
    assert run.ledger.late == 2, "what was not sealed yet takes corrections for as long as the new setting says"


@pytest.mark.parametrize("restart", [False, True])
def test_a_larger_window_restored_from_sealed_sums_alone_is_published_as_without_a_restart(restart: bool) -> None:
    hour = 3_600_000
    begin = START_MS // hour * hour
    now_ms = NOW_MS + 10**9
    run = Run(CoreConfig())
    run.apply([Event("m", begin - 2 * hour)], now_ms)
    run.cut(now_ms)
    run.apply([Event("m", begin + 60_000), Event("clock", begin + hour + 5_000)], now_ms)
    run.cut(now_ms + 1_000)
    if restart:
        run.restart()
    run.cut(now_ms + 2_000, everything=True)
    found = {key[1] for key in last_of_each(run.metrics) if key[0] == "m" and key[2] == begin}
    assert "1h" in found


def test_the_place_of_an_expired_module_is_used_again_after_a_restart() -> None:
    run = Run(replace(config_of((1,), 0, 0), limits=Limits(module_expiry_ms=1_000)))
    run.apply([Event("old", START_MS), Event("stays", START_MS)])
    code = run.core.modules.codes["old"]
    for second in (4, 8, 12):
        run.apply([Event("stays", START_MS + second * 1_000)])
    run.cut()
    run.restart()
    run.apply([Event("new", START_MS + 12_000)])
    assert run.core.modules.codes == {"__other__": 0, "stays": 2, "new": code}


def test_a_module_known_from_a_late_event_alone_keeps_its_place_over_a_restart() -> None:
    config = replace(config_of((1, 2, 6), 0, 0), limits=Limits(max_modules=2, module_expiry_ms=2_000))
    outputs = []
    for restart in (False, True):
        run = Run(config)
        for event in (Event("checkout", START_MS), Event("checkout", START_MS), Event("search", START_MS - 1)):
            run.apply([event])
            run.cut()
        if restart:
            run.restart()
        run.apply([Event("checkout", START_MS)])
        run.cut()
        run.apply([Event("new", START_MS)])
        run.cut(NOW_MS + 1_000_000, everything=True)
        outputs.append(said(run))
    assert outputs[0] == outputs[1]


def test_a_larger_window_that_opened_after_its_close_stays_final_over_a_restart() -> None:
    config = config_of((2, 6), 1_000, 10_000, emit_interval_ms=5_000)
    steps = [[Event("m", START_MS + 9_100)], [Event("m", START_MS + 3_600), Event("clock", START_MS + 15_100)]]
    statuses = []
    for restart in (False, True):
        run = Run(config)
        for number, step in enumerate(steps):
            run.apply(step)
            run.cut(NOW_MS + number * 100)
        if restart:
            run.restart()
        run.apply([Event("clock", START_MS + 30_000)])
        run.cut(NOW_MS + 1_000_000, everything=True)
        statuses.append([(r.module_id, r.window, r.window_start, r.status, r.total_requests) for r in run.metrics])
    assert ("m", "6s", START_MS, "corrected", 1) in statuses[0]
    assert set(statuses[0]) == set(statuses[1])


def test_event_ids_of_one_pane_are_remembered_over_several_restarts() -> None:
    run = Run(config_of((1,), 0, 5_000))
    for number in range(4):
        run.apply([Event("m", START_MS, event_id=str(earlier)) for earlier in range(number + 1)])
        run.cut()
        run.restart()
    assert (run.ledger.applied, run.ledger.duplicate) == (4, 6)


def test_many_modules_in_several_chunks_come_back_from_a_shuffled_changelog() -> None:
    runs = []
    for restart in (False, True):
        run = Run(config_of((1, 2, 6), 500, 3_000))
        for second in range(9):
            time = START_MS + second * 700
            run.apply([Event(f"m{i % (200 - second)}", time - i % 1_900, i / 7, i % 5 > 0) for i in range(400)])
            run.cut()
            if restart:
                run.restart(seed=second)
        runs.append(run)
    assert said(runs[1]) == said(runs[0])


def test_state_that_cannot_be_continued_from_is_refused_with_the_way_out() -> None:
    run = Run(config_of((1, 2), 0, 5_000))
    run.apply([Event("m", START_MS)])
    run.cut(everything=True)
    position = run.log[POSITION_KEY]
    with pytest.raises(StateIncompatible, match=r"no .position..*application_id"):
        ModuleCore(run.config).restore({key: value for key, value in run.log.items() if key != POSITION_KEY})
    with pytest.raises(StateIncompatible, match="partitions"):
        ModuleCore(run.config, partitions=2).restore({POSITION_KEY: position})
    with pytest.raises(StateIncompatible, match="does not know"):
        ModuleCore(run.config).restore(run.log | {b"mystery|1": b""})
    with pytest.raises(StateIncompatible, match="no window of 3000 ms"):
        ModuleCore(run.config).restore(run.log | {b"meta|3000|0|0": b""})
    other = unpack_position(position)
    with pytest.raises(StateIncompatible, match=r"relative error of 0\.02"):
        ModuleCore(run.config).restore(
            run.log | {POSITION_KEY: pack_position(msgspec_replace(other, relative_error=0.02))}
        )
