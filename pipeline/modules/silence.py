"""Which modules have fallen silent: an empty base window right after three in a row with events of the module.

Silence is decided at the close of each base window, in the order of stream time and whether or not anybody had events in it, so
it is a function of the events and their order. It ends with the module's next event in a later window, or when the module
expires.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import I8

ENOUGH_WINDOWS = 3
NOT_SILENT = -1
U1 = NDArray[np.uint8]
Flags = NDArray[np.bool_]


class Silence:
    """By module code: how regularly it speaks, and since when it does not.

    Attributes:
        runs: base windows in a row with events up to the newest closed one, at most `ENOUGH_WINDOWS`.
        since_ms: start of the first empty base window of the silence, or `NOT_SILENT`.
        expected: whose silence is no news, by the settings of this run.
    """

    __slots__ = ("expected", "runs", "since_ms")

    def __init__(self, capacity: int) -> None:
        self.runs: U1 = np.zeros(capacity, np.uint8)
        self.since_ms: I8 = np.full(capacity, NOT_SILENT, np.int64)
        self.expected: Flags = np.zeros(capacity, np.bool_)

    def grow(self, capacity: int) -> None:
        """Make room for codes below `capacity`; never shrinks."""
        wider = Silence(capacity)
        wider.runs[: self.runs.size] = self.runs
        wider.since_ms[: self.since_ms.size] = self.since_ms
        wider.expected[: self.expected.size] = self.expected
        self.runs, self.since_ms, self.expected = wider.runs, wider.since_ms, wider.expected

    def count(self, last_ms: I8) -> int:
        """How many modules are silent that should not be.

        Args:
            last_ms: end of each module's newest pane with events, also of panes that are not closed yet.
        """
        return int(np.count_nonzero((self.since_ms >= 0) & (last_ms <= self.since_ms) & ~self.expected))

    @property
    def closed(self) -> I8:
        """The codes of the modules that are silent by the windows that are closed, and should not be."""
        codes: I8 = np.flatnonzero((self.since_ms >= 0) & ~self.expected)
        return codes

    @property
    def excused(self) -> I8:
        """The codes of the modules that are silent by the windows that are closed, as was expected."""
        codes: I8 = np.flatnonzero((self.since_ms >= 0) & self.expected)
        return codes

    def close_pane(self, start_ms: int, counts: I8 | None, codes: int) -> I8:
        """Close one base window.

        Args:
            start_ms: of the window.
            counts: requests by code; None where nobody had any.
            codes: how many codes are in use; code 0 belongs to no module.

        Returns:
            The codes that changed.
        """
        runs, since_ms = self.runs[1:codes], self.since_ms[1:codes]
        spoke = np.zeros(runs.size, np.bool_) if counts is None else counts[1:codes] > 0
        fallen = ~spoke & (runs == ENOUGH_WINDOWS)
        ended = spoke & (since_ms >= 0)
        after = np.where(spoke, np.minimum(runs + 1, ENOUGH_WINDOWS), 0).astype(np.uint8)
        changed: I8 = np.flatnonzero((after != runs) | fallen | ended) + 1
        self.runs[1:codes] = after
        since_ms[fallen] = start_ms
        since_ms[ended] = NOT_SILENT
        return changed

    def correct_pane(self, codes: I8, pane_end_ms: int) -> I8:
        """Take in events that came after the close of their base window: one in the silence ends it.

        Returns:
            The codes that changed.
        """
        since_ms = self.since_ms[codes]
        ended: I8 = codes[(since_ms >= 0) & (since_ms < pane_end_ms)]
        self.since_ms[ended] = NOT_SILENT
        return ended

    def forget(self, codes: Sequence[int]) -> None:
        """Forget modules that expired."""
        self.runs[list(codes)] = 0
        self.since_ms[list(codes)] = NOT_SILENT
