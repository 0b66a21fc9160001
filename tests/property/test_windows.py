"""Windows of disordered streams against a brute-force model, however the stream is cut into batches."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import CoreConfig, HealthProfile, Threshold, default_thresholds
from schemas.metrics import ModuleMetrics
from tests.support.core.cores import (
    NOW_MS,
    START_MS,
    Event,
    Key,
    Run,
    config_of,
    finals_of,
    fixed,
    key_of,
    last_of_each,
    split,
)
from tests.support.core.model import check_run
from tests.support.core.streams import configs, cut_places, streams
from tests.support.core.window_model import WindowModel

pytestmark = pytest.mark.usefixtures("both_ways")


def run_in_parts(config: CoreConfig, events: Sequence[Event], batches: Sequence[int], cut_every: int) -> Run:
    """Feed the events in some batches, cut now and then, and at the end cut everything."""
    run = Run(config)
    for index, part in enumerate(split(events, batches)):
        run.apply(part)
        if index % cut_every == 0:
            run.cut(NOW_MS + index * 1_000)
    run.cut(NOW_MS + 1_000_000, everything=True)
    return run


@fixed(100)
@given(configs(), streams(), cut_places, st.integers(1, 5))
def test_a_disordered_stream_gives_the_windows_of_the_brute_force_model(
    config: CoreConfig, events: list[Event], batches: list[int], cut_every: int
) -> None:
    run = run_in_parts(config, events, batches, cut_every)
    model = WindowModel(config).take(events)
    assert [record.offset for record in run.rejected] == model.late
    assert run.ledger.late == len(model.late)
    assert run.ledger.duplicate == len(model.duplicates)
    assert run.core.stream_ms == model.stream
    check_run(run.metrics, model)


@fixed(25)
@given(configs(emit_interval_ms=5_000), streams(), cut_places, cut_places, st.integers(1, 5))
def test_batches_and_cuts_change_no_final_and_no_last_record(
    config: CoreConfig, events: list[Event], batches: list[int], others: list[int], cut_every: int
) -> None:
    one = run_in_parts(config, events, batches, cut_every)
    other = run_in_parts(config, events, others, 1)
    single = run_in_parts(config, events, range(len(events)), 3)
    for run in (other, single):
        assert finals_of(run.metrics) == finals_of(one.metrics)
        assert last_of_each(run.metrics) == last_of_each(one.metrics)
        assert run.ledger == one.ledger
        assert [record.offset for record in run.rejected] == [record.offset for record in one.rejected]


@fixed(40)
@given(streams(), cut_places, st.sampled_from([(1, 2, 6, 12), (1, 12), (1, 3, 4, 12), (2, 4, 6, 12)]))
def test_a_window_merged_from_panes_equals_the_window_computed_directly(
    events: list[Event], batches: list[int], sizes: tuple[int, ...]
) -> None:
    thresholds = default_thresholds() | {"error_burst": Threshold(None, None, 10.0)}  # the one that knows of panes
    profile = HealthProfile(thresholds, min_requests=2)
    direct, merged = (
        run_in_parts(config_of(some, 1_000, 1_000_000, profile=profile), events, batches, 2) for some in ((12,), sizes)
    )
    large = [record for record in merged.metrics if record.window == "12s"]
    assert large
    assert last_of_each(large) == last_of_each(direct.metrics)
    assert finals_of(large) == finals_of(direct.metrics)


def test_an_event_exactly_at_the_end_of_a_window_belongs_to_the_next() -> None:
    run = Run(config_of((1, 2), 0, 0))
    run.apply([Event("m", START_MS), Event("m", START_MS + 999), Event("m", START_MS + 1_000)])
    run.cut(everything=True)
    assert {key: record.total_requests for key, record in last_of_each(run.metrics).items()} == {
        ("m", "1s", START_MS): 2,
        ("m", "1s", START_MS + 1_000): 1,
        ("m", "2s", START_MS): 3,
    }


@pytest.mark.parametrize(("grace", "corrections"), [(0, 0), (0, 1_000), (1_000, 0), (700, 300)])
def test_statuses_change_exactly_when_stream_time_reaches_end_plus_grace_and_then_plus_corrections(
    grace: int, corrections: int
) -> None:
    end, event = START_MS + 1_000, Event("m", START_MS)
    seen: dict[int, str] = {}
    for stream in range(end - 1, end + 2_002):
        if (stream - end) not in {-1, 0, grace - 1, grace, grace + corrections - 1, grace + corrections}:
            continue
        run = Run(config_of((1,), grace, corrections))
        run.apply([event])
        run.apply([Event("clock", stream)])
        run.apply([event])
        run.cut()
        last = last_status(run.metrics, ("m", "1s", START_MS))
        seen[stream - end] = "late" if run.ledger.late else last
    expected = {
        after: "late" if after >= grace + corrections else "corrected" if after >= grace else "provisional"
        for after in seen
    }
    assert seen == expected


def test_an_event_at_stream_time_is_never_late_and_one_that_alone_moves_it_never_closes_its_own_window() -> None:
    run = Run(config_of((1,), 0, 0))
    for time in (START_MS, START_MS + 999, START_MS + 1_000, START_MS + 1_000, START_MS + 50_000, START_MS + 50_000):
        run.apply([Event("m", time)])
    run.cut()
    assert (run.ledger.applied, run.ledger.late) == (6, 0)
    assert {record.window_start - START_MS for record in finals_of(run.metrics).values()} == {0, 1_000}


def test_a_window_that_is_first_seen_after_its_close_is_corrected_from_its_first_record_on() -> None:
    run = Run(config_of((1, 2), 0, 60_000))
    run.apply([Event("clock", START_MS + 10_000), Event("m", START_MS)])
    run.cut(everything=True)
    assert [(r.window, r.status, r.revision) for r in run.metrics if r.module_id == "m"] == [
        ("1s", "corrected", 1),
        ("2s", "corrected", 1),
    ]


def test_a_duplicate_counts_once_and_sizes_that_do_not_divide_each_other_are_chained_through_those_that_do() -> None:
    config = config_of((2, 4, 6, 12), 0, 0)
    run = Run(config)
    events = [Event("m", START_MS + second * 1_000, float(second), event_id=str(second)) for second in range(12)]
    for event in [*events, *events, Event("m", START_MS + 24_000)]:
        run.apply([event])
    run.cut(everything=True)
    totals = {(key[1], key[2] - START_MS): record.total_requests for key, record in finals_of(run.metrics).items()}
    expected = {(f"{size}s", start * 1_000): size for size in (2, 4, 6, 12) for start in range(0, 12, size)}
    assert totals == expected
    assert run.ledger.late + run.ledger.duplicate == 12


def test_a_mean_lies_between_the_least_and_the_largest_value_also_where_sums_are_cut_or_saturate() -> None:
    run = Run(config_of((1,), 0, 0))
    values = {"tiny": (1e-300, 3e-300), "huge": (1e30, 1e31)}
    run.apply([Event(module, START_MS, value) for module, both in values.items() for value in both])
    run.cut()
    assert {record.module_id: record.response_time_ms.avg for record in run.metrics} == {"tiny": 1e-300, "huge": 1e30}


def test_one_batch_of_more_records_than_are_taken_at_once_is_applied_whole() -> None:
    many = 3_000
    events = [Event("ab"[i % 2], START_MS + i, float(i), event_id=str(i)) for i in range(many)]
    whole, cut = Run(config_of((1, 2), 0, 5_000)), Run(config_of((1, 2), 0, 5_000))
    whole.apply(events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.cores.module_core.MAX_BATCH_RECORDS", 700)
        cut.apply(events)
    for run in (whole, cut):
        run.cut(everything=True)
    assert last_of_each(cut.metrics) == last_of_each(whole.metrics)
    assert finals_of(cut.metrics) == finals_of(whole.metrics)
    assert cut.ledger == whole.ledger
    assert cut.core.offsets == whole.core.offsets == {"events": many}


def test_a_module_that_is_new_in_a_batch_that_seals_windows_keeps_its_name() -> None:
    """The batch corrects a closed window, so it is folded in pieces; a pane is sealed before the new module's event."""
    run = Run(config_of((1,), 0, 5_000))
    run.apply([Event("old", START_MS)])
    later = START_MS + 10_000
    run.apply([Event("old", later), Event("old", later - 2_000), Event("new", later)])
    run.cut()
    assert ("new", "1s", later) in last_of_each(run.metrics)


def last_status(records: Sequence[ModuleMetrics], key: Key) -> str:
    """The status of the newest record of a key."""
    return [record.status for record in records if key_of(record) == key][-1]


def test_a_window_that_opened_before_the_registry_grew_is_closed_like_any_other() -> None:
    run = Run(config_of((1, 2), 5_000, 60_000))
    run.apply([Event("first", START_MS)])
    run.apply([Event(f"m{number}", START_MS + 3_000) for number in range(100)])
    run.apply([Event("first", START_MS + 20_000)])
    run.cut(everything=True)
    finals = finals_of(run.metrics)
    assert len(finals) == 2 * 101
    assert finals["first", "1s", START_MS].total_requests == 1
