"""Score and class of modules from their figures.

Each signal contributes its weight in full up to its `degraded` threshold, nothing from its `critical` threshold on, and in
between in proportion; the score is the sum of the contributions, 100 when all is well. The class is the worst of: any signal
past its degraded or critical threshold, and the score under `degraded_score` or `critical_score`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import F8, I8
from pipeline.config import SIGNALS
from pipeline.health.figures import Figures
from pipeline.health.profiles import Profiles
from schemas.metrics import HealthLevel

LEVELS: tuple[HealthLevel, ...] = ("healthy", "degraded", "critical")
# success_rate is bad when low; the rates and percentiles mean nothing for a handful of requests, the gauges always do.
_LOW_IS_BAD = np.array([signal == "success_rate" for signal in SIGNALS])
_NEEDS_REQUESTS = np.array([signal not in ("cpu", "memory") for signal in SIGNALS])
_UNITS = {"p95": " ms", "p99": " ms", "cpu": " %", "memory": " bytes"}


@dataclass(frozen=True, slots=True)
class Judgement:
    """Arrays in the order of the figures.

    Attributes:
        levels: 0 healthy, 1 degraded, 2 critical, before hysteresis.
        scores: 0..100, two decimals.
        lost: shape (6, m), points lost per signal.
        past: shape (6, m), 1 = past degraded, 2 = past critical.
        few: mask of modules with too few requests.
    """

    levels: I8
    scores: F8
    lost: F8
    past: I8
    few: NDArray[np.bool_]


def judge(figures: Figures, profiles: Profiles) -> Judgement:
    """Judge modules by their profiles. A gauge never sent, a signal switched off and rates of too few requests cost nothing."""
    codes = figures.codes
    degraded, critical = profiles.degraded[:, codes], profiles.critical[:, codes]
    weights = profiles.weights[:, codes]
    few = figures.counts < profiles.min_requests[codes]
    ignored = np.isnan(figures.signals) | np.isnan(degraded) | (few[None, :] & _NEEDS_REQUESTS[:, None])
    # Turned so that higher is worse.
    sign = np.where(_LOW_IS_BAD, -1.0, 1.0)[:, None]
    value, low, high = (np.where(ignored, 0.0, sign * x) for x in (figures.signals, degraded, critical))
    past = (value > low).astype(np.int64) + (value > high)
    span = high - low
    share = np.divide(value - low, span, out=(past > 0).astype(np.float64), where=span > 0)
    lost = weights * np.clip(share, 0.0, 1.0)
    scores = np.round(100.0 - lost.sum(axis=0), 2).clip(0.0, 100.0)
    by_score = (scores < profiles.degraded_score[codes]).astype(np.int64) + (scores < profiles.critical_score[codes])
    levels = np.maximum(past.max(axis=0), by_score)
    return Judgement(levels, scores, lost, past, few)


def reasons_of(figures: Figures, judgement: Judgement, profiles: Profiles, row: int) -> list[str]:
    """Why a module scores what it scores, worst first; empty when nothing is wrong."""
    code = int(figures.codes[row])
    texts = []
    for signal in np.argsort(-judgement.lost[:, row], kind="stable").tolist():
        past = int(judgement.past[signal, row])
        if past:
            name = SIGNALS[signal]
            limit = float((profiles.degraded if past == 1 else profiles.critical)[signal, code])
            word = "below" if _LOW_IS_BAD[signal] else "above"
            value, unit = float(figures.signals[signal, row]), _UNITS.get(name, "")
            lost = float(judgement.lost[signal, row])
            texts.append(f"{name} {value:.6g}{unit} is {word} {limit:.6g}{unit} ({LEVELS[past]}, -{lost:.2f} points)")
    if judgement.few[row]:
        least = int(profiles.min_requests[code])
        texts.append(f"{int(figures.counts[row])} requests are fewer than {least}: rates and percentiles not judged")
    return texts
