"""Sums of doubles and of their squares that do not depend on the order of the terms.

Adding floats in another order rounds to another result, so a window's mean would change with the split into batches, with a
restart and with the merge of its panes. Here each term is cut into 32-bit limbs of a fixed-point number whose last place is
2^-64, and limbs are added as integers: exact, order-free, mergeable. (The idea of superaccumulators: Kulisch; Demmel and
Nguyen, "Parallel reproducible summation", 2015.) Terms are exact from 2^-11 ms up; smaller ones are cut at 2^-64. The square
is that of the term as cut, to its last place 2^-128, so a deviation is exactly that of the terms.
For the sums alone, values saturate at 2^64 ms (585 million years); minimum, maximum and percentiles do not.

Limbs are added without a carry, so a row of sums may hold more than 32 bits. `carry` makes every row but the first hold 32
again. The first row has room for 2^63 times its unit, which is above 10^12 terms of any size.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import F8, I8

SUM_LIMBS: Final = 5  # 2^64 .. 2^-64
SQUARE_LIMBS: Final = 9  # 2^128 .. 2^-128
FRACTION_BITS: Final = 64
LIMB_BITS: Final = 32
# One event adds less than 2^35 to any row, so rows that were carried stay below 2^63 for so many events more.
MAX_UNCARRIED: Final = 1 << 27
_MASK = (1 << LIMB_BITS) - 1
_RADIX = 4294967296.0
_SATURATE = 2.0**64

U8 = NDArray[np.uint64]
Choice = I8 | NDArray[np.bool_] | slice


@dataclass(frozen=True, slots=True)
class Limbs:
    """The limbs of many terms; rows that are zero for all of them are left out.

    Attributes:
        rows: index of each row among the limbs, most significant first.
        columns: whole numbers held in doubles, a row each, one column per term.
    """

    rows: tuple[int, ...]
    columns: tuple[F8, ...]

    def take(self, where: Choice) -> "Limbs":
        """The limbs of the chosen terms, in the order given."""
        return Limbs(self.rows, tuple(column[where] for column in self.columns))


def _digits(values: F8) -> dict[int, F8]:
    """The limbs below 2^32 of values (>= 0, below 2^64 or saturated there), by index; those that are all zero are absent."""
    largest = float(values.max()) if values.size else 0.0
    # Most terms are far from the top: begin at the first limb that any of them reaches.
    top = 2 if largest < _RADIX else 1 if largest < _SATURATE else 0
    rest = values if top == 2 else values * _RADIX ** (top - 2)
    digits = {}
    for row in range(top, SUM_LIMBS):
        whole = np.floor(rest)
        if whole.any():
            digits[row] = whole
        rest = (rest - whole) * _RADIX
    return digits


def sum_limbs(values: F8) -> Limbs:
    """The limbs of each value (>= 0), cut at 2^-64 and saturated at 2^64; their unit is 2^(64 - 32 row)."""
    digits = _digits(np.minimum(values, _SATURATE))
    return Limbs(tuple(digits), tuple(digits.values()))


def square_limbs(sums: Limbs) -> Limbs:
    """The limbs of the square of each term, exact; their unit is 2^(128 - 32 row).

    Args:
        sums: what `sum_limbs` gave.
    """
    digits = [(row, column.astype(np.uint64)) for row, column in zip(sums.rows, sums.columns, strict=True)]
    added: dict[int, U8] = {}
    for index, (row, digit) in enumerate(digits):
        for other_row, other in digits[index:]:
            product = digit * other
            low, high = product & np.uint64(_MASK), product >> np.uint64(LIMB_BITS)
            if other_row != row:
                low, high = low << np.uint64(1), high << np.uint64(1)
            _add(added, row + other_row, low)
            _add(added, row + other_row - 1, high)
    return Limbs(tuple(added), tuple(limb.astype(np.float64) for limb in added.values()))


def _add(rows: dict[int, U8], row: int, limb: U8) -> None:
    if row in rows:
        rows[row] += limb
    elif row >= 0:  # the high half of the highest square is zero
        rows[row] = limb


def carry(rows: I8) -> None:
    """Move what is above 32 bits of each row (most significant first, one column per module) to the row before it."""
    for row in range(len(rows) - 1, 0, -1):
        rows[row - 1] += rows[row] >> LIMB_BITS
        rows[row] &= _MASK


def as_integer(limbs: list[int]) -> int:
    """Put limbs (most significant first) together: the value in units of the last limb."""
    total = 0
    for limb in limbs:
        total = total << LIMB_BITS if not limb else (total << LIMB_BITS) + limb
    return total


def as_integers(rows: I8) -> list[int]:
    """What `as_integer` gives for each column of carried rows, whose first is not below zero; by way of bytes, which is cheaper.

    Args:
        rows: most significant first, one column per module.
    """
    words = np.empty((rows.shape[1], len(rows) + 1), ">u4")
    words[:, 0] = rows[0] >> LIMB_BITS
    words[:, 1:] = (rows & _MASK).T
    data, width = words.tobytes(), words.itemsize * words.shape[1]
    return [int.from_bytes(data[at : at + width]) for at in range(0, len(data), width)]


def mean(total: int, count: int) -> float:
    """The correctly rounded mean from `as_integer` of the sum limbs."""
    return total / (count << FRACTION_BITS)


def standard_deviation(total: int, squares: int, count: int) -> float:
    """The population standard deviation: sqrt(n * sum(x^2) - sum(x)^2) / n, the difference taken in integers.

    Args:
        total: `as_integer` of the sum limbs.
        squares: `as_integer` of the square limbs.
        count: how many terms; at least one.
    """
    numerator = count * squares - total * total
    if numerator <= 0:
        return 0.0
    return math.sqrt(numerator / ((count * count) << (2 * FRACTION_BITS)))
