"""A system whose clocks go as a test says."""

from topology.runtime.clock import SteadyClock

NOW_MS = 1_700_000_000_000


class Clocks:
    """A system whose wall clock can be off."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.off_ms = 0
        self.steady = SteadyClock(self.wall_ms, lambda: self.elapsed)

    def wall_ms(self) -> int:
        return self.true_ms + self.off_ms

    @property
    def true_ms(self) -> int:
        return NOW_MS + int(self.elapsed * 1000)

    def go(self, seconds: float) -> None:
        """Let time pass; the clock is looked at twice a second."""
        for _ in range(round(seconds * 2)):
            self.elapsed += 0.5
            self.steady.look()
