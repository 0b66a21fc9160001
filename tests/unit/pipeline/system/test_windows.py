"""The open system windows: in which order they end, how long they are kept, and which partials come too late."""

from dataclasses import replace

import msgspec

from pipeline.config import Limits
from pipeline.system.core import SystemCore
from pipeline.system.windows import SystemWindows
from tests.support.core.system_tasks import BASE, CONFIG, CORRECTIONS, GRACE, SystemRun, partial, report, rule


def test_a_window_is_kept_for_grace_and_corrections_then_its_partials_are_ignored_and_counted() -> None:
    run = SystemRun()
    over = BASE + 10_000 + GRACE + CORRECTIONS
    run.feed(partial(0), report(0, over - 1), report(1, over))
    assert [r["status"] for r in run.cut()] == ["final"]
    run.feed(partial(1, requests=5))
    assert [(r["status"], r["total_requests"]) for r in run.cut()] == [("corrected", 15)]
    run.feed(partial(1, requests=6), report(0, over))
    assert [(r["status"], r["total_requests"]) for r in run.cut()] == [("corrected", 16)]
    assert run.core.open_windows == 0
    run.core = run.restarted(CONFIG, ())
    run.feed(partial(1), partial(1, BASE - 10_000), partial(1, BASE + 10_000))
    assert [(r["window_start"], r["status"]) for r in run.cut()] == [(BASE + 10_000, "corrected")]
    assert (run.core.open_windows, run.core.ignored_partials) == (1, 2)
    assert run.restarted(CONFIG, ()).ignored_partials == 2


def test_a_window_that_never_opened_is_over_like_the_others() -> None:
    run = SystemRun()
    run.feed(*(report(p, BASE + 10_000 + GRACE + CORRECTIONS) for p in (0, 1)), partial(0))
    assert (run.cut(), run.core.ignored_partials) == ([], 1)


def test_windows_that_end_together_close_by_end_then_size() -> None:
    run = SystemRun(SystemCore(CONFIG, [rule("A", "10s", 0), rule("B", "30s", 0)]))
    minute = BASE - BASE % 60_000
    small = [partial(0, minute + start) for start in (40_000, 50_000, 20_000)]
    run.feed(partial(0, minute, 10, 60_000), partial(0, minute + 30_000, 10, 30_000), *small)
    run.feed(report(0, minute + 100_000), report(1, None, idle=True))
    closed = [(r["window_end"] - minute, r["window"]) for r in run.cut()]
    assert closed == [(30_000, "10s"), (50_000, "10s"), (60_000, "10s"), (60_000, "30s"), (60_000, "1m")]
    assert [a["alertname"] for a in run.alerts[:1]] == ["A"]


def test_the_oldest_window_is_dropped_when_too_many_are_open() -> None:
    config = replace(CONFIG, limits=replace(Limits(), max_open_windows=2))
    run = SystemRun(SystemCore(config))
    run.feed(report(0, BASE), report(1, BASE), *(partial(0, BASE + n * 10_000) for n in (1, 0, 2)))
    assert [(r["window_start"] - BASE, r["status"]) for r in run.cut()] == [
        (0, "provisional"),
        (10_000, "provisional"),
        (20_000, "provisional"),
    ]
    assert (run.core.open_windows, run.core.dropped_open) == (2, 1)
    run.feed(partial(1, BASE))
    assert (run.cut(), run.core.ignored_partials) == ([], 1)


def test_a_partial_of_a_size_that_is_not_configured_is_ignored_and_counted() -> None:
    run = SystemRun()
    run.feed(report(0, BASE), report(1, BASE), msgspec.structs.replace(partial(), size_ms=20_000), partial())
    assert [r["window"] for r in run.cut()] == ["10s"]
    assert (run.core.ignored_partials, run.core.open_windows) == (1, 1)


def test_a_window_that_is_opened_twice_is_one() -> None:
    windows = SystemWindows(CONFIG.windows)
    first = windows.open(10_000, BASE)
    assert windows.open(10_000, BASE) is first
    assert windows.get(10_000, BASE) is first
    assert windows.get(30_000, BASE) is None
    assert (len(windows), windows.of_size(10_000), windows.of_size(30_000)) == (1, [first], [])


def test_what_ended_closes_by_end_then_size_and_the_oldest_is_the_first_of_them() -> None:
    windows = SystemWindows(CONFIG.windows)
    opened = [(60_000, 0), (30_000, 30_000), (10_000, 50_000), (10_000, 0), (30_000, 0), (10_000, 60_000)]
    for place in opened:
        windows.open(*place)
    by_close = [(10_000, 0), (30_000, 0), (10_000, 50_000), (30_000, 30_000), (60_000, 0)]
    assert [(w.size_ms, w.start_ms) for w in windows.ended(60_000)] == by_close
    assert [(w.size_ms, w.start_ms) for w in windows.ended(59_999)] == by_close[:2]
    assert (windows.oldest().size_ms, windows.oldest().start_ms) == by_close[0]
    assert [(w.size_ms, w.start_ms) for w in windows.by_size()] == sorted(opened)


def test_the_floor_rises_with_what_is_dropped_and_never_sinks() -> None:
    windows = SystemWindows(CONFIG.windows)
    assert not windows.is_over(0)
    windows.drop(windows.open(10_000, 10_000))
    assert (len(windows), windows.is_over(20_000), windows.is_over(20_001)) == (0, True, False)
    windows.raise_floor(5_000)
    windows.drop(windows.open(10_000, 0))
    assert windows.floor_ms == 20_000
    windows.raise_floor(20_001)
    assert windows.is_over(20_001)
