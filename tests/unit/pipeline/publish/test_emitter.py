"""When which record goes out, its revision, and how idle time closes windows."""

import random
from itertools import pairwise

import pytest

from schemas.metrics import ModuleMetrics
from tests.support.core.cores import NOW_MS, START_MS, Event, Run, batch_of, by_key, config_of, last_of_each

EVERY_MS = 5_000


def run_of(grace_ms: int = 60_000, corrections_ms: int = 60_000) -> Run:
    """Panes of 1 s, windows of 10 s, sent at most every 5 s."""
    return Run(config_of((1, 10), grace_ms, corrections_ms, emit_interval_ms=EVERY_MS))


def shown(run: Run, now_ms: int, *, everything: bool = False) -> list[tuple[str, str, int, str]]:
    """What a cut sends: module, window, requests, status."""
    before = len(run.metrics)
    run.cut(now_ms, everything=everything)
    return [(r.module_id, r.window, r.total_requests, r.status) for r in run.metrics[before:]]


def owes(run: Run) -> bool:
    """Whether a cut would write anything."""
    return run.core.owes


def test_a_changed_pane_goes_out_at_every_cut_and_an_unchanged_one_never() -> None:
    run = run_of()
    run.apply([Event("a", START_MS), Event("b", START_MS)])
    shown(run, NOW_MS)
    for count in (2, 3, 4):
        run.apply([Event("a", START_MS)])
        assert shown(run, NOW_MS + count) == [("a", "1s", count, "provisional")]
    run.apply([])
    assert [record for record in shown(run, NOW_MS + 9) if record[1] == "1s"] == []


def test_a_larger_window_goes_out_at_most_once_an_interval_while_events_come() -> None:
    run = run_of()
    sent: list[int] = []
    for tick in range(40):
        run.apply([Event("a", START_MS + tick)])
        now = NOW_MS + tick * 700
        if any(record[1] == "10s" for record in shown(run, now)):
            sent.append(now)
    assert len(sent) == 5
    assert all(later - earlier >= EVERY_MS for earlier, later in pairwise(sent))
    assert all(later - earlier < EVERY_MS + 700 for earlier, later in pairwise(sent))


def test_once_the_input_pauses_every_larger_window_goes_out_at_once_and_only_once() -> None:
    run = run_of()
    run.apply([Event("a", START_MS)])
    shown(run, NOW_MS)
    run.apply([Event("a", START_MS)])
    assert shown(run, NOW_MS + 100) == [("a", "1s", 2, "provisional")]
    assert owes(run)
    assert shown(run, NOW_MS + 200) == [("a", "10s", 2, "provisional")]
    assert not owes(run)
    assert shown(run, NOW_MS + 300) == []
    assert shown(run, NOW_MS + 100_000, everything=True) == []


def test_everything_means_larger_windows_too() -> None:
    run = run_of()
    run.apply([Event("a", START_MS)])
    shown(run, NOW_MS)
    run.apply([Event("a", START_MS)])
    assert shown(run, NOW_MS + 1, everything=True) == [("a", "1s", 2, "provisional"), ("a", "10s", 2, "provisional")]


def test_finals_and_corrections_of_panes_wait_for_no_interval() -> None:
    run = run_of(grace_ms=0)
    run.apply([Event("a", START_MS)])
    shown(run, NOW_MS)
    run.apply([Event("b", START_MS + 10_000)])
    assert shown(run, NOW_MS + 1) == [
        ("a", "1s", 1, "final"),
        ("a", "10s", 1, "final"),
        ("b", "1s", 1, "provisional"),
    ]
    run.apply([Event("a", START_MS)])
    assert shown(run, NOW_MS + 2) == [("a", "1s", 2, "corrected")]
    assert shown(run, NOW_MS + 3) == [("a", "10s", 2, "corrected"), ("b", "10s", 1, "provisional")]


def test_a_correction_that_was_still_owed_goes_out_before_the_window_is_sealed() -> None:
    run = run_of(grace_ms=0, corrections_ms=5_000)
    run.apply(
        [Event("a", START_MS), Event("b", START_MS + 10_000), Event("a", START_MS), Event("b", START_MS + 90_000)]
    )
    assert [record for record in shown(run, NOW_MS) if record[0] == "a"] == [
        ("a", "1s", 1, "final"),
        ("a", "10s", 1, "final"),
    ], "its pane was sealed when the second event came"
    assert run.ledger.late == 1
    run = run_of(grace_ms=0, corrections_ms=20_000)
    run.apply(
        [Event("a", START_MS), Event("b", START_MS + 10_000), Event("a", START_MS), Event("b", START_MS + 90_000)]
    )
    found = [record for record in shown(run, NOW_MS) if record[0] == "a"]
    assert sorted(found) == [
        ("a", "10s", 1, "final"),
        ("a", "10s", 2, "corrected"),
        ("a", "1s", 1, "final"),
        ("a", "1s", 2, "corrected"),
    ]


def test_revisions_of_a_key_count_its_records_and_the_last_one_misses_no_event() -> None:
    rng = random.Random(1)
    run = run_of(grace_ms=2_000, corrections_ms=30_000)
    for tick in range(150):
        head = START_MS + tick * 200
        count = rng.randrange(4)
        run.apply(
            [Event(rng.choice("abc"), max(START_MS, head - rng.choice((0, 0, 900, 9_000)))) for _ in range(count)]
        )
        if rng.random() < 0.6:
            run.cut(NOW_MS + tick * 400)
    run.cut(NOW_MS + 10**6)
    run.cut(NOW_MS + 10**6 + 1)
    for history in by_key(run.metrics).values():
        assert [record.revision for record in history] == list(range(1, len(history) + 1))
    for window in ("1s", "10s"):
        lasts = last_of_each(run.metrics).items()
        assert sum(record.total_requests for key, record in lasts if key[1] == window) == run.ledger.applied
    assert run.ledger.late == 0


