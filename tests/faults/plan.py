"""Faults as an ordered plan: when, what, to whom. Made from a seed, so a run can be repeated."""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Fault = Literal[
    "kill",  # SIGKILL; the supervisor starts it again
    "retire",  # SIGKILL; it does not come back
    "stop",  # SIGTERM; the supervisor starts it again
    "leave",  # SIGTERM; it does not come back
    "join",  # one more worker
    "freeze",  # SIGSTOP for a while, then SIGCONT
    "broker-kill",  # SIGKILL, and started again at once
    "broker-stop",  # SIGTERM, and started again at once
    "broker-down",  # SIGTERM, and started again after a while
    "disk-full",  # the broker's disk fills up until it ends; then there is room again, and it is started
    "black-hole",  # nothing passes between workers and broker for a while, connections stay open
    "latency",  # between workers and broker everything takes its time for a while
    "throttle",  # little passes between workers and broker for a while
    "stall",  # one partition's log goes on, but a transaction held open hides it from readers for a while
    "clock-step",  # the workers' wall clock is off by some seconds for a while
    "bad-burst",  # a thousand bad records in a row on one partition, and header names that are no text
]


@dataclass(frozen=True, slots=True)
class Step:
    """One fault.

    Attributes:
        at_s: when, from the start of the load.
        fault: what.
        target: which worker, counted around.
        for_s: how long, for those that last.
        by_s: how far the clock is off.
        during: what strikes while it lasts; their times are from its beginning.
    """

    at_s: float
    fault: Fault
    target: int = 0
    for_s: float = 0.0
    by_s: float = 0.0
    during: tuple["Step", ...] = ()


def kills(rng: random.Random, count: int, seconds: float, workers: int, *, first_s: float = 4.0) -> list[Step]:
    """Kills at random phases over the whole time.

    One in five comes 0.2 to 2 s after the one before, at the same worker: in its start, its restore or the rebalance it causes.
    Another one in five hits the other workers 0.1 to 1 s later: a burst.
    """
    steps: list[Step] = []
    follow = [0.0] * count
    for number in range(1, count):
        if number % 5 == 2:
            follow[number] = rng.uniform(0.2, 2.0)
        elif number % 5 == 4:
            follow[number] = -rng.uniform(0.1, 1.0)
    free = count - sum(1 for gap in follow if gap)
    room = seconds - first_s - sum(abs(gap) for gap in follow)
    share = room / free
    at, target = first_s, 0
    begun = 0
    for gap in follow:
        if gap:
            at += abs(gap)
            target = target if gap > 0 else target + 1
        else:
            at = max(at + 0.1, first_s + share * (begun + rng.random() * 0.9))
            target = rng.randrange(workers)
            begun += 1
        steps.append(Step(round(at, 3), "kill", target))
    return steps


def spread(
    rng: random.Random, faults: Iterable[tuple[Fault, float]], first_s: float, every_s: float, workers: int
) -> list[Step]:
    """These faults one after the other, every so many seconds (give or take a fifth), at random workers."""
    at = first_s
    steps: list[Step] = []
    for fault, for_s in faults:
        steps.append(Step(round(at, 3), fault, rng.randrange(workers), for_s))
        at += for_s + every_s * rng.uniform(0.8, 1.2)
    return steps
