"""A class changes only after enough windows in a row say so: `worsen` windows to get worse, `improve` to get better.

The state of a module is one integer: the class in force (2 bits), the mildest class of the running streak (2 bits), and its
length. Zero is a healthy module with nothing pending.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.sketch.mapping import I8

_MASK = 3


@dataclass(frozen=True, slots=True)
class Step:
    """States after a window, and the class in force for it."""

    states: I8
    levels: I8


def streak_of(states: I8) -> I8:
    """How many windows in a row have spoken against the class in force."""
    return states >> 4


def step(states: I8, raw: I8, worsen: I8, improve: I8) -> Step:
    """Apply one window.

    Args:
        states: packed states before the window.
        raw: the class of the window by itself (0, 1, 2).
        worsen: windows in a row that must be worse before the class gets worse.
        improve: windows in a row that must be better before it gets better.
    """
    level, target, streak = states & _MASK, (states >> 2) & _MASK, streak_of(states)
    worse, better = raw > level, raw < level
    # A streak goes on only in its direction, and settles on what all its windows agree on.
    same = (streak > 0) & np.where(worse, target > level, target < level)
    agreed = np.where(worse, np.minimum(target, raw), np.maximum(target, raw))
    target = np.where(same, agreed, raw)
    streak = np.where(worse | better, np.where(same, streak + 1, 1), 0)
    change = (worse & (streak >= worsen)) | (better & (streak >= improve))
    level = np.where(change, target, level)
    quiet = change | (streak == 0)
    packed = np.where(quiet, level, level | (target << 2) | (streak << 4))
    return Step(packed, level)
