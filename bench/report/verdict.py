"""What the rounds of the guard on speed come to, beside what this build was measured at (`reference.json`)."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.rig.machine import description
from bench.rig.measure import VoidError
from bench.rig.turns import Turn

REFERENCE = Path(__file__).parents[1] / "reference.json"
YARDSTICK = Path(__file__).parents[1] / "programs" / "yardstick.py"
# Beside that of this build; less is a loss of a quarter.
LEAST = 0.75
# Seconds in line for a processor beside seconds on one. Beyond one, a worker that had lost nothing was told to be a third slower.
MOST_CROWDED = 1.0
# Rounds that say anything together.
LEAST_ROUNDS = 3
# An interval leaves the true median out in at most one run of ten.
_DOUBT = 0.1


@dataclass(frozen=True, slots=True)
class Figures:
    """One round, or what many rounds come to.

    Attributes:
        speed, thrift: in units of the yardstick; more is better.
        crowded: seconds the worker's threads stood in line for a processor, beside those on one.
    """

    speed: float
    thrift: float
    crowded: float = 0.0


def figures(worker: Turn, yardstick: Turn) -> Figures:
    """What a round says."""
    unit_s = yardstick.cpu_s / yardstick.events
    speed, thrift = unit_s * worker.events / worker.seconds, unit_s * worker.events / worker.cpu_s
    return Figures(speed, thrift, worker.waited_s / worker.cpu_s)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all rounds say of one figure.

    Attributes:
        name: of the figure.
        middle: the median of the rounds.
        low, high: an interval that holds the true median in nine runs of ten, or all rounds where they are few.
        share: the middle beside the reference.
    """

    name: str
    middle: float
    low: float
    high: float
    share: float

    @property
    def ok(self) -> bool:
        """Whether less than a quarter was lost."""
        return self.share >= LEAST

    def __str__(self) -> str:
        return f"{self.name} {self.middle:.3f} [{self.low:.3f} .. {self.high:.3f}], {self.share:.0%} of the reference"


def judge(rounds: Sequence[Figures], reference: Figures) -> list[Verdict]:
    """The verdict on each figure; on speed only where there were enough rounds with processors to be had."""
    verdicts = [_verdict("thrift", sorted(one.thrift for one in rounds), reference.thrift)]
    calm = calm_speeds(rounds)
    return verdicts if len(calm) < LEAST_ROUNDS else [_verdict("speed", calm, reference.speed), *verdicts]


def calm_speeds(rounds: Sequence[Figures]) -> list[float]:
    """The speeds of rounds in which others left the worker enough of the processors, least first."""
    return sorted(one.speed for one in rounds if one.crowded <= MOST_CROWDED)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Between which two of the values the true median lies in nine runs of ten; all of them where they are few."""
    found = sorted(values)
    out = max((k for k in range(1, len(found) // 2 + 1) if _doubt(k, len(found)) <= _DOUBT), default=1) - 1
    return found[out], found[-1 - out]


def _verdict(name: str, found: list[float], reference: float) -> Verdict:
    middle = median(found)
    return Verdict(name, middle, *interval(found), middle / reference)


def _doubt(k: int, n: int) -> float:
    """How probable it is that the true median lies outside the k-th least and the k-th largest of n values."""
    ways = sum(math.comb(n, i) for i in range(k))
    return 2.0 * ways / 2.0**n


def read_reference(kept: Path = REFERENCE) -> Figures:
    """What this build was measured at.

    Raises:
        VoidError: it was measured with another yardstick.
    """
    found = json.loads(kept.read_text(encoding="utf-8"))
    if found["yardstick"] != _digest():
        raise VoidError(
            f"{YARDSTICK.name} is not the one that {kept.name} was measured with: take the change back,"
            " or measure the last build that was fast enough anew with `python -m bench --calibrate`"
        )
    return Figures(found["speed"], found["thrift"])


def write_reference(rounds: Sequence[Figures], kept: Path = REFERENCE) -> None:
    """Keep what was measured now as this build's figures, with the yardstick's digest and the machine.

    Raises:
        VoidError: the machine was too busy to tell the speed.
    """
    calm = calm_speeds(rounds)
    if len(calm) < LEAST_ROUNDS:
        raise VoidError(
            f"others used the processors in {len(rounds) - len(calm)} of {len(rounds)} rounds: try again later"
        )
    found = {"speed": round(median(calm), 4), "thrift": round(median(one.thrift for one in rounds), 4)}
    whole = {**found, "yardstick": _digest(), "measured_on": description()}
    kept.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")


def origin() -> str:
    """Where the reference comes from, for whoever sees red."""
    found = json.loads(REFERENCE.read_text(encoding="utf-8"))["measured_on"]
    return f"{found['processor']}; {found['versions']}; {found['date']}"


def _digest() -> str:
    """Of all that the yardstick does; where its helpers stand makes it no other one."""
    lines = YARDSTICK.read_text(encoding="utf-8").splitlines()
    return hashlib.sha256("\n".join(line for line in lines if not line.startswith("from bench.")).encode()).hexdigest()
