"""From columns to the published record of each module of a window."""

import msgspec
import numpy as np

from pipeline.health.figures import Figures
from pipeline.health.hysteresis import Step, streak_of
from pipeline.health.profiles import Profiles
from pipeline.health.score import LEVELS, Judgement, reasons_of
from pipeline.sketch.mapping import ALPHA
from pipeline.sketch.wire import encode_modules
from pipeline.windows import layout as at
from pipeline.windows.block import Sums
from pipeline.windows.moments import SQUARE_LIMBS, SUM_LIMBS, as_integer, mean, standard_deviation
from schemas.metrics import Health, ModuleMetrics, ResponseTime, WindowStatus

encode = msgspec.json.Encoder().encode


# Most modules of most windows; shared, for it never changes.
_PERFECT = Health("healthy", 100.0, [])


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
    out = [_PERFECT] * figures.codes.size
    scores = judgement.scores.tolist()
    streaks = streak_of(steps.states).tolist()
    levels, raws = steps.levels.tolist(), judgement.levels.tolist()
    remarkable = (steps.levels > 0) | (judgement.levels > 0) | judgement.few | judgement.lost.any(axis=0)
    for row in np.flatnonzero(remarkable).tolist():
        level, raw = levels[row], raws[row]
        reasons = reasons_of(figures, judgement, profiles, row)
        if raw != level:
            code = int(figures.codes[row])
            needed = int((profiles.worsen if raw > level else profiles.improve)[code])
            reasons.append(f"this window alone is {LEVELS[raw]}; {streaks[row]} of the {needed} windows a change takes")
        out[row] = Health(LEVELS[level], scores[row], reasons)  # type: ignore[arg-type]
    return out


def module_records(
    text: WindowText, sums: Sums, figures: Figures, judged: list[Health], revisions: list[int], ids: list[str | None]
) -> list[ModuleMetrics]:
    """Build one record for each module of `figures`, in its order."""
    codes = figures.codes
    ints = sums.ints[:, codes].T.tolist()
    floats = sums.floats[:, codes].T.tolist()
    percentiles = figures.percentiles.tolist()
    success_rates = (sums.ints[at.SUCCESSES, codes] / figures.counts).tolist()
    error_rates = ((figures.counts - sums.ints[at.SUCCESSES, codes]) / figures.counts).tolist()
    throughputs = (figures.counts / text.seconds).tolist()
    sketches = encode_modules(*sums.cells.between(int(codes[0]), int(codes[-1]) + 1))
    records = []
    for row, code in enumerate(codes.tolist()):
        numbers, reals = ints[row], floats[row]
        count, good = numbers[at.COUNT], numbers[at.SUCCESSES]
        records.append(
            ModuleMetrics(
                ids[code] or "",
                text.name,
                text.start_ms,
                text.end_ms,
                text.status,
                revisions[row],
                count,
                good,
                count - good,
                success_rates[row],
                error_rates[row],
                throughputs[row],
                response_time(
                    count,
                    as_integer(numbers[at.SUM : at.SUM + SUM_LIMBS]),
                    as_integer(numbers[at.SQUARES : at.SQUARES + SQUARE_LIMBS]),
                    reals[at.MINIMUM],
                    reals[at.MAXIMUM],
                    percentiles[row],
                ),
                ALPHA,
                numbers[at.MEMORY] if numbers[at.MEMORY + 1] >= 0 else None,
                reals[at.CPU] if numbers[at.CPU_AT] >= 0 else None,
                _cpu_average(numbers),
                numbers[at.GOROUTINES] if numbers[at.GOROUTINES + 1] >= 0 else None,
                numbers[at.CONNECTIONS] if numbers[at.CONNECTIONS + 1] >= 0 else None,
                judged[row],
                text.now_ms,
                sketches[code],
            )
        )
    return records


def _cpu_average(numbers: list[int]) -> float | None:
    sent = numbers[at.CPU_COUNT]
    return mean(as_integer(numbers[at.CPU_SUM : at.CPU_SUM + SUM_LIMBS]), sent) if sent else None
