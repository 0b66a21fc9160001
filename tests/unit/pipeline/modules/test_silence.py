"""A module is silent from the first empty base window after three in a row with events, until its next event or its expiry."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Limits
from schemas.partials import SystemPartial, decode_partial
from tests.support.core.cores import NOW_MS, START_MS, Event, Run, config_of, fixed

CONFIG = config_of((1, 4), 0, 5_000)
OTHERS = "clock"


def at(second: float, module: str = "m") -> Event:
    """An event so many seconds after the start."""
    return Event(module, START_MS + int(second * 1_000))


def silent_since(run: Run, module: str = "m") -> int | None:
    """Seconds after the start since when a module is silent, None where it is not."""
    modules = run.core.modules
    code = modules.codes[module]
    since_ms = int(modules.silence.since_ms[code])
    counted = since_ms >= 0 and int(modules.last_ms[code]) <= since_ms
    return (since_ms - START_MS) // 1_000 if counted else None


def run_of(seconds: Sequence[float], until: int, *, restart: bool = False, idle: bool = False) -> Run:
    """A module that speaks then, and stream time until then: moved by another module's event, or by idle time."""
    run = Run(CONFIG)
    for second in seconds:
        run.apply([at(second)])
        if restart:
            run.cut()
            run.restart()
    if idle:
        run.core.idle_until(START_MS + until * 1_000, NOW_MS)
    else:
        run.apply([at(until, OTHERS)])
    if restart:
        run.cut()
        run.restart()
    return run


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("idle", [False, True])
@pytest.mark.parametrize(
    ("seconds", "until", "since"),
    [
        ((0, 1, 2), 3, None),
        ((0, 1, 2), 4, 3),
        ((0, 1, 2), 9, 3),
        ((0, 1), 9, None),
        ((0, 1, 3, 4), 9, None),
        ((0, 2, 3, 4), 9, 5),
        ((0, 1, 2, 3, 4, 5), 20, 6),
    ],
)
def test_three_windows_in_a_row_and_then_an_empty_one_are_silence(
    seconds: Sequence[float], until: int, since: int | None, idle: bool, restart: bool
) -> None:
    run = run_of(seconds, until, idle=idle, restart=restart)
    assert silent_since(run) == since
    assert run.core.modules.silent == (since is not None)


@pytest.mark.parametrize("restart", [False, True])
def test_the_next_event_ends_the_silence_also_one_that_comes_late_into_it(restart: bool) -> None:
    for back in (9.5, 8.2, 5.0):
        run = run_of((0, 1, 2), 9, restart=restart)
        assert run.core.modules.silent == 1
        run.apply([at(back)])
        assert run.core.modules.silent == 0, back


def test_an_event_from_before_the_silence_does_not_end_it() -> None:
    run = run_of((0, 1, 2), 6)
    run.apply([at(2.9)])
    assert silent_since(run) == 3


def test_a_module_that_expires_is_silent_no_more() -> None:
    run = Run(replace(CONFIG, limits=Limits(module_expiry_ms=3_000)))
    for second in (0, 1, 2):
        run.apply([at(second)])
    run.apply([at(5, OTHERS)])
    assert run.core.modules.silent == 1
    run.apply([at(60, OTHERS)])
    assert run.core.modules.silent == 0
    run.apply([at(60)])
    assert silent_since(run) is None


def test_other_is_never_silent() -> None:
    run = Run(replace(CONFIG, limits=Limits(max_modules=1)))
    for second in (0, 1, 2):
        run.apply([at(second, OTHERS), at(second, "guest")])
    run.apply([at(9, OTHERS)])
    assert run.core.modules.silent == 0


def test_a_partial_says_how_many_modules_were_silent_at_the_close_of_its_window() -> None:
    run = Run(CONFIG)
    for second in range(8):
        run.apply([at(second, OTHERS), *([at(second)] if second < 3 else [])])
    run.cut(everything=True)
    told = [decode_partial(partial.value, "test") for partial in run.cuts[-1].partials]
    counts = {
        (record.start_ms - START_MS) // 1_000: record.silent
        for record in told
        if isinstance(record, SystemPartial) and record.size_ms == 1_000 and record.final
    }
    assert counts == {0: 0, 1: 0, 2: 0, 3: 1, 4: 1, 5: 1, 6: 1}


def truth(spoke: Sequence[bool]) -> int | None:
    """By hand: since which window the module is silent after these have closed."""
    since: int | None = None
    for number, speaks in enumerate(spoke):
        if speaks:
            since = None
        elif since is None and number >= 3 and all(spoke[number - 3 : number]):
            since = number
    return since


@fixed(150)
@given(
    st.lists(st.sampled_from([True, True, True, False]), min_size=1, max_size=25),
    st.lists(st.integers(0, 30), max_size=4),
    st.integers(1, 8),
    st.booleans(),
)
def test_silence_is_what_the_windows_say_whatever_the_batches_and_restarts(
    spoke: list[bool], restarts: list[int], batch: int, others: bool
) -> None:
    run = Run(CONFIG)
    run.apply([at(0)] if spoke[0] else [at(0, OTHERS)])
    events = [at(number + 0.5) for number, speaks in enumerate(spoke) if speaks]
    events += [at(number + 0.7, OTHERS) for number in range(len(spoke)) if others]
    events = sorted(events, key=lambda event: event.time)
    for low in range(0, len(events), batch):
        run.apply(events[low : low + batch])
        if low in restarts:
            run.cut()
            run.restart(seed=low)
    run.apply([at(len(spoke), OTHERS)])
    if any(spoke):
        assert silent_since(run) == truth(spoke)
