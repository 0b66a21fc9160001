"""Of each record of a batch, in order: its module, stream time, then late, duplicate or applied; however the batch is cut."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import CoreConfig, Limits
from tests.support.core.cores import NOW_MS, START_MS, TOPIC, Event, Run, batch_of, config_of, finals_of, fixed
from tests.support.core.window_model import WindowModel

pytestmark = pytest.mark.usefixtures("both_ways")

CONFIG = config_of((1,), 500, 1_500)
HASTY = replace(CONFIG, limits=Limits(max_modules=2, module_expiry_ms=1_000))


def at(second: float, module: str = "m", event_id: str | None = None) -> Event:
    return Event(module, START_MS + int(second * 1_000), event_id=event_id)


def fates(run: Run) -> tuple[int, int, int]:
    return run.ledger.applied, run.ledger.late, run.ledger.duplicate


def test_stream_time_runs_within_a_batch_so_an_event_is_late_by_one_before_it_and_not_by_one_behind_it() -> None:
    """A window that ends at 1 s takes events until stream time is at 3 s."""
    run = Run(CONFIG)
    run.apply([at(0), at(2.999), at(0.999), at(3), at(0.999), at(1)])
    run.cut()
    assert fates(run) == (5, 1, 0)
    (letter,) = run.rejected
    assert (letter.reason, letter.message) == ("late", "its window was sealed 2000 ms after its end, in stream time")
    assert (letter.topic, letter.partition, letter.offset, letter.value) == (TOPIC, 3, 4, at(0.999).value)


def test_late_events_that_other_records_lie_between_are_found_by_their_offsets() -> None:
    run = Run(CONFIG)
    values: list[bytes | None] = [at(9).value, b"no event", at(1).value, at(9.5).value, b"", at(2).value]
    run.core.apply(batch_of(values, [b"m"] * 6, first=40), NOW_MS)
    run.cut()
    assert [(r.offset, r.value) for r in run.rejected if r.reason == "late"] == [(42, values[2]), (45, values[5])]
    assert (run.ledger.consumed, run.ledger.applied, run.ledger.late, run.ledger.invalid) == (6, 2, 2, 2)


def test_a_late_event_is_no_duplicate_and_its_id_is_not_remembered() -> None:
    run = Run(CONFIG)
    run.apply([at(0, event_id="a"), at(9), at(0, event_id="a"), at(1, event_id="b")])
    assert fates(run) == (2, 2, 0)
    run.apply([at(9, event_id="b")])
    assert fates(run) == (3, 2, 0)
    run.cut()
    run.apply([at(1, event_id="c")])
    run.cut()
    assert [key for key in run.log if key.startswith(b"ids|")] == [b"ids|%d|0" % (START_MS + 10_000)]


def test_of_equal_ids_of_one_module_the_first_counts_and_events_without_an_id_all_do() -> None:
    run = Run(CONFIG)
    run.apply([at(0, event_id="a"), at(0), at(0.5, event_id="a"), at(0, "n", "a"), at(0), at(0.6, event_id="a")])
    run.cut(everything=True)
    assert fates(run) == (4, 0, 2)
    assert [(r.module_id, r.total_requests) for r in run.metrics] == [("m", 3), ("n", 1)]


def test_only_an_event_of_a_module_that_is_known_here_ends_the_silence_also_a_late_one() -> None:
    run = Run(CONFIG)
    heard = []
    for number, value in enumerate((b"no event", at(9).value, at(0).value, b"no event")):
        run.core.apply(batch_of([value], [b"m"], first=number), NOW_MS + number)
        heard.append(run.core.heard_ms)
    assert heard == [None, NOW_MS + 1, NOW_MS + 2, NOW_MS + 2]
    assert (run.ledger.applied, run.ledger.late, run.ledger.invalid) == (1, 1, 2)


def test_a_module_known_from_a_late_event_alone_is_kept_as_long_as_one_seen_at_what_was_sealed_then() -> None:
    run = Run(CONFIG)
    run.apply([at(9)])
    run.apply([at(0, "late")])
    modules = run.core.modules
    assert int(modules.last_ms[modules.codes["late"]]) == START_MS + 7_000
    whole = Run(CONFIG)
    whole.apply([at(9), at(0, "late")])
    assert int(whole.core.modules.last_ms[whole.core.modules.codes["late"]]) == START_MS + 7_000


@pytest.mark.parametrize("between", [[1.5], [1.2, 1.6], [1.499, 1.5], [1.2, 2.4]])
def test_a_final_record_does_not_know_of_a_correction_in_the_same_batch(between: list[float]) -> None:
    """The window that ends at 1 s closes at 1.5 s."""
    run = Run(CONFIG)
    run.apply([at(0), *map(at, between), at(0.2)])
    run.cut()
    said = [(r.status, r.total_requests) for r in run.metrics if r.window_start == START_MS]
    assert said == [("final", 1), ("corrected", 2)]


events = st.builds(
    at,
    st.one_of(st.integers(0, 12_000).map(lambda ms: ms / 1_000), st.integers(0, 12)),
    st.sampled_from(["a", "b", "c"]),
    st.none() | st.sampled_from(["x", "y"]),
)


@fixed(60)
@given(st.lists(events, min_size=1, max_size=40), st.sampled_from([CONFIG, HASTY]))
def test_one_batch_gives_every_record_the_fate_that_it_has_one_by_one(events: list[Event], chosen: CoreConfig) -> None:
    model = WindowModel(chosen).take(events)
    together, single = Run(chosen), Run(chosen)
    together.apply(events)
    for event in events:
        single.apply([event])
    for run in (together, single):
        run.cut(everything=True)
        assert [letter.offset for letter in run.rejected] == model.late
        assert run.ledger.duplicate == len(model.duplicates)
        assert set(run.core.modules.codes) - {"__other__"} == set(model.known)
        finals = {(key[0], key[2]): record.total_requests for key, record in finals_of(run.metrics).items()}
        assert finals == {(key.module, key.start): len(members) for key, members in model.finals.items()}
