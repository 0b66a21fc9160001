"""A wall clock that steps: the worker's alone, for as long as a file says so. The monotonic clock is left alone."""

import time
from pathlib import Path

# How old the worker's knowledge of the file may be.
_FRESH_S = 0.05


class WallClock:
    """The harness's end: writes by how much the workers' wall clock is off."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.step(0.0)

    def step(self, by_s: float) -> None:
        """From now on it is off by so much; 0 sets it right."""
        made = self._file.with_suffix(".new")
        made.write_text(str(by_s), encoding="ascii")
        made.replace(self._file)


def let_it_step(file: Path) -> None:
    """The worker's end: `time.time` and `time.time_ns` follow the file from now on, in this process."""
    real, real_ns, steady = time.time, time.time_ns, time.monotonic
    looked_at, off_s = float("-inf"), 0.0

    def off() -> float:
        nonlocal looked_at, off_s
        now = steady()
        if now - looked_at > _FRESH_S:
            looked_at, off_s = now, float(file.read_text(encoding="ascii"))
        return off_s

    time.time = lambda: real() + off()
    time.time_ns = lambda: real_ns() + int(off() * 1e9)
