"""What `health-status` says is a function of the events and their order: live, in a replay and after any restart."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import CoreConfig, Limits
from tests.support.core.cores import NOW_MS, START_MS, Event, Run, fixed, split
from tests.support.core.statuses import told
from tests.support.core.streams import configs, cut_places, streams


def played(config: CoreConfig, events: Sequence[Event], batches: Sequence[int], restarts: int) -> Run:
    run = Run(config)
    for index, part in enumerate(split(events, batches)):
        run.apply(part)
        run.cut()
        if restarts >> index & 1:
            run.restart(seed=index)
    assert run.core.stream_ms is not None
    # As in a live worker, time then moves on by itself.
    for ms in (2_500, 5_000, 9_000):
        run.core.idle_until(START_MS + 40_000 + ms, NOW_MS)
    run.cut()
    return run


small_limits = st.builds(Limits, module_expiry_ms=st.sampled_from([3_000, 86_400_000]))


@fixed(40)
@given(configs(), small_limits, streams(), cut_places, st.integers(0, 2**13 - 1))
def test_replay_restarts_and_any_batches_give_the_same_statuses(
    config: CoreConfig, limits: Limits, events: list[Event], batches: list[int], restarts: int
) -> None:
    config = replace(config, limits=limits)
    whole = played(config, events, [], 0)
    live = played(config, events, batches, restarts)
    assert told(live) == told(whole)
    for history in told(live).values():
        assert all(one[0] != other[0] for one, other in pairwise(history))
    # The newest record of each module says what the registry says.
    modules = live.core.modules
    silent = {modules.ids[code] for code in modules.silence.closed.tolist()}
    newest = {name: history[-1][0] for name, history in told(live).items()}
    assert {name for name, status in newest.items() if status == "silent"} == silent
    assert {name for name, status in newest.items() if status != "gone"} <= set(modules.codes)
