"""How far the partitions are, and so which system windows are closed, which are over, and who speaks for them."""

from collections.abc import Collection

from schemas.partials import PartitionReport


class Progress:
    """The newest report of each partition.

    Nothing is known of stream time before all expected partitions have reported: after a start, a fast partition must not
    close or drop the windows of one that has not come up yet. Where partitions were added, the reports from before, which expect
    fewer, do not count.

    Attributes:
        known_sizes: sizes (ms) whose windows are whole in partitions that do not report it, because an older build runs them.
    """

    def __init__(self, known_sizes: Collection[int], patience_ms: int) -> None:
        """Of no partition yet.

        Args:
            known_sizes: see the class.
            patience_ms: how far an idle partition may hold back the others, so that what it says of its silence is heard before
                a window closes.
        """
        self.known_sizes = set(known_sizes)
        self._patience_ms = patience_ms
        self._reports: dict[int, PartitionReport] = {}

    def note(self, report: PartitionReport) -> None:
        """Take a partition's newest report."""
        self._reports[report.partition] = report

    @property
    def expected(self) -> int:
        """How many partitions there are, by the reports."""
        return max((max(r.partitions_expected, r.partition + 1) for r in self._reports.values()), default=0)

    def seen(self, end_ms: int, heard: Collection[int]) -> int:
        """How many partitions speak for a window: they sent a partial, are past its end, or are idle.

        Args:
            end_ms: the window's end.
            heard: partitions that sent a partial.
        """
        past = (p for p, r in self._reports.items() if r.idle or (r.stream_ms is not None and r.stream_ms >= end_ms))
        return len(heard) + sum(1 for partition in past if partition not in heard)

    def stream_ms(self) -> int | None:
        """Stream time of the system: that of the slowest partition that is not idle, when all are idle the newest of theirs.

        One that is idle follows the clock by itself, as far behind it as its events were. It holds the others back by the
        patience at most, so windows end by time and not by silence.
        """
        if not self.all_reported():
            return None
        awake = [r.stream_ms for r in self._reports.values() if not r.idle]
        idle = [r.stream_ms for r in self._reports.values() if r.idle and r.stream_ms is not None]
        newest = _minimum(awake) if awake else max(idle, default=None)
        if newest is None or not idle:
            return newest
        return min(newest, max(min(idle), newest - self._patience_ms))

    def newest_ms(self, least_ms: int) -> int:
        """The stream time of the partition that is farthest; at least `least_ms`."""
        return max((r.stream_ms for r in self._reports.values() if r.stream_ms is not None), default=least_ms)

    def slowest_ms(self) -> int | None:
        """What every partition has passed, idle or not; one that is idle and never had an event does not count."""
        if not self.all_reported():
            return None
        return _minimum([r.stream_ms for r in self._reports.values() if not r.idle or r.stream_ms is not None])

    def all_reported(self) -> bool:
        """Whether every expected partition has reported, and all expect as many."""
        expected = self.expected
        return bool(self._reports) and all(
            partition in self._reports and self._reports[partition].partitions_expected == expected
            for partition in range(expected)
        )

    def is_whole(self, size_ms: int, start_ms: int) -> bool:
        """Whether a window is whole in every partition that has reported."""
        return all(
            size_ms in self.known_sizes
            if report.whole_from_ms is None
            else start_ms >= report.whole_from_ms.get(size_ms, start_ms + 1)
            for report in self._reports.values()
        )


def _minimum(times_ms: list[int | None]) -> int | None:
    """The smallest, or None when there is none or one is not known."""
    known = [time_ms for time_ms in times_ms if time_ms is not None]
    return min(known) if known and len(known) == len(times_ms) else None
