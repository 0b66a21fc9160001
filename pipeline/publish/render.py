"""From columns to the published record of each module of a window."""

from collections.abc import Iterable
from itertools import repeat

import msgspec
import numpy as np

from pipeline.health.figures import Figures
from pipeline.health.hysteresis import UNKNOWN_SINCE, Step, streak_of
from pipeline.health.profiles import Profiles
from pipeline.health.score import LEVELS, Judgement, reasons_of
from pipeline.sketch.mapping import ALPHA
from pipeline.sketch.wire import encode_modules
from pipeline.windows import layout as at
from pipeline.windows.gauges import cpu_figures, gauge_figures
from pipeline.windows.moments import SQUARE_LIMBS, SUM_LIMBS, as_integers, mean, standard_deviation
from pipeline.windows.sums import Sums
from schemas.metrics import Health, ModuleMetrics, ResponseTime, WindowStatus

encode = msgspec.json.Encoder().encode


def response_time(
    count: int, total: int, squares: int, minimum: float, maximum: float, percentiles: list[float]
) -> ResponseTime:
    """Response times from exact sums (`moments.as_integer`) and percentiles p50, p90, p95, p99, p99.9."""
    if minimum == maximum:
        return ResponseTime(minimum, minimum, maximum, 0.0, *percentiles)
    average = min(max(mean(total, count), minimum), maximum)
    return ResponseTime(average, minimum, maximum, standard_deviation(total, squares, count), *percentiles)


class WindowText:
    """What all records of one window share."""

    __slots__ = ("end_ms", "name", "now_ms", "seconds", "start_ms", "status")

    def __init__(self, name: str, start_ms: int, size_ms: int, status: WindowStatus, now_ms: int) -> None:
        self.name = name
        self.start_ms = start_ms
        self.end_ms = start_ms + size_ms
        self.seconds = size_ms / 1000.0
        self.status = status
        self.now_ms = now_ms


def healths(figures: Figures, judgement: Judgement, steps: Step, profiles: Profiles) -> list[Health]:
    """The health of each module, with its reasons."""
    scores = judgement.scores.tolist()
    levels, raws = steps.levels.tolist(), judgement.levels.tolist()
    since = [None if start == UNKNOWN_SINCE else start for start in steps.since.tolist()]
    named = zip(levels, scores, since, strict=True)
    out = [Health(LEVELS[level], score, [], start) for level, score, start in named]
    streaks = streak_of(steps.states).tolist()
    remarkable = (steps.levels > 0) | (judgement.levels > 0) | judgement.few | judgement.lost.any(axis=0)
    for row in np.flatnonzero(remarkable).tolist():
        level, raw = levels[row], raws[row]
        reasons = reasons_of(figures, judgement, profiles, row)
        if raw != level:
            code = int(figures.codes[row])
            needed = int((profiles.worsen if raw > level else profiles.improve)[code])
            reasons.append(f"this window alone is {LEVELS[raw]}; {streaks[row]} of the {needed} windows a change takes")
        out[row].reasons.extend(reasons)
    return out


def module_records(
    text: WindowText, sums: Sums, figures: Figures, judged: list[Health], revisions: list[int], ids: list[str | None]
) -> list[ModuleMetrics]:
    """Build one record for each module of `figures`, in its order."""
    codes = figures.codes
    sums.carry()
    good = sums.ints[at.SUCCESSES, codes]
    sketches = encode_modules(*sums.cells.between(int(codes[0]), int(codes[-1]) + 1))
    memory, goroutines, connections = (gauge_figures(rows, codes) for rows in sums.gauges)
    cpu = cpu_figures(sums, codes)
    columns: dict[str, Iterable[object]] = {
        "module_id": [ids[code] or "" for code in codes.tolist()],
        "window": repeat(text.name),
        "window_start": repeat(text.start_ms),
        "window_end": repeat(text.end_ms),
        "status": repeat(text.status),
        "revision": revisions,
        "total_requests": figures.counts.tolist(),
        "successful_requests": good.tolist(),
        "failed_requests": (figures.counts - good).tolist(),
        "success_rate": (good / figures.counts).tolist(),
        "error_rate": ((figures.counts - good) / figures.counts).tolist(),
        "throughput_rps": (figures.counts / text.seconds).tolist(),
        "response_time_ms": response_times(sums, figures),
        "percentile_relative_error": repeat(ALPHA),
        "memory_bytes": memory.last,
        "memory_bytes_avg": memory.mean,
        "memory_bytes_max": memory.largest,
        "cpu_percent": cpu.last,
        "cpu_percent_avg": cpu.mean,
        "cpu_percent_max": cpu.largest,
        "goroutines": goroutines.last,
        "goroutines_avg": goroutines.mean,
        "goroutines_max": goroutines.largest,
        "db_connections": connections.last,
        "db_connections_avg": connections.mean,
        "db_connections_max": connections.largest,
        "health": judged,
        "last_updated": repeat(text.now_ms),
        "sketch": [sketches[code] for code in codes.tolist()],
    }
    # By position, for each of so many keywords costs a record 0.1 us; the names above put the columns in their places.
    return list(map(ModuleMetrics, *(columns[name] for name in ModuleMetrics.__struct_fields__)))


def response_times(sums: Sums, figures: Figures) -> list[ResponseTime]:
    """The response times of each module of `figures`; call it after a carry."""
    codes = figures.codes
    return list(
        map(
            response_time,
            figures.counts.tolist(),
            as_integers(sums.ints[at.SUM : at.SUM + SUM_LIMBS, codes]),
            as_integers(sums.ints[at.SQUARES : at.SQUARES + SQUARE_LIMBS, codes]),
            sums.floats[at.MINIMUM, codes].tolist(),
            sums.floats[at.MAXIMUM, codes].tolist(),
            figures.percentiles.tolist(),
        )
    )
