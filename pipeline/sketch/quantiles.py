"""Order statistics from sorted cells, for many modules at once."""

import numpy as np

from pipeline.arrays import F8, I8
from pipeline.sketch.mapping import BIN_BITS, representatives

# p50, p90, p95, p99, p99.9 as parts of 1,000: rank floor(q * (n - 1)) is exact in integers.
PER_MILLE: I8 = np.array([500, 900, 950, 990, 999], dtype=np.int64)


def quantiles(codes: I8, cells: tuple[I8, I8], minima: F8, maxima: F8) -> F8:
    """The five percentiles of each module.

    Args:
        codes: module codes in rising order, shape (m,); each has at least one cell.
        cells: sorted cell keys and counts that contain (at least) those modules.
        minima: the exact smallest value of each module, shape (m,); answers are clamped to it.
        maxima: likewise the largest.

    Returns:
        Shape (m, 5), within `ALPHA` of the order statistic of rank floor(q * (n - 1)).
    """
    keys, counts = cells
    cumulative = np.cumsum(counts)
    first = np.searchsorted(keys, codes << BIN_BITS)
    last = np.searchsorted(keys, (codes + 1) << BIN_BITS)
    before = np.where(first > 0, cumulative[first - 1], 0)
    total = cumulative[last - 1] - before
    ranks = (PER_MILLE[None, :] * (total[:, None] - 1)) // 1000
    at = np.searchsorted(cumulative, (before[:, None] + ranks).ravel(), side="right")
    answers = representatives(keys[at] & ((1 << BIN_BITS) - 1)).reshape(ranks.shape)
    return np.minimum(np.maximum(answers, minima[:, None]), maxima[:, None])