def test_last_updated_is_the_clock_of_the_cut_or_of_the_close() -> None:
    run = run_of(grace_ms=0)
    run.apply([Event("a", START_MS)], NOW_MS)
    run.cut(NOW_MS + 5)
    run.apply([Event("a", START_MS + 1_000)], NOW_MS + 7)
    run.cut(NOW_MS + 9)
    stamps = {(r.window_start - START_MS, r.status): r.last_updated - NOW_MS for r in run.metrics if r.window == "1s"}
    assert stamps == {(0, "provisional"): 5, (0, "final"): 7, (1_000, "provisional"): 9}


def statuses(run: Run) -> dict[tuple[str, str], str]:
    """The newest status of each module and window, of the first window of each."""
    return {(r.module_id, r.window): r.status for r in run.metrics if r.window_start == START_MS}


def test_idle_time_closes_windows_exactly_when_it_reaches_end_plus_grace() -> None:
    run = run_of(grace_ms=2_000)
    run.apply([Event("a", START_MS)], NOW_MS)
    run.cut(NOW_MS)
    silent = NOW_MS
    for after, pane, window in ((2_999, "provisional", "provisional"), (3_000, "final", "provisional"),
                                (11_999, "final", "provisional"), (12_000, "final", "final")):  # fmt: skip
        run.core.idle_until(START_MS + after, silent + after)
        run.cut(silent + after)
        assert statuses(run) == {("a", "1s"): pane, ("a", "10s"): window}
        assert run.core.stream_ms == START_MS + after
    assert run.core.idle


def test_idle_time_never_passes_the_wall_clock_and_never_goes_back() -> None:
    run = run_of()
    ahead = NOW_MS + 100_000  # an event as far in the future as allowed
    run.apply([Event("a", ahead)], NOW_MS)
    run.core.idle_until(ahead + 50_000, NOW_MS + 50_000)
    assert run.core.stream_ms == ahead
    run.core.idle_until(ahead + 150_000, NOW_MS + 150_000)
    assert run.core.stream_ms == NOW_MS + 150_000, "the wall clock, not 250 s on"
    run.core.idle_until(ahead + 120_000, NOW_MS + 120_000)
    assert run.core.stream_ms == NOW_MS + 150_000
    run.apply([Event("a", NOW_MS + 10_000)], NOW_MS + 150_000)
    assert run.core.stream_ms == NOW_MS + 150_000
    assert not run.core.idle


def test_a_partition_that_never_had_an_event_stays_without_stream_time_when_idle() -> None:
    run = run_of()
    run.core.idle_until(NOW_MS + 10**9, NOW_MS + 10**9)
    run.cut(NOW_MS)
    assert run.core.stream_ms is None
    assert run.metrics == []


def test_idle_time_survives_a_restart_and_makes_events_late() -> None:
    run = run_of(grace_ms=0, corrections_ms=0)
    run.apply([Event("a", START_MS)], NOW_MS)
    run.core.idle_until(START_MS + 30_000, NOW_MS + 30_000)
    run.cut(NOW_MS + 30_000)
    run.restart()
    assert run.core.stream_ms == START_MS + 30_000
    run.apply([Event("a", START_MS + 28_000), Event("a", START_MS + 29_000), Event("a", START_MS + 30_000)])
    run.cut(NOW_MS + 31_000)
    assert [(reject.offset, reject.reason) for reject in run.rejected] == [(1, "late"), (2, "late")]


def test_late_events_go_out_untouched_with_the_reason() -> None:
    run = run_of(grace_ms=1_000, corrections_ms=1_000)
    late, clock = Event("m", START_MS, event_id="1"), Event("clock", START_MS + 3_000)
    run.apply([clock, late, clock, late])
    run.cut()
    assert [(r.offset, r.reason, r.key, r.value) for r in run.rejected] == [
        (1, "late", b"m", late.value),
        (3, "late", b"m", late.value),
    ]
    assert (run.ledger.applied, run.ledger.late) == (2, 2)


def test_bytes_buffered_are_counted_until_the_cut() -> None:
    run = run_of(grace_ms=0)
    assert not owes(run)
    run.apply([Event("a", START_MS), Event("b", START_MS + 10_000)])
    assert owes(run)
    assert run.core.buffered_bytes > 2 * 300
    records: list[ModuleMetrics] = run.metrics
    assert records == []
    run.cut()
    assert run.core.buffered_bytes == 0
    assert run.core.open_windows > 0


@pytest.mark.parametrize("kind", ["garbage", "future", "foreign"])
def test_records_that_are_no_events_of_this_partition_end_no_silence(kind: str) -> None:
    """So a partition that gets nothing else becomes idle, and the system aggregate does not wait for it."""
    run = Run(config_of((1,), 0, 0), partitions=2)
    event = Event("m", NOW_MS + 10**9 if kind == "future" else START_MS)
    value, key = (b"garbage" if kind == "garbage" else event.value), (b"x" if kind == "foreign" else b"m")
    run.core.apply(batch_of([value], [key]), NOW_MS)
    heard = [run.core.heard_ms]
    run.apply([Event("m", START_MS)], NOW_MS + 5)
    heard.append(run.core.heard_ms)
    run.core.apply(batch_of([value], [key], first=2), NOW_MS + 9)
    heard.append(run.core.heard_ms)
    assert heard == [None, NOW_MS + 5, NOW_MS + 5]
