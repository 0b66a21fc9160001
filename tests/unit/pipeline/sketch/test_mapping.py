"""Bins of values, against the `ddsketch` package."""

import math
import random

import numpy as np
from ddsketch.mapping import LogarithmicMapping

from pipeline.sketch.mapping import ALPHA, BIN_BITS, BIN_OFFSET, ZERO_BIN, bins_of, representatives

_oracle = LogarithmicMapping(ALPHA)
LARGEST = 1.7976931348623157e308


def test_bins_are_those_of_ddsketch_but_for_values_at_the_edge_of_a_bin() -> None:
    rng = random.Random(1)
    values = [10.0 ** rng.uniform(-307.6, 308.2) for _ in range(20_000)]
    values += [rng.uniform(0, 10_000) for _ in range(20_000)] + [float(i) for i in range(1, 5_000)]
    ours = (bins_of(np.array(values)) - BIN_OFFSET).tolist()
    for value, bin_ in zip(values, ours, strict=True):
        theirs = _oracle.key(value)
        if bin_ != theirs:
            # Two ways to round the logarithm may part within a few ulps of an edge, and only there.
            edge = math.log(value) / math.log(_oracle.gamma)
            assert abs(bin_ - theirs) == 1
            assert abs(edge - round(edge)) < 1e-10, value
    assert sum(map(int.__ne__, ours, map(_oracle.key, values))) < 20


def test_every_double_has_a_bin_that_fits_its_field_and_is_not_the_bin_of_zero() -> None:
    extremes = np.array([5e-324, 2.2250738585072014e-308, 1e-300, 1.0, 1e308, LARGEST])
    bins = bins_of(extremes)
    assert (bins > ZERO_BIN).all()
    assert (bins < 1 << BIN_BITS).all()
    assert (np.diff(bins) > 0).all()
    assert bins_of(np.array([0.0, -0.0, 1.0])).tolist() == [ZERO_BIN, ZERO_BIN, BIN_OFFSET]
    assert bins_of(np.empty(0)).size == 0


def test_a_representative_is_within_one_percent_of_both_ends_of_its_bin() -> None:
    bins = np.arange(-35_000, 35_000, 7) + BIN_OFFSET
    shown = representatives(bins)
    gamma = 1.01 / 0.99
    upper = np.exp((bins - BIN_OFFSET) * math.log(gamma))
    assert np.all(np.abs(shown - upper) <= 0.01 * upper * (1 + 1e-9))
    assert np.all(np.abs(shown - upper / gamma) <= 0.01 * upper / gamma * (1 + 1e-9))
    assert representatives(np.array([ZERO_BIN]))[0] == 0.0
