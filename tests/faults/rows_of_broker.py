"""Rows of faults of the broker, its disk and the network."""

import random
from pathlib import Path

from tests.faults.broker import Brokers, broker_on_small_disk
from tests.faults.mixes import LIGHT
from tests.faults.outcome import Report
from tests.faults.plan import Step, spread
from tests.faults.run import Row, Run
from tests.faults.traffic import Mix


def broker_rows(seed: int) -> list[Row]:
    """Faults of the broker and of the network; they need a broker of our own."""
    rng = random.Random(seed + 1)
    return [
        Row(
            "broker SIGKILL",
            "3 times under load",
            tuple(spread(rng, [("broker-kill", 0.1)] * 3, 5.0, 14.0, 2)),
            55,
            mix=LIGHT,
            expects_ends=True,
        ),
        Row(
            "broker SIGTERM",
            "3 times under load",
            tuple(spread(rng, [("broker-stop", 0.1)] * 3, 5.0, 14.0, 2)),
            55,
            mix=LIGHT,
            expects_ends=True,
        ),
        Row(
            "broker down for 70 s",
            "longer than request and session timeouts",
            (Step(6.0, "broker-down", 0, 70.0),),
            95,
            mix=Mix(rate=800),
            expects_ends=True,
        ),
        Row(
            "workers before the broker",
            "started 20 s before it",
            (),
            15,
            mix=LIGHT,
            broker_late_s=20.0,
            expects_ends=True,
        ),
        Row(
            "black hole",
            "a proxy swallows everything between workers and broker, for 12 s, twice; connections stay open",
            (Step(6.0, "black-hole", 0, 12.0), Step(36.0, "black-hole", 0, 12.0)),
            65,
            mix=LIGHT,
            proxied=True,
            expects_ends=True,
        ),
        Row(
            "a kill during a black hole",
            "the same, and a worker is killed in the first one, both in the second",
            (
                Step(6.0, "black-hole", 0, 12.0, during=(Step(4.0, "kill", 0),)),
                Step(36.0, "black-hole", 0, 12.0, during=(Step(3.0, "kill", 0), Step(5.0, "kill", 1))),
            ),
            65,
            mix=LIGHT,
            proxied=True,
            expects_ends=True,
        ),
        Row(
            "a slow broker",
            "0.3 s more each way for 25 s; then no more than 200 kB/s for 25 s",
            (Step(5.0, "latency", 0, 25.0), Step(40.0, "throttle", 0, 25.0)),
            75,
            mix=LIGHT,
            proxied=True,
            expects_ends=True,
        ),
    ]


def disk_row() -> Row:
    """It has a broker of its own, on a small file system."""
    return Row(
        "the broker's disk is full",
        "it fills up under load until the broker ends; 3 s later there is room again and the broker is started",
        (Step(6.0, "disk-full", 0, 3.0), Step(30.0, "disk-full", 0, 3.0)),
        45,
        mix=Mix(rate=800),
        expects_ends=True,
    )


def on_small_disk(brokers: Brokers, seed: int, directory: Path) -> Report:
    """Run it on a small disk."""
    del brokers
    row = disk_row()
    with broker_on_small_disk(directory / f"small-disk-{seed}") as small:
        return Run(row, small, seed, directory)()
