"""The figures that a module is judged by, against its events."""

import math
import random

import numpy as np

from pipeline.config import SIGNALS, HealthProfile
from pipeline.health.figures import Figures, figures_of
from tests.support.core.cores import START_MS, Event, Run, config_of, finals_of
from tests.support.core.folded import sums_of
from tests.support.core.model import near, quantile_of


def test_every_signal_is_that_of_the_events_of_its_module() -> None:
    rng = random.Random(1)
    events = [
        Event(
            rng.choice("ac"),
            START_MS + rng.randrange(1_000),
            rng.lognormvariate(3, 1),
            rng.random() < 0.7,
            memory=rng.choice((None, 0, 5 << 30)),
            cpu=rng.choice((None, 0.0, 12.5, 99.0)),
        )
        for _ in range(300)
    ]
    events.append(Event("b", START_MS, 1.0, memory=1, cpu=1.0))
    figures = figures_of(sums_of(events), np.array([0, 2]))
    for row, module in enumerate("ac"):
        own = [(event.time, offset, event) for offset, event in enumerate(events) if event.module == module]
        values = [event.ms for _, _, event in own]
        shown = dict(zip(SIGNALS, figures.signals[:, row].tolist(), strict=True))
        assert figures.counts[row] == len(own)
        assert shown["success_rate"] == sum(event.success for _, _, event in own) / len(own)
        assert near(shown["p95"], quantile_of(values, 950))
        assert near(shown["p99"], quantile_of(values, 990))
        assert figures.percentiles[row, 2:4].tolist() == [shown["p95"], shown["p99"]]
        assert shown["cpu"] == max((time, at, event.cpu) for time, at, event in own if event.cpu is not None)[2]
        assert (
            shown["memory"] == max((time, at, event.memory) for time, at, event in own if event.memory is not None)[2]
        )
        assert shown["error_burst"] == 0.0, "nobody noted the peak of this pane yet"


def gauges(figures: Figures) -> list[list[float | None]]:
    """CPU and memory of each module; None is a signal that was never sent."""
    rows = [figures.signals[SIGNALS.index(name)].tolist() for name in ("cpu", "memory")]
    return [[None if math.isnan(value) else value for value in row] for row in rows]


def test_a_gauge_is_unknown_of_a_module_that_never_sent_it_and_zero_of_one_that_sent_zero() -> None:
    silent, zero = Event("a", 0), Event("b", 0, memory=0, cpu=0.0)
    assert gauges(figures_of(sums_of([silent, zero]), np.array([0, 1]))) == [[None, 0.0], [None, 0.0]]
    assert gauges(figures_of(sums_of([silent]), np.array([0]))) == [[None], [None]], "no module sent any"


def test_the_peak_that_a_window_knows_is_its_error_burst() -> None:
    sums = sums_of([Event("a", 0, success=False), Event("a", 0), Event("b", 0)])
    sums.note_peak_errors(np.array([2, 2, 2, 2]))
    bursts = figures_of(sums, np.array([0, 1])).signals[SIGNALS.index("error_burst")]
    assert bursts.tolist() == [0.5, 0.0]


def test_the_error_burst_of_a_larger_window_is_the_worst_pane_with_enough_requests() -> None:
    profile = HealthProfile(min_requests=3)
    run = Run(config_of((1, 4), 0, 0, profile=profile))
    start = START_MS
    run.apply([Event("m", start + i, success=i > 0) for i in range(100)])
    run.apply([Event("m", start + 1_000 + i, success=i > 0) for i in range(3)])  # 1 of 3: the burst
    run.apply([Event("m", start + 2_000 + i, success=False) for i in range(2)])  # too few to count
    run.apply([Event("m", start + 3_000 + i) for i in range(100)])
    run.apply([Event("m", start + 60_000)])
    run.cut()
    reasons = finals_of(run.metrics)["m", "4s", start].health.reasons
    assert [reason for reason in reasons if "error_burst" in reason] == [
        "error_burst 0.333333 is above 0.25 (degraded, -3.33 points)"
    ]
