"""Events as columns and as sums of a window, without a core around them."""

import math
from collections.abc import Sequence

import numpy as np

from pipeline.arrays import I8
from pipeline.columns import Columns
from pipeline.windows.fold import Prepared, fold
from pipeline.windows.sums import Sums
from tests.support.core.cores import Event

CODES = {"a": 0, "b": 1, "c": 2}


def columns_of(events: Sequence[Event], codes: dict[str, int] = CODES, *, first: int = 0) -> Columns:
    """Events in offset order, without their ids."""

    def gauge(values: list[int | None]) -> I8 | None:
        sent = any(value is not None for value in values)
        return np.array([-1 if value is None else value for value in values], np.int64) if sent else None

    cpu = [event.cpu for event in events]
    return Columns(
        np.array([codes[event.module] for event in events], np.int64),
        np.array([event.time for event in events], np.int64),
        np.arange(first, first + len(events), dtype=np.int64),
        np.array([event.success for event in events], np.bool_),
        np.array([event.ms for event in events]) + 0.0,
        (
            gauge([event.memory for event in events]),
            gauge([event.goroutines for event in events]),
            gauge([event.connections for event in events]),
        ),
        None if cpu == [None] * len(cpu) else np.array([math.nan if value is None else value + 0.0 for value in cpu]),
        None,
        None,
    )


def sums_of(events: Sequence[Event], codes: dict[str, int] = CODES, *, first: int = 0, capacity: int = 4) -> Sums:
    """What a window of these events holds, carried."""
    sums = Sums(capacity)
    if events:
        fold(sums, Prepared.of(columns_of(events, codes, first=first)))
    sums.carry()
    return sums
