"""Sums of doubles and of their squares that do not depend on the order of the terms.

Adding floats in another order rounds to another result, so a window's mean would change with the split into batches, with a
restart and with the merge of its panes. Here each term is cut into 32-bit limbs of a fixed-point number whose last place is
2^-64, and limbs are added as integers: exact, order-free, mergeable. (The idea of superaccumulators: Kulisch; Demmel and
Nguyen, "Parallel reproducible summation", 2015.) Terms are exact from 2^-11 ms up; smaller ones are cut at 2^-64.
For the sums alone, values saturate at 2^64 ms (585 million years); minimum, maximum and percentiles do not.
"""

import math

import numpy as np

from pipeline.sketch.mapping import F8

SUM_LIMBS = 4  # 2^32, 2^0, 2^-32, 2^-64
SQUARE_LIMBS = 6  # 2^96 .. 2^-64
FRACTION_BITS = 64
_RADIX = 4294967296.0
_SATURATE = 2.0**64
_SPLITTER = 134217729.0  # 2^27 + 1, Veltkamp


def _limbs(terms: F8, limbs: int) -> F8:
    """Cut terms (>= 0) into `limbs` integers below 2^32, most significant first; shape (limbs, n)."""
    out = np.zeros((limbs, terms.size))
    # Most terms are far from the top: begin at the first limb that any of them reaches.
    top = limbs - 3
    largest = float(terms.max()) if terms.size else 0.0
    while largest >= _RADIX and top > 0:
        top, largest = top - 1, largest / _RADIX
    rest = terms * _RADIX ** (top - (limbs - 3))
    for limb in range(top, limbs):
        whole = np.floor(rest)
        out[limb] = whole
        rest = (rest - whole) * _RADIX
    return out


def sum_limbs(values: F8) -> F8:
    """The limbs of each value, shape (`SUM_LIMBS`, n): integers held in doubles."""
    return _limbs(np.minimum(values, _SATURATE), SUM_LIMBS)


def square_limbs(values: F8) -> F8:
    """The limbs of each value's exact square, shape (`SQUARE_LIMBS`, n): Dekker's product, high part and signed error."""
    x = np.minimum(values, _SATURATE)
    c = _SPLITTER * x
    high = c - (c - x)
    low = x - high
    product = x * x
    error = ((high * high - product) + 2.0 * high * low) + low * low
    limbs: F8 = _limbs(product, SQUARE_LIMBS) + np.sign(error) * _limbs(np.abs(error), SQUARE_LIMBS)
    return limbs


def as_integer(limbs: list[int]) -> int:
    """Put limbs (most significant first) together: the value times 2^64."""
    total = 0
    for limb in limbs:
        total = total << 32 if not limb else (total << 32) + limb
    return total


def mean(total: int, count: int) -> float:
    """The correctly rounded mean from `as_integer` of the sum limbs."""
    return total / (count << FRACTION_BITS)


def standard_deviation(total: int, squares: int, count: int) -> float:
    """The population standard deviation: sqrt(n * sum(x^2) - sum(x)^2) / n, the difference taken in integers."""
    numerator = ((count * squares) << FRACTION_BITS) - total * total
    if numerator <= 0:
        return 0.0
    return math.sqrt(numerator / ((count * count) << (2 * FRACTION_BITS)))
