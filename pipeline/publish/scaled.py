"""Sums of doubles that may be larger than the largest double: a double and a power of two."""

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Above the number of modules of any system: no sum of values scaled down by it overflows.
_SCALE = 64
_LARGEST = sys.float_info.max


@dataclass(frozen=True, slots=True)
class ScaledSum:
    """`value` times 2^`scale`. The scale is 0 wherever the plain sum is a double."""

    value: float
    scale: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "ScaledSum":
        """The correctly rounded sum of finite values >= 0, in any order."""
        try:
            return cls(math.fsum(values), 0)
        except OverflowError:
            return cls(math.fsum(math.ldexp(value, -_SCALE) for value in values), _SCALE)

    @classmethod
    def total(cls, parts: Iterable["ScaledSum"]) -> "ScaledSum":
        """The sum of sums, in any order."""
        parts = list(parts)
        scale = max((part.scale for part in parts), default=0)
        summed = cls.of([math.ldexp(part.value, part.scale - scale) for part in parts])
        return cls(summed.value, summed.scale + scale)

    def mean(self, count: int) -> float:
        """The sum by how many it is of; never above the largest double, for no mean is above its largest term."""
        mean = self.value / count
        return math.ldexp(min(mean, math.ldexp(_LARGEST, -self.scale)), self.scale)
