"""Windows of disordered streams against a brute-force model, however the stream is cut into batches."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import CoreConfig
from tests.property.kit import NOW_MS, Event, Run, finals_of, fixed, last_of_each, split
from tests.property.model import WindowModel, check_run
from tests.property.streams import configs, cut_places, streams


def run_in_parts(config: CoreConfig, events: Sequence[Event], batches: Sequence[int], cut_every: int) -> Run:
    """Feed the events in some batches, cut now and then, and at the end cut everything."""
    run = Run(config)
    for index, part in enumerate(split(events, batches)):
        run.apply(part)
        if index % cut_every == 0:
            run.cut(NOW_MS + index * 1_000)
    run.cut(NOW_MS + 1_000_000, everything=True)
    return run


@fixed(150)
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
    check_run(run.metrics, model, config)


@fixed(100)
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
