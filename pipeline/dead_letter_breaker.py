"""How many of the records a task consumed lately became dead letters, and whether that is more than it should be.

One bad record is a sender's bug; every fifth one is a deployment gone wrong, on either side, and it is better to say so, or to
stop, than to drain a topic into the dead letters. The figures are the ledger's, over a sliding window of wall time. Late events
are no dead letters. Takes no clock: the time comes in.

A bad record stays where it came in, a good one may be forwarded. So the share is that of all that came in by one source, or of
all that ended here, whichever is more: a task that forwards nearly everything must not look bad for what stays.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.state import Ledger

# The window slides in steps of this part of it; that much younger it may be than it says.
_STEPS = 60


@dataclass(frozen=True, slots=True)
class BreakerConfig:
    """When it is too many.

    Attributes:
        alert_ratio: above this share somebody should look; None is never.
        stop_ratio: above this share the worker should stop; None is never.
        window_ms: over how long.
        min_records: with fewer records in the window nothing is said.
    """

    alert_ratio: float | None
    stop_ratio: float | None
    window_ms: int
    min_records: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What a task consumed within the window, and how much of that became dead letters."""

    records: int = 0
    dead: int = 0

    @property
    def ratio(self) -> float:
        """The share of dead letters, 0 where nothing was consumed."""
        return self.dead / self.records if self.records else 0.0


class DeadLetterBreaker:
    """Follows the ledgers of all tasks of a worker, each for itself: one bad partition of many counts as one."""

    def __init__(self, config: BreakerConfig) -> None:
        self._config = config
        self._tasks: dict[str, _Window] = {}

    def opened(self, task: str, ledgers: Mapping[str, Ledger]) -> None:
        """A task begins with this ledger; what it says is past."""
        step_ms = max(self._config.window_ms // _STEPS, 1)
        self._tasks[task] = _Window(step_ms, self._config.window_ms // step_ms, _totals(ledgers))

    def forget(self, task: str) -> None:
        """The task is not ours any more."""
        self._tasks.pop(task, None)

    def observe(self, task: str, ledgers: Mapping[str, Ledger], now_ms: int) -> Reading:
        """Take in how the ledger stands now.

        Args:
            task: a task that was opened.
            ledgers: by source.
            now_ms: never less than before; any clock that runs evenly.
        """
        window = self._tasks[task]
        window.add(_totals(ledgers), now_ms)
        return window.reading(now_ms)

    def reading(self, task: str, now_ms: int) -> Reading:
        """The window as it is now, also when nothing was consumed for a while."""
        return self._tasks[task].reading(now_ms)

    def alerts(self, reading: Reading) -> bool:
        """Whether somebody should look."""
        return self._exceeds(reading, self._config.alert_ratio)

    def stops(self, reading: Reading) -> bool:
        """Whether the worker should stop."""
        return self._exceeds(reading, self._config.stop_ratio)

    def _exceeds(self, reading: Reading, ratio: float | None) -> bool:
        return ratio is not None and reading.records >= self._config.min_records and reading.ratio > ratio


class _Window:
    """Counts of the newest steps."""

    def __init__(self, step_ms: int, steps: int, totals: "_Totals") -> None:
        self._step_ms = step_ms
        self._steps = steps
        self._totals = totals
        self._counts: deque[tuple[int, int, int]] = deque()
        self._records = self._dead = 0

    def add(self, totals: "_Totals", now_ms: int) -> None:
        before, self._totals = self._totals, totals
        came_in = (count - before.consumed.get(source, 0) for source, count in totals.consumed.items())
        records, dead = max(totals.ended - before.ended, *came_in, 0), totals.dead - before.dead
        if records <= 0:
            return
        self._records += records
        self._dead += dead
        step = now_ms // self._step_ms
        if self._counts and self._counts[-1][0] == step:
            _, more_records, more_dead = self._counts.pop()
            records, dead = records + more_records, dead + more_dead
        self._counts.append((step, records, dead))

    def reading(self, now_ms: int) -> Reading:
        while self._counts and self._counts[0][0] <= now_ms // self._step_ms - self._steps:
            _, records, dead = self._counts.popleft()
            self._records -= records
            self._dead -= dead
        return Reading(self._records, self._dead)


@dataclass(frozen=True, slots=True)
class _Totals:
    """What the ledgers say: records by source, how many ended here, and how many of these as dead letters."""

    consumed: Mapping[str, int]
    ended: int
    dead: int


def _totals(ledgers: Mapping[str, Ledger]) -> _Totals:
    sources = ledgers.values()
    return _Totals(
        {source: one.consumed for source, one in ledgers.items()},
        sum(one.consumed - one.forwarded for one in sources),
        sum(one.invalid + one.future for one in sources),
    )
