"""The figures a module is judged by, as columns."""

from dataclasses import dataclass

import numpy as np

from pipeline.arrays import F8, I8
from pipeline.config import SIGNALS
from pipeline.sketch.quantiles import quantiles
from pipeline.windows import layout as at
from pipeline.windows.sums import Sums


@dataclass(frozen=True, slots=True)
class Figures:
    """Some modules of one window, arrays of length m in the order of `codes`.

    Attributes:
        codes: module codes, rising.
        percentiles: shape (m, 5): p50, p90, p95, p99, p99.9.
        signals: shape (6, m) in the order of `config.SIGNALS`; NaN where a gauge was never sent.
    """

    codes: I8
    counts: I8
    percentiles: F8
    signals: F8


def figures_of(sums: Sums, codes: I8) -> Figures:
    """Compute the figures of the given modules (each with at least one request)."""
    counts = sums.ints[at.COUNT, codes]
    percentiles = quantiles(codes, sums.cells.folded(), sums.floats[at.MINIMUM, codes], sums.floats[at.MAXIMUM, codes])
    signals = np.full((len(SIGNALS), codes.size), np.nan)
    signals[0] = sums.ints[at.SUCCESSES, codes] / counts
    signals[1] = percentiles[:, 2]
    signals[2] = percentiles[:, 3]
    if sums.cpu_ints is not None and sums.cpu_floats is not None:
        sent = sums.cpu_ints[at.CPU_AT, codes] >= 0
        signals[3] = np.where(sent, sums.cpu_floats[at.CPU_LAST, codes], np.nan)
    memory = sums.gauges[at.MEMORY]
    if memory is not None:
        signals[4] = np.where(memory[at.AT, codes] >= 0, memory[at.LAST, codes], np.nan)
    signals[5] = sums.floats[at.PEAK_ERRORS, codes]
    return Figures(codes, counts, percentiles, signals)
