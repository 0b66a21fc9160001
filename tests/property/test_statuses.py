"""What `health-status` says is a function of the events and their order: live, in a replay and after any restart."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import CoreConfig, Limits
from tests.support.cores import NOW_MS, START_MS, Event, Run, config_of, fixed, split
from tests.support.streams import configs, cut_places, streams

Status = tuple[str, object, object, object]


def told(run: Run) -> dict[str, list[Status]]:
    """The statuses of each module in their order, without the wall clock; a tombstone is `gone`."""
    out: dict[str, list[Status]] = {}
    for emitted in run.emitted:
        if emitted.role == "health_status":
            record = json.loads(emitted.value) if emitted.value else {"status": "gone"}
            assert emitted.value == b"" or (record["name"], record["kind"]) == (emitted.key.decode(), "module")
            entry = (record["status"], record.get("since"), record.get("score"), record.get("reasons"))
            out.setdefault(emitted.key.decode(), []).append(entry)
    return out


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


def test_a_module_is_critical_then_silent_then_well_then_gone() -> None:
    config = replace(config_of((1, 4), 0, 1_000), limits=Limits(module_expiry_ms=20_000))
    run = Run(config)

    def at(second: int, module: str, success: bool = True) -> list[Event]:
        return [Event(module, START_MS + second * 1_000 + n, 5.0, success) for n in range(3)]

    for second in range(60):
        events = at(second, "clock")
        if second < 6:
            events += at(second, "m", success=second < 2)
        elif 12 <= second < 18:
            events += at(second, "m")
        run.apply(sorted(events, key=lambda event: event.time))
    run.cut()
    history = told(run)["m"]
    assert [(status, None if since is None else (int(str(since)) - START_MS) // 1_000) for status, since, *_ in history] == [
        ("healthy", 0),
        ("critical", 3),
        ("silent", 6),
        ("critical", 12),
        ("healthy", 13),
        ("silent", 18),
        ("gone", None),
    ]  # fmt: skip
    assert history[2][2:] == (None, ["no event since 2001-09-09 01:46:06 UTC"])
    assert [status for status, *_ in told(run)["clock"]] == ["healthy"]


def test_late_events_that_end_a_silence_end_it_on_the_topic_too() -> None:
    run = Run(config_of((1, 4), 0, 60_000))
    for second in range(8):
        run.apply([Event("clock", START_MS + second * 1_000)])
        if second < 3:
            run.apply([Event("m", START_MS + second * 1_000)])
    run.apply([Event("m", START_MS + 5_500)])
    run.apply([Event("clock", START_MS + 9_000)])
    run.cut()
    assert [status for status, *_ in told(run)["m"]] == ["healthy", "silent", "healthy"]
    assert told(run)["m"][-1][3] == ["late events ended the silence; not judged since"]


def test_a_module_whose_silence_is_expected_is_never_called_silent() -> None:
    config = config_of((1, 4), 0, 1_000)
    run = Run(replace(config, health=replace(config.health, expected_silence=("batch-*",))))
    for second in range(9):
        names = ["clock", *(["batch-night", "billing"] if second < 4 else [])]
        run.apply([Event(name, START_MS + second * 1_000) for name in names])
    run.cut()
    assert [status for status, *_ in told(run)["batch-night"]] == ["healthy"]
    assert [status for status, *_ in told(run)["billing"]] == ["healthy", "silent"]
    assert run.core.modules.silent == 1
