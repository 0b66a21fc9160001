"""Reduce all modules of one window to one partial."""

import math

import numpy as np

from pipeline.arrays import I8
from pipeline.health.hysteresis import step
from pipeline.health.profiles import Profiles
from pipeline.publish.scaled import ScaledSum
from pipeline.sketch.cells import sum_by_key
from pipeline.sketch.mapping import BIN_BITS
from pipeline.windows import layout as at
from pipeline.windows.block import Block
from pipeline.windows.moments import FRACTION_BITS, SQUARE_LIMBS, SUM_LIMBS, as_integer
from pipeline.windows.sums import Sums
from schemas.events import MAX_GAUGE
from schemas.partials import PARTIAL_VERSION, SystemPartial


def partial_of(
    partition: int, window: str, block: Block, sums: Sums, profiles: Profiles, silent: int
) -> SystemPartial | None:
    """The partial of a block whose records are all out, or None when it holds no request.

    Float totals use correctly rounded sums, so they do not depend on the order in which modules got their codes.

    Args:
        partition: of the task.
        window: name of the size.
        block: what was published.
        sums: everything of the window so far.
        profiles: of the modules.
        silent: how many modules are silent.
    """
    codes = np.flatnonzero(block.meta[at.EMITTED])
    if not codes.size:
        return None
    sums.carry()  # so that the limbs of all modules together stay below 2^63
    ints, floats = sums.ints[:, codes], sums.floats[:, codes]
    requests = ints[at.COUNT]
    levels = step(
        block.meta[at.BEFORE, codes],
        block.meta[at.LEVEL, codes],
        profiles.worsen[codes],
        profiles.improve[codes],
        block.start_ms,
    ).levels
    keys, counts = sums.cells.folded()
    published = np.zeros(sums.capacity, np.bool_)
    published[codes] = True
    ours = published[keys >> BIN_BITS]  # a module whose first record is still owed is in no figure yet
    bins, counts = sum_by_key(keys[ours] & ((1 << BIN_BITS) - 1), counts[ours])
    totals = ints.sum(axis=1).tolist()
    squares = as_integer(totals[at.SQUARES : at.SQUARES + SQUARE_LIMBS])
    cpu = _last_cpu(sums, codes)
    cpu_total = ScaledSum.of(cpu)
    return SystemPartial(
        v=PARTIAL_VERSION,
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
        squares=hex(squares >> FRACTION_BITS),
        minimum=float(floats[at.MINIMUM].min()),
        maximum=float(floats[at.MAXIMUM].max()),
        bins=bins.astype("<i4").tobytes(),
        counts=counts.astype("<i8").tobytes(),
        memory_bytes=_gauge_total(sums.gauges[at.MEMORY], codes),
        goroutines=_gauge_total(sums.gauges[at.GOROUTINES], codes),
        db_connections=_gauge_total(sums.gauges[at.CONNECTIONS], codes),
        cpu_percent=cpu_total.value,
        cpu_modules=len(cpu),
        cpu_scale=cpu_total.scale,
        squares_rest=hex(squares & ((1 << FRACTION_BITS) - 1)),
        silent=silent,
    )


def empty_partial(
    partition: int, window: str, size_ms: int, start_ms: int, *, final: bool, known: bool = False, silent: int = 0
) -> SystemPartial:
    """The partial of a window without a request.

    Without known modules it takes the place of one that was sent before, when the partition holds no module of the window any
    more.

    Args:
        partition: of the task.
        window: name of the size.
        size_ms: of the window.
        start_ms: of the window.
        final: whether the window is closed.
        known: whether the partition knows modules.
        silent: how many of them are silent.
    """
    return SystemPartial(
        v=PARTIAL_VERSION,
        partition=partition,
        window=window,
        size_ms=size_ms,
        start_ms=start_ms,
        final=final,
        modules=0,
        degraded=0,
        critical=0,
        requests=0,
        successes=0,
        degraded_requests=0,
        critical_requests=0,
        weighted_score=0.0,
        sum="0x0",
        squares="0x0",
        minimum=0.0,
        maximum=0.0,
        bins=b"",
        counts=b"",
        memory_bytes=None,
        goroutines=None,
        db_connections=None,
        cpu_percent=0.0,
        cpu_modules=0,
        silent=silent,
        known=known,
    )


def _gauge_total(rows: I8 | None, codes: I8) -> int | None:
    if rows is None:
        return None
    sent = rows[at.LAST, codes[rows[at.AT, codes] >= 0]]
    return min(sum(sent.tolist()), MAX_GAUGE) if sent.size else None


def _last_cpu(sums: Sums, codes: I8) -> list[float]:
    if sums.cpu_ints is None or sums.cpu_floats is None:
        return []
    values: list[float] = sums.cpu_floats[at.CPU_LAST, codes[sums.cpu_ints[at.CPU_AT, codes] >= 0]].tolist()
    return values
