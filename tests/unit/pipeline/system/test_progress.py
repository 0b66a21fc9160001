"""How far the partitions are: which system windows end by that, which are whole, and who speaks for them."""

import pytest

from pipeline.system.progress import Progress
from schemas.partials import PartitionReport
from tests.support.core.system_tasks import BASE, CORRECTIONS, GRACE, SystemRun, partial, report


def test_a_window_is_final_when_every_partition_is_past_end_and_grace() -> None:
    run = SystemRun()
    run.feed(partial(0), report(0, BASE + 15_000))
    assert [(r["status"], r["revision"]) for r in run.cut()] == [("provisional", 1)]
    run.feed(partial(1, requests=5), report(1, BASE + 14_999))
    assert [(r["status"], r["total_requests"]) for r in run.cut()] == [("provisional", 15)]
    run.feed(report(1, BASE + 15_000))
    assert [(r["status"], r["revision"], r["total_requests"]) for r in run.cut()] == [("final", 3, 15)]
    assert run.core.stream_ms == BASE + 15_000
    run.feed(report(1, BASE + 16_000), report(0, BASE + 16_000))
    assert run.cut() == []
    run.feed(partial(1, requests=6))
    assert [(r["status"], r["total_requests"]) for r in run.cut()] == [("corrected", 16)]


def test_a_partition_that_has_not_reported_holds_the_system_back() -> None:
    run = SystemRun()
    run.feed(partial(0), report(0, BASE + 10_000_000))
    assert [r["status"] for r in run.cut()] == ["provisional"]
    assert (run.core.stream_ms, run.core.open_windows) == (None, 1)
    run.feed(report(1, None))
    assert run.cut() == []
    run.feed(report(1, None, idle=True))
    assert [r["status"] for r in run.cut()] == ["final"]
    assert run.core.open_windows == 0


def test_an_idle_partition_holds_back_by_the_grace_at_most_and_keeps_the_window_for_its_corrections() -> None:
    run = SystemRun()
    run.feed(report(0, BASE, idle=True), partial(1), report(1, BASE + 15_000 + GRACE - 1))
    assert [r["status"] for r in run.cut()] == ["provisional"]
    run.feed(report(1, BASE + 15_000 + GRACE))
    assert [r["status"] for r in run.cut()] == ["final"]
    run.feed(report(1, BASE + 10_000_000))
    assert run.core.open_windows == 1
    run.feed(report(0, BASE), partial(0, requests=1))
    assert [(r["status"], r["total_requests"]) for r in run.cut()] == [("corrected", 11)]
    run.feed(report(0, BASE + 10_000 + GRACE + CORRECTIONS))
    assert run.core.open_windows == 0
    run.cut()
    assert sorted(run.log) == [b"position", b"report|0", b"report|1"]


def test_when_all_are_idle_windows_end_by_the_newest_stream_time_and_not_by_silence() -> None:
    run = SystemRun()
    run.feed(partial(0), report(0, BASE + 3_000, idle=True), report(1, BASE + 1_000, idle=True))
    assert [r["status"] for r in run.cut()] == ["provisional"]
    run.feed(report(0, BASE + 15_000 + GRACE, idle=True))
    assert [r["status"] for r in run.cut()] == ["final"]


def test_stream_time_never_goes_back_and_a_window_opened_behind_it_is_corrected() -> None:
    run = SystemRun()
    run.feed(report(0, BASE + 60_000), report(1, None, idle=True), report(1, BASE))
    assert run.core.stream_ms == BASE + 60_000
    run.feed(partial(1))
    assert [(r["status"], r["revision"]) for r in run.cut()] == [("corrected", 1)]


def test_completeness_counts_the_partitions_that_speak_for_the_window() -> None:
    run = SystemRun()
    run.feed(report(0, BASE, of=4), partial(0))
    assert [r["completeness"] for r in run.cut()] == [{"partitions_expected": 4, "partitions_seen": 1}]
    run.feed(report(1, BASE + 9_999, of=4), report(2, None, idle=True, of=4))
    assert [r["completeness"]["partitions_seen"] for r in run.cut()] == [2]
    run.feed(report(1, BASE + 10_000, of=4))
    assert [(r["completeness"]["partitions_seen"], r["revision"]) for r in run.cut()] == [(3, 3)]
    run.feed(report(3, BASE + 10_000, of=4))
    assert [(r["completeness"]["partitions_seen"], r["status"]) for r in run.cut()] == [(4, "provisional")]


