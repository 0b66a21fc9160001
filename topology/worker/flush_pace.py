"""When a task flushes next: as often as asked, but for no more than a part of the time, its own and the broker's.

A short interval makes results fresh; with much to do it would leave no time for the input. So a worker that keeps up flushes
every `flush_interval`, and one that is behind, whose flushes are large and slow, does so less often, by itself. A worker with
many tasks would keep a broker busy with transactions that carry next to nothing, so its tasks take turns.
"""

import asyncio

# What a flush computes may take this part of the main loop's time, however long one flush takes.
MOST_SHARE = 0.25
# A flush that mostly waits for the broker holds up nothing but itself, so results wait no longer than this for its sake.
MOST_PAUSE_S = 1.0
# Flushes under way at once, on average: a broker answers so many small transactions side by side about as fast as one.
MOST_AT_ONCE = 4
# Weight of the newest flush in the usual duration.
_NEWEST = 0.2


class FlushPace:
    """Keeps the pace of all tasks of a worker."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._usual_s = 0.0
        self._turns = asyncio.Semaphore(2 * MOST_AT_ONCE)
        self.tasks = 0

    @property
    def interval_s(self) -> float:
        """The time between two flushes of one task, as many as there are."""
        return max(self._interval_s, self._usual_s * self.tasks / MOST_AT_ONCE)

    @property
    def turn(self) -> asyncio.Semaphore:
        """Held by a flush that is under way, so that no more than a few are."""
        return self._turns

    def next_flush(self, due_s: float, ended_s: float, took_s: float, busy_s: float) -> float:
        """When a task's next flush is due.

        Args:
            due_s: when the one that ended was due.
            ended_s: when it ended.
            took_s: how long it took, from its turn to the commit.
            busy_s: how long it kept the main loop busy.
        """
        self._usual_s = took_s if not self._usual_s else self._usual_s + _NEWEST * (took_s - self._usual_s)
        wanted = 1 / MOST_SHARE - 1
        pause_s = max(min(took_s * wanted, MOST_PAUSE_S), busy_s * wanted)
        return max(due_s + self.interval_s, ended_s + pause_s)
