"""One window of all modules of a task: what was added up, and what was published about it."""

import numpy as np

from pipeline.arrays import F8, I8
from pipeline.windows import layout as at
from pipeline.windows.sums import Sums


class Block:
    """One window [start, start + size) of every module of a task.

    For a base pane `sums` is everything applied so far; for a larger window it is what its sealed parts brought, the live
    ones are merged in when it is looked at (`WindowTree.view`).

    Attributes:
        carried: everything of a window that was open when the window sizes changed, up to then. Its parts of that time are in the
            `carried` of every window over it, so it is never folded into another window.
        meta: int64, `layout.META_ROWS` rows, one column per module code.
        scores: the health score in the newest record of each module.
        final: whether stream time has passed end + grace.
        silent: how many modules were silent at the close.
        touched: whether something was applied since the newest records went out.
        dirty_sums, dirty_carried, dirty_meta: chunks to write to the changelog at the next cut.
        stored_sums, stored_carried, stored_meta: chunks the changelog holds, to be deleted when the window is sealed.
    """

    __slots__ = (
        "carried", "dirty_carried", "dirty_meta", "dirty_sums", "final", "level", "meta", "scores", "silent", "size_ms",
        "start_ms", "stored_carried", "stored_meta", "stored_sums", "sums", "touched",
    )  # fmt: skip

    def __init__(self, level: int, start_ms: int, size_ms: int, capacity: int) -> None:
        self.level = level
        self.start_ms = start_ms
        self.size_ms = size_ms
        self.sums = Sums(capacity)
        self.carried: Sums | None = None
        self.meta: I8 = np.zeros((at.META_ROWS, capacity), np.int64)
        self.scores: F8 = np.full(capacity, 100.0)
        self.final = False
        self.silent = 0
        self.touched = False
        self.dirty_sums: set[int] = set()
        self.dirty_carried: set[int] = set()
        self.dirty_meta: set[int] = set()
        self.stored_sums: set[int] = set()
        self.stored_carried: set[int] = set()
        self.stored_meta: set[int] = set()

    @property
    def end_ms(self) -> int:
        """The first millisecond after the window."""
        return self.start_ms + self.size_ms

    def grow(self, capacity: int) -> None:
        """Make room for codes below `capacity`; never shrinks."""
        self.sums.grow(capacity)
        if self.carried is not None:
            self.carried.grow(capacity)
        old = self.meta.shape[1]
        if capacity > old:
            meta = np.zeros((at.META_ROWS, capacity), np.int64)
            meta[:, :old] = self.meta
            scores = np.full(capacity, 100.0)
            scores[:old] = self.scores
            self.meta, self.scores = meta, scores
