"""When windows are closed and sealed, at the millisecond."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import WindowConfig
from pipeline.windows.stream_time import BEGIN_MS, StreamTime
from tests.support.core.cores import fixed

WINDOWS = WindowConfig((("1s", 1_000), ("3s", 3_000)), grace_ms=700, corrections_ms=2_500)
# Near the edges of base windows, and of those less the time that events are kept.
TIMES = st.builds(
    int.__add__, st.integers(0, 12).map((1_000).__mul__), st.sampled_from([0, 1, 199, 200, 201, 500, 999])
)


def test_before_the_first_event_only_what_a_former_run_did_is_closed_and_sealed() -> None:
    new = StreamTime(WINDOWS)
    assert (new.closed_ms, new.sealed_ms, new.sealed_pane_ms) == (BEGIN_MS, BEGIN_MS, 0)
    restarted = StreamTime(WINDOWS, None, 9_000, 5_500)
    assert (restarted.closed_ms, restarted.sealed_ms, restarted.sealed_pane_ms) == (9_000, 5_500, 5_000)


@pytest.mark.parametrize("end", [1_000, 2_000, 60_000])
def test_a_window_is_closed_at_its_end_plus_grace_and_sealed_at_that_plus_corrections(end: int) -> None:
    def state(stream_ms: int) -> tuple[bool, bool]:
        time = StreamTime(WINDOWS, stream_ms)
        return end <= time.closed_ms, end <= time.sealed_ms

    seals = StreamTime(WINDOWS).stream_that_seals(end)
    assert seals == end + 3_200
    assert [state(at) for at in (end + 699, end + 700, seals - 1, seals)] == [
        (False, False),
        (True, False),
        (True, False),
        (True, True),
    ]


def test_what_a_former_run_closed_or_sealed_stays_so_under_a_longer_grace_and_not_longer_than_its_time() -> None:
    early, late = (StreamTime(WINDOWS, stream, 10_000, 8_500) for stream in (10_200, 20_000))
    assert (early.closed_ms, early.sealed_ms, early.sealed_pane_ms) == (10_000, 8_500, 8_000)
    assert (late.closed_ms, late.sealed_ms, late.sealed_pane_ms) == (19_300, 16_000, 16_000)


def test_near_the_epoch_nothing_is_sealed_and_no_pane_ends_before_it() -> None:
    time = StreamTime(WINDOWS, 0)
    assert time.sealed_ms == -4_000
    assert time.sealed_pane_ms == 0


def test_stream_time_runs_with_the_largest_time_so_far_also_that_of_batches_before() -> None:
    times = np.array([5, 3, 9, 8, 10])
    assert StreamTime(WINDOWS).running(times).tolist() == [5, 5, 9, 9, 10]
    assert StreamTime(WINDOWS, 9).running(times).tolist() == [9, 9, 9, 9, 10]
    assert StreamTime(WINDOWS, 9).running(times[:0]).tolist() == []


@fixed(200)
@given(st.lists(TIMES, min_size=1, max_size=12), st.none() | TIMES, st.just(BEGIN_MS) | TIMES)
def test_an_event_is_late_exactly_where_it_lies_before_what_is_sealed_when_it_comes(
    times: list[int], stream_ms: int | None, floor: int
) -> None:
    task = StreamTime(WINDOWS, stream_ms, floor, floor)
    ends = [time // 1_000 * 1_000 + 1_000 for time in times]
    streams = task.running(np.array(times))
    expected = [
        time < StreamTime(WINDOWS, stream, floor, floor).sealed_ms
        for time, stream in zip(times, streams.tolist(), strict=True)
    ]
    assert task.late(np.array(times), np.array(ends), streams).tolist() == expected