def progress_of(reports: list[PartitionReport]) -> Progress:
    progress = Progress([10_000, 30_000], patience_ms=0)
    for newest in reports:
        progress.note(newest)
    return progress


@pytest.mark.parametrize(
    ("reports", "stream_ms", "slowest_ms"),
    [
        ([], None, None),
        ([report(0, 5)], None, None),
        ([report(0, 5), report(1, 9)], 5, 5),
        ([report(0, 5), report(1, 9), report(0, 12)], 9, 9),
        ([report(0, 5, idle=True), report(1, 9)], 9, 5),
        ([report(0, None), report(1, 9)], None, None),
        ([report(0, None, idle=True), report(1, 9)], 9, 9),
        ([report(0, 5, idle=True), report(1, 9, idle=True)], 9, 5),
        ([report(0, None, idle=True), report(1, None, idle=True)], None, None),
    ],
)
def test_stream_time_is_that_of_the_slowest_partition_awake_and_windows_are_over_when_all_have_passed(
    reports: list[PartitionReport], stream_ms: int | None, slowest_ms: int | None
) -> None:
    progress = progress_of(reports)
    assert (progress.stream_ms(), progress.slowest_ms()) == (stream_ms, slowest_ms)


def test_where_partitions_were_added_nothing_is_known_until_every_report_expects_as_many() -> None:
    progress = progress_of([report(0, 5), report(1, 9)])
    assert progress.all_reported()
    progress.note(report(2, 7, of=3))
    assert (progress.expected, progress.all_reported(), progress.stream_ms()) == (3, False, None)
    progress.note(report(0, 5, of=3))
    assert not progress.all_reported()
    progress.note(report(1, 9, of=3))
    assert (progress.all_reported(), progress.stream_ms(), progress.newest_ms(0)) == (True, 5, 9)


def test_a_partition_beyond_those_that_it_expects_counts_as_expected() -> None:
    assert progress_of([report(4, 5, of=2)]).expected == 5
    assert (progress_of([]).expected, progress_of([]).all_reported()) == (0, False)


def test_the_farthest_partition_is_the_newest_and_without_a_stream_time_it_is_the_least_that_was_asked_for() -> None:
    assert progress_of([report(0, 5), report(1, 9)]).newest_ms(3) == 9
    assert progress_of([report(0, None)]).newest_ms(3) == 3


@pytest.mark.parametrize(
    ("marks", "whole"),
    [
        ([None, {10_000: 500}], [(10_000, 500), (10_000, 600)]),
        ([{10_000: 0}, {10_000: 500}], [(10_000, 500), (10_000, 600)]),
        ([{10_000: 0}, {30_000: 0}], []),
        (
            [{10_000: 0, 20_000: 0}, {10_000: 0, 20_000: 0}],
            [(10_000, 499), (10_000, 500), (10_000, 600), (20_000, 500)],
        ),
        ([None], [(10_000, 499), (10_000, 500), (10_000, 600)]),
    ],
)
def test_a_window_is_whole_where_each_partition_says_so_and_an_older_build_has_the_known_sizes(
    marks: list[dict[int, int] | None], whole: list[tuple[int, int]]
) -> None:
    reports = [PartitionReport(1, number, len(marks), 0, False, mark) for number, mark in enumerate(marks)]
    windows = [(10_000, 499), (10_000, 500), (10_000, 600), (20_000, 500)]
    progress = progress_of(reports)
    assert [window for window in windows if progress.is_whole(*window)] == whole


def test_a_partition_that_sent_a_partial_and_is_past_the_end_speaks_once() -> None:
    progress = progress_of(
        [report(0, 20, of=4), report(1, 10, of=4), report(2, 9, of=4), report(3, None, idle=True, of=4)]
    )
    assert progress.seen(10, []) == 3
    assert progress.seen(10, [0, 2]) == 4
    assert progress.seen(30, [0]) == 2
