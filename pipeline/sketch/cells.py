"""Sparse sketches of many modules in one pair of arrays.

A cell is (module code, bin) packed as `code << 17 | bin`, so sorted cells stand module by module, bin by bin. New values
are appended raw and folded in by one sort when somebody asks, never per event.
"""

import numpy as np

from pipeline.arrays import I8
from pipeline.sketch.mapping import BIN_BITS

# Raw cells waiting to be folded: bounds memory (8 bytes each) without folding for every batch.
MAX_PENDING = 1 << 18


def sum_by_key(keys: I8, counts: I8) -> tuple[I8, I8]:
    """Add up the counts of equal keys; returns keys in rising order, without repeats."""
    if not keys.size:
        return keys, counts
    # Stable, which is a merge where sorted runs stand one after the other, as they mostly do: half the time.
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return keys[starts], np.add.reduceat(counts, starts)


class CellStore:
    """The sketch cells of one window: int64 keys (sorted, unique) and int64 counts of the same length."""

    __slots__ = ("_counts", "_keys", "_pending", "_pending_size")

    def __init__(self) -> None:
        self._keys: I8 = np.empty(0, np.int64)
        self._counts: I8 = np.empty(0, np.int64)
        self._pending: list[I8] = []
        self._pending_size = 0

    def add_values(self, keys: I8) -> None:
        """Count one for each key (any order, repeats welcome)."""
        self._pending.append(keys)
        self._pending_size += keys.size
        if self._pending_size > MAX_PENDING:
            self.folded()

    def replace(self, keys: I8, counts: I8) -> None:
        """Hold exactly these cells (sorted, unique keys)."""
        self._keys, self._counts = keys, counts
        self._pending, self._pending_size = [], 0

    def folded(self) -> tuple[I8, I8]:
        """All cells: keys in rising order and their counts. The arrays must not be written to."""
        if self._pending:
            raw = self._pending[0] if len(self._pending) == 1 else np.concatenate(self._pending)
            self._pending, self._pending_size = [], 0
            keys, counts = np.unique(raw, return_counts=True)
            if self._keys.size:
                keys, counts = np.concatenate((self._keys, keys)), np.concatenate((self._counts, counts))
                keys, counts = sum_by_key(keys, counts)
            self._keys, self._counts = keys, counts
        return self._keys, self._counts

    def between(self, low_code: int, high_code: int) -> tuple[I8, I8]:
        """The cells of module codes in [low_code, high_code)."""
        keys, counts = self.folded()
        low, high = np.searchsorted(keys, (low_code << BIN_BITS, high_code << BIN_BITS))
        return keys[low:high], counts[low:high]
