"""Since when the system has its class: by the windows in the order of their starts, whatever was dropped or corrected before."""

from itertools import groupby
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import HealthProfile
from pipeline.health.score import LEVELS
from pipeline.system.since import UNKNOWN, SystemSince
from pipeline.system.window import SystemWindow
from schemas.state import SystemClass
from tests.support.core.cores import fixed
from tests.support.core.system_tasks import partial

SIZE = 10_000
# Of ten requests: how many degraded and critical modules served.
SERVED = {"healthy": (0, 0), "degraded": (10, 0), "critical": (0, 10)}


def judge(window: SystemWindow, level: str) -> None:
    """Let the window be of a class."""
    degraded, critical = SERVED[level]
    window.take(partial(0, degraded_requests=degraded, critical_requests=critical))


def windows_of(levels: list[str]) -> list[SystemWindow]:
    windows = [SystemWindow("10s", 0, SIZE, number * SIZE) for number in range(len(levels))]
    for window, level in zip(windows, levels, strict=True):
        judge(window, level)
    return windows


def since_of(windows: list[SystemWindow], unwhole: frozenset[int] = frozenset()) -> SystemSince:
    return SystemSince(HealthProfile(), lambda window: window.start_ms // SIZE not in unwhole)


def runs_of(levels: list[str]) -> list[int]:
    """For each window where its run of equal classes began."""
    starts: list[int] = []
    for _, run in groupby(levels):
        starts += [len(starts) * SIZE] * len(list(run))
    return starts


@fixed(80)
@given(st.lists(st.sampled_from(list(SERVED)), min_size=1, max_size=12), st.integers(0, 12), st.randoms())
def test_a_class_began_with_the_first_window_of_its_run_also_where_the_head_of_the_run_was_dropped(
    levels: list[str], dropped: int, random: Random
) -> None:
    windows = windows_of(levels)
    since = since_of(windows)
    for _ in range(min(dropped, len(levels))):
        oldest, known = since.classes_of(windows)[0]
        since.note_dropped(oldest, known.since_ms)
        windows.remove(oldest)
    random.shuffle(windows)
    found = {window.start_ms: known for window, known in since.classes_of(windows)}
    expected = {
        number * SIZE: SystemClass(LEVELS.index(level), start)
        for number, (level, start) in enumerate(zip(levels, runs_of(levels), strict=True))
    }
    assert found == {start: known for start, known in expected.items() if start in {w.start_ms for w in windows}}


def test_a_correction_of_one_window_moves_the_start_of_those_behind_it() -> None:
    windows = windows_of(["healthy", "degraded", "degraded", "degraded"])
    since = since_of(windows)
    assert [known.since_ms for _, known in since.classes_of(windows)] == [0, SIZE, SIZE, SIZE]
    judge(windows[2], "healthy")
    assert [known.since_ms for _, known in since.classes_of(windows)] == [0, SIZE, 2 * SIZE, 3 * SIZE]
    judge(windows[1], "healthy")
    assert [known.since_ms for _, known in since.classes_of(windows)] == [0, 0, 0, 3 * SIZE]


def test_windows_that_are_not_whole_or_have_no_module_left_neither_show_nor_end_a_class() -> None:
    windows = windows_of(["degraded", "healthy", "critical", "degraded"])
    windows[2].take(partial(0, requests=0))
    found = since_of(windows, frozenset({1})).classes_of(windows)
    assert [(window.start_ms, known.since_ms) for window, known in found] == [(0, 0), (3 * SIZE, 0)]


def test_a_class_that_follows_an_unknown_one_began_at_a_time_that_nobody_knows_and_the_next_change_ends_that() -> None:
    windows = windows_of(["degraded", "degraded", "healthy"])
    since = since_of(windows)
    since.classes[SIZE] = UNKNOWN
    assert [known.since_ms for _, known in since.classes_of(windows)] == [None, None, 2 * SIZE]
