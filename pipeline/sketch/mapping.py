"""From a value to its bin and back (DDSketch, Masson et al., VLDB 2019, section 2).

With gamma = (1 + alpha) / (1 - alpha), bin k holds the values in (gamma^(k-1), gamma^k]; answering 2 * gamma^k / (gamma + 1)
for any of them is off by at most the fraction alpha. Zero has a bin of its own.
"""

import math

import numpy as np

from pipeline.arrays import F8, I8

ALPHA = 0.01
GAMMA = (1 + ALPHA) / (1 - ALPHA)
LOG_GAMMA = math.log(GAMMA)
_LOG_MIDDLE = math.log(2.0 / (GAMMA + 1.0))

# Doubles span bins -37,200 to 35,500, so a bin plus this offset fits 17 bits and is never 0: 0 is the bin of the value zero.
BIN_BITS = 17
BIN_OFFSET = 1 << (BIN_BITS - 1)
ZERO_BIN = 0


def bins_of(values: F8) -> I8:
    """Map values (finite, >= 0) to offset bins, shape kept."""
    with np.errstate(divide="ignore"):
        logs = np.log(values)
    bins = np.ceil(np.maximum(logs, -1e6) * (1.0 / LOG_GAMMA)).astype(np.int64) + BIN_OFFSET
    if values.size and values.min() <= 0.0:
        bins[values <= 0.0] = ZERO_BIN
    return bins


def representatives(offset_bins: I8) -> F8:
    """The answer for each offset bin: within `ALPHA` of every value the bin holds (infinite past the largest double)."""
    with np.errstate(over="ignore"):
        # One exponential, so that the answer overflows only where it is itself past the largest double.
        values = np.exp((offset_bins - BIN_OFFSET) * LOG_GAMMA + _LOG_MIDDLE)
    return np.where(offset_bins == ZERO_BIN, 0.0, values)
