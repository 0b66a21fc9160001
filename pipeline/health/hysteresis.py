"""A class changes only after enough windows in a row say so: `worsen` windows to get worse, `improve` to get better.

The state of a module is one integer. From the lowest bit: the class in force (2 bits), the mildest class of the running streak
(2), the length of the streak (16), and the start of the first window of the class in force, epoch ms (43, which reaches the
year 2248). Zero is a module that no window has been judged of.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import I8

_MASK = 3
_TARGET_BITS, _STREAK_BITS, _SINCE_BITS = 2, 4, 20
MAX_STREAK = (1 << (_SINCE_BITS - _STREAK_BITS)) - 1
_LEVEL_AND_STREAK = (1 << _SINCE_BITS) - 1
# The class is in force since a window that an older build did not note.
UNKNOWN_SINCE = (1 << 43) - 1
_LATEST = UNKNOWN_SINCE - 1


@dataclass(frozen=True, slots=True)
class Step:
    """States after a window, the class in force for it, and the start of the first window of that class."""

    states: I8
    levels: I8
    since: I8


def streak_of(states: I8) -> I8:
    """How many windows in a row have spoken against the class in force."""
    return (states & _LEVEL_AND_STREAK) >> _STREAK_BITS


def step(states: I8, raw: I8, worsen: I8, improve: I8, start_ms: int) -> Step:
    """Apply one window.

    Args:
        states: packed states before the window.
        raw: the class of the window by itself (0, 1, 2).
        worsen: windows in a row that must be worse before the class gets worse.
        improve: windows in a row that must be better before it gets better.
        start_ms: start of the window.
    """
    before, target, streak = states & _MASK, (states >> _TARGET_BITS) & _MASK, streak_of(states)
    since = states >> _SINCE_BITS
    worse, better = raw > before, raw < before
    # A streak goes on only in its direction, and settles on what all its windows agree on.
    same = (streak > 0) & np.where(worse, target > before, target < before)
    agreed = np.where(worse, np.minimum(target, raw), np.maximum(target, raw))
    target = np.where(same, agreed, raw)
    streak = np.where(worse | better, np.where(same, np.minimum(streak + 1, MAX_STREAK), 1), 0)
    change = (worse & (streak >= worsen)) | (better & (streak >= improve))
    level = np.where(change, target, before)
    since = np.where((level == before) & (since > 0), since, min(max(start_ms, 1), _LATEST))
    quiet = change | (streak == 0)
    packed = np.where(quiet, level, level | (target << _TARGET_BITS) | (streak << _STREAK_BITS))
    return Step(packed | (since << _SINCE_BITS), level, since)


def level_of(state: int) -> int:
    """The class in force."""
    return state & _MASK


def are_states(states: I8) -> NDArray[np.bool_]:
    """Which integers are states that `step` can have made."""
    classes = ((states & _MASK) < _MASK) & (((states >> _TARGET_BITS) & _MASK) < _MASK)
    return np.logical_and(states >= 0, classes)


def of_version_1(states: I8) -> I8:
    """States as version 1 packed them, which kept no start: the class in force, the streak's mildest class, its length."""
    streak = np.minimum(states >> _STREAK_BITS, MAX_STREAK) << _STREAK_BITS
    packed: I8 = (states & ((1 << _STREAK_BITS) - 1)) | streak | (UNKNOWN_SINCE << _SINCE_BITS)
    return packed
