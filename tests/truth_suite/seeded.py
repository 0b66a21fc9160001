"""Streams and configurations like those of tests/support/core/streams.py, but from seeds.

What Hypothesis generates also depends on the modules that happen to be imported, even when it is told to be deterministic; the
figures of this suite must be the same whichever tests run beside it.
"""

import random

from pipeline.config import CoreConfig, HealthProfile
from tests.support.core import streams as likely
from tests.support.core.cores import START_MS, Event, config_of

SIZES_S = ((1, 2, 6), (2, 4, 6, 12), (1,), (1, 3, 4, 12, 60))
MOST_EVENTS = 90


def stream(seed: int) -> list[Event]:
    """Events in offset order: the head moves on by gaps, each event lags behind it by its own lag."""
    rng = random.Random(f"stream {seed}")
    head = START_MS
    events: list[Event] = []
    for _ in range(rng.choice((1, 8, MOST_EVENTS // 2, MOST_EVENTS))):
        head += rng.choice(likely.GAPS_MS)
        events.append(
            Event(
                rng.choice(likely.MODULES),
                head - rng.choice(likely.LAGS_MS),
                rng.choice((*likely.VALUES_MS, rng.lognormvariate(3.0, 2.0))),
                rng.choice(likely.SUCCESS),
                rng.choice(likely.IDS),
                rng.choice(likely.MEMORY),
                rng.choice(likely.SMALL),
                rng.choice(likely.SMALL),
                rng.choice(likely.CPU),
            )
        )
    return events


def config(seed: int) -> CoreConfig:
    """Small windows, also such that do not divide each other, with and without grace and corrections."""
    rng = random.Random(f"config {seed}")
    return config_of(
        rng.choice(SIZES_S),
        rng.choice((0, 1_000, 2_500)),
        rng.choice((0, 1_000, 3_700, 10_000)),
        emit_interval_ms=rng.choice((0, 5_000)),
        profile=HealthProfile(min_requests=2, worsen_windows=rng.randint(1, 3), improve_windows=rng.randint(1, 3)),
    )
