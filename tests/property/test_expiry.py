"""Modules that fall silent, expire and come back: how the stream is cut into batches must not show."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import HealthProfile, Limits
from tests.property.kit import START_MS, Event, Run, config_of, finals_of, fixed, last_of_each, split

pytestmark = pytest.mark.usefixtures("both_ways")

EXPIRY_MS = 4_000


def told(events: Sequence[Event], batches: Sequence[int], max_modules: int) -> tuple[object, object]:
    """Finals and last records."""
    profile = HealthProfile(min_requests=1, worsen_windows=1, improve_windows=3)
    limits = Limits(max_modules=max_modules, module_expiry_ms=EXPIRY_MS)
    run = Run(replace(config_of((1, 2, 8), 500, 1_000, profile=profile), limits=limits))
    for part in split(events, batches):
        run.apply(part)
    run.cut(everything=True)
    assert run.ledger.applied == len(events)
    return finals_of(run.metrics), last_of_each(run.metrics)


def test_a_module_that_comes_back_after_its_expiry_is_judged_afresh_in_any_batches() -> None:
    middle, back = START_MS + 10_000, START_MS + 20_000
    events = [Event("m", START_MS, success=False), Event("clock", middle), Event("clock", back), Event("m", back)]
    assert told(events, [], 10) == told(events, range(4), 10)


@fixed(40)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 500, 7_000, 7_000]), st.sampled_from("abc"), st.booleans()),
        min_size=1,
        max_size=25,
    ),
    st.lists(st.integers(0, 1_000), max_size=6),
    st.just(100),
)
def test_batches_do_not_show_however_modules_come_and_go(
    raw: list[tuple[int, str, bool]], batches: list[int], max_modules: int
) -> None:
    events, head = [], START_MS
    for gap, module, success in raw:
        head += gap
        events.append(Event(module, head, success=success))
    assert told(events, batches, max_modules) == told(events, range(len(events)), max_modules)


@pytest.mark.parametrize("restart", [False, True])
def test_a_module_that_takes_over_a_code_does_not_take_over_the_health_of_the_one_before(restart: bool) -> None:
    """The correction comes to a window that closed while the code belonged to the module that has expired since."""
    profile = HealthProfile(min_requests=1, worsen_windows=1, improve_windows=5)
    limits = Limits(module_expiry_ms=2_000)
    run = Run(replace(config_of((1,), 0, 5_000, profile=profile), limits=limits))
    run.apply([Event("old", START_MS, success=False)])
    for second in range(1, 12):
        run.apply([Event("clock", START_MS + second * 1_000)])
    assert "old" not in run.core.modules.codes
    run.cut()
    if restart:
        run.restart()
    run.apply([Event("new", START_MS + 7_000)])
    run.cut()
    assert last_of_each(run.metrics)["new", "1s", START_MS + 7_000].health.status == "healthy"
