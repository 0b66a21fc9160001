"""As of when, and from whom: what keeps a view of yesterday from passing for one of now."""

import time
from dataclasses import dataclass

# The broker was asked and has not answered for this long.
AWAY_AFTER_S = 8.0


def wall_ms() -> int:
    """The wall clock, epoch ms."""
    return time.time_ns() // 1_000_000


def age(ms: float) -> str:
    """How long something has been, in words that fit a column: `12 s`, `7 min`, `3 h`, `2 d`."""
    seconds = max(0, round(ms / 1_000))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size or (seconds >= size and unit != "min"):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def local_time(ms: int, now_ms: int) -> str:
    """A time as the clock on the wall shows it; with its day where that is not today."""
    then, now = time.localtime(ms / 1_000), time.localtime(now_ms / 1_000)
    return time.strftime("%H:%M:%S" if then[:3] == now[:3] else "%b %d %H:%M:%S", then)


@dataclass(frozen=True, slots=True)
class Freshness:
    """How far what is shown can be believed.

    Attributes:
        now_ms: the wall clock.
        data_ms: up to when the newest window shown reaches; None where nothing was written yet.
        written_ms: when a worker wrote the newest record.
        stale_after_ms: a worker that works writes more often than this.
        broker_away_s: for how long the broker has not answered, if it was asked.
    """

    now_ms: int
    data_ms: int | None
    written_ms: int | None
    stale_after_ms: int
    broker_away_s: float = 0.0

    @property
    def broker_away(self) -> bool:
        """The broker does not answer: nothing new can be known."""
        return self.broker_away_s > AWAY_AFTER_S

    @property
    def stale(self) -> bool:
        """No worker has written for longer than one that works would leave out."""
        return self.written_ms is None or self.now_ms - self.written_ms > self.stale_after_ms

    @property
    def trusted(self) -> bool:
        """What is shown is of now."""
        return not self.stale and not self.broker_away

    def line(self) -> str:
        """One line: as of when, and what is wrong with it."""
        if self.broker_away:
            return f"BROKER AWAY for {age(self.broker_away_s * 1_000)}; {self._as_of()}"
        if self.written_ms is None:
            return "NOTHING WRITTEN YET: no worker has run on these topics; `modpulse doctor` says what is missing"
        if self.stale:
            silent = age(self.now_ms - self.written_ms)
            return f"NO WORKER HAS WRITTEN FOR {silent}: `modpulse doctor` says why; {self._as_of()}"
        return self._as_of()

    def _as_of(self) -> str:
        if self.data_ms is None:
            return "no window yet"
        return f"as of {local_time(self.data_ms, self.now_ms)} ({age(self.now_ms - self.data_ms)} ago)"

    def answer(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "now": self.now_ms,
            "data_up_to": self.data_ms,
            "written_at": self.written_ms,
            "age_ms": None if self.data_ms is None else self.now_ms - self.data_ms,
            "stale": self.stale,
            "broker_away": self.broker_away,
            "text": self.line(),
        }
