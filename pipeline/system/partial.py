"""Reduce all modules of one window to one partial."""

import math

import numpy as np

from pipeline.health.hysteresis import step
from pipeline.health.profiles import Profiles
from pipeline.sketch.cells import sum_by_key
from pipeline.sketch.mapping import BIN_BITS, I8
from pipeline.windows import layout as at
from pipeline.windows.block import Block, Sums
from pipeline.windows.moments import SQUARE_LIMBS, SUM_LIMBS, as_integer
from schemas.events import MAX_GAUGE
from schemas.partials import SystemPartial

VERSION = 1


def partial_of(partition: int, window: str, block: Block, sums: Sums, profiles: Profiles) -> SystemPartial | None:
    """The partial of a block whose records are all out, or None when it holds no request.

    Float totals use correctly rounded sums, so they do not depend on the order in which modules got their codes.
    """
    codes = np.flatnonzero(block.meta[at.EMITTED])
    if not codes.size:
        return None
    ints, floats = sums.ints[:, codes], sums.floats[:, codes]
    requests = ints[at.COUNT]
    levels = step(
        block.meta[at.BEFORE, codes], block.meta[at.LEVEL, codes], profiles.worsen[codes], profiles.improve[codes]
    ).levels
    keys, counts = sums.cells.folded()
    published = np.zeros(sums.capacity, np.bool_)
    published[codes] = True
    ours = published[keys >> BIN_BITS]  # a module whose first record is still owed is in no figure yet
    bins, counts = sum_by_key(keys[ours] & ((1 << BIN_BITS) - 1), counts[ours])
    totals = ints[: at.ADDED].sum(axis=1).tolist()
    cpu = floats[at.CPU, ints[at.CPU_AT] >= 0]
    return SystemPartial(
        v=VERSION,
        partition=partition,
        window=window,
        size_ms=block.size_ms,
        start_ms=block.start_ms,
        final=block.final,
        modules=codes.size,
        degraded=int(np.count_nonzero(levels == 1)),
        critical=int(np.count_nonzero(levels == 2)),
        requests=totals[at.COUNT],
        successes=totals[at.SUCCESSES],
        degraded_requests=int(requests[levels == 1].sum()),
        critical_requests=int(requests[levels == 2].sum()),
        weighted_score=math.fsum((block.scores[codes] * requests).tolist()),
        sum=hex(as_integer(totals[at.SUM : at.SUM + SUM_LIMBS])),
        squares=hex(as_integer(totals[at.SQUARES : at.SQUARES + SQUARE_LIMBS])),
        minimum=float(floats[at.MINIMUM].min()),
        maximum=float(floats[at.MAXIMUM].max()),
        bins=bins.astype("<i4").tobytes(),
        counts=counts.astype("<i8").tobytes(),
        memory_bytes=_gauge_total(ints, at.MEMORY),
        goroutines=_gauge_total(ints, at.GOROUTINES),
        db_connections=_gauge_total(ints, at.CONNECTIONS),
        cpu_percent=math.fsum(cpu.tolist()),
        cpu_modules=cpu.size,
    )


def _gauge_total(ints: I8, gauge: int) -> int | None:
    sent = ints[gauge, ints[gauge + 1] >= 0]
    return min(sum(sent.tolist()), MAX_GAUGE) if sent.size else None
