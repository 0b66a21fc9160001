"""How far a task's stream is, and which windows are closed and sealed by that."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import I8
from pipeline.config import WindowConfig

# Before every time; what stands for "nothing yet".
BEGIN_MS = -(1 << 62)


@dataclass(slots=True)
class StreamTime:
    """Stream time: the largest event time so far, or what the clock made of it. It never goes back.

    A window is closed when stream time has passed its end + grace, and sealed when it has passed end + grace + corrections. What
    was closed or sealed stays so when a later run has a longer grace or longer corrections: hence the two floors.

    Attributes:
        windows: grace and corrections of this run.
        stream_ms: None before the first event.
        closed_floor_ms, sealed_floor_ms: up to when windows were closed and sealed by a former run.
    """

    windows: WindowConfig
    stream_ms: int | None = None
    closed_floor_ms: int = BEGIN_MS
    sealed_floor_ms: int = BEGIN_MS

    @property
    def keep_ms(self) -> int:
        """How long after its end a window still takes events."""
        return self.windows.grace_ms + self.windows.corrections_ms

    @property
    def closed_ms(self) -> int:
        """Windows that end by then are closed."""
        if self.stream_ms is None:
            return self.closed_floor_ms
        return max(self.closed_floor_ms, self.stream_ms - self.windows.grace_ms)

    @property
    def sealed_ms(self) -> int:
        """Windows that end by then are sealed; no event before then counts. The end of a base window."""
        if self.stream_ms is None:
            return self.sealed_floor_ms
        base_ms = self.windows.base_ms
        return max(self.sealed_floor_ms, (self.stream_ms - self.keep_ms) // base_ms * base_ms)

    @property
    def sealed_pane_ms(self) -> int:
        """The end of the newest base window of today's size that is sealed; 0 before any."""
        base_ms = self.windows.base_ms
        return max(self.sealed_ms, 0) // base_ms * base_ms

    def running(self, times: I8) -> I8:
        """Stream time at each of some events, in offset order."""
        streams = np.maximum.accumulate(times)
        return streams if self.stream_ms is None else np.maximum(streams, self.stream_ms)

    def late(self, times: I8, pane_ends: I8, streams: I8) -> NDArray[np.bool_]:
        """Which events come too late for their base window."""
        late: NDArray[np.bool_] = pane_ends + self.keep_ms <= streams
        if self.sealed_floor_ms > BEGIN_MS:
            late |= times < self.sealed_floor_ms
        return late

    def stream_that_seals(self, end_ms: int) -> int:
        """The stream time at which a window with that end is sealed."""
        return end_ms + self.keep_ms
