"""Which windows are whole, and that profiles follow the registry."""

from dataclasses import replace

import pytest

from pipeline.config import CoreConfig, HealthConfig, HealthOverride, HealthProfile, Limits, WindowConfig
from pipeline.health.profiles import Profiles
from pipeline.modules.registry import Modules
from pipeline.publish.task_state import TaskState, always_whole
from pipeline.windows.stream_time import StreamTime
from pipeline.windows.tree import WindowTree

WINDOWS = WindowConfig(sizes=(("1s", 1_000), ("10s", 10_000)), grace_ms=300)


def state_of(*whole_from_ms: int) -> TaskState:
    """A task whose modules with a `b` need 7 requests to be judged, and others the usual number."""
    config = CoreConfig(WINDOWS, HealthConfig(overrides=(HealthOverride("b*", HealthProfile(min_requests=7)),)))
    modules = Modules(Limits(max_modules=1_000), WINDOWS)
    tree, time = WindowTree([size for _, size in WINDOWS.sizes]), StreamTime(WINDOWS)
    whole = list(whole_from_ms) or always_whole(2)
    return TaskState(WINDOWS, 0, time, tree, modules, Profiles(config.health), whole)


@pytest.mark.parametrize(("start_ms", "whole"), [(9_000, False), (10_000, True), (11_000, True)])
def test_a_window_is_whole_from_the_start_that_its_size_is_whole_from(start_ms: int, whole: bool) -> None:
    state = state_of(10_000, 20_000)
    assert state.is_whole(state.tree.open(0, start_ms, 64)) is whole
    assert not state.is_whole(state.tree.open(1, start_ms - start_ms % 10_000, 64))
    assert state.is_whole(state.tree.open(1, 20_000, 64))


def test_a_task_that_has_all_windows_has_those_before_the_epoch_too() -> None:
    state = state_of()
    assert all(state.is_whole(state.tree.open(level, -(10**15), 64)) for level in range(2))


def test_after_a_loss_windows_that_may_have_begun_before_the_first_event_are_not_whole() -> None:
    state = state_of(5_000, 30_000)
    state.begin_after_loss(12_000)
    assert state.whole_from_ms == [12_300, 30_000], "the grace more, and never less than it was"
    assert not state.is_whole(state.tree.open(0, 12_000, 64))
    assert state.is_whole(state.tree.open(0, 13_000, 64))


def test_profiles_follow_the_registry_whoever_a_code_belongs_to_and_however_it_grows() -> None:
    state = state_of()
    usual = HealthProfile().min_requests
    state.modules.add("a")
    state.fit_profiles()
    assert state.profiles.min_requests[:2].tolist() == [usual, usual]
    state.modules.settled(state.modules.add("b1"), 0)
    state.modules.settled(1, 10**9)
    state.fit_profiles()
    assert state.profiles.min_requests[1:3].tolist() == [usual, 7]
    assert [one.code for one in state.modules.expire(10**9 // 2)] == [2]
    assert state.modules.add("c") == 2
    state.fit_profiles()
    assert state.profiles.min_requests[2] == usual
    for number in range(100):
        state.modules.add(f"b{number + 2}")
    state.fit_profiles()
    assert state.profiles.min_requests.size == state.modules.capacity
    assert set(state.profiles.min_requests[3:103].tolist()) == {7}


def test_a_window_is_named_by_its_size() -> None:
    state = replace(state_of())
    assert [state.name_of(state.tree.open(level, 0, 64)) for level in range(2)] == ["1s", "10s"]
