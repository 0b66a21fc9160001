"""Lets one of several programs run at a time, and measures each over its turn."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.rig.measure import Running, VoidError
from bench.rig.threads import scheduled

_POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class Turn:
    """What a program did in its turn.

    Attributes:
        events: processed. seconds: passed, less what the main thread stood in line for a processor: that is others' work.
        cpu_s: of all its threads. waited_s: of all its threads, in line for a processor.
    """

    events: int
    seconds: float
    cpu_s: float
    waited_s: float

    def __add__(self, other: "Turn") -> "Turn":
        return Turn(
            self.events + other.events,
            self.seconds + other.seconds,
            self.cpu_s + other.cpu_s,
            self.waited_s + other.waited_s,
        )

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cpu_per_million(self) -> float:
        """CPU seconds per million events."""
        return self.cpu_s / self.events * 1e6


def pause(program: Running) -> None:
    """Stop all its processes where they are."""
    os.killpg(program.pid, signal.SIGSTOP)


def turn(program: Running, over: Callable[[float], bool], deadline_s: float) -> Turn:
    """Let a paused program run until its turn is over, and pause it again.

    Args:
        program: paused, and to be paused again.
        over: asked again and again, with the seconds since the turn began.
        deadline_s: for the turn.

    Raises:
        VoidError: the program ended, or the turn was not over in time.
    """
    before, count = scheduled(program.pid), program.count()
    began = time.monotonic()
    os.killpg(program.pid, signal.SIGCONT)
    while not over(time.monotonic() - began):
        if not program.alive or time.monotonic() - began > deadline_s:
            raise VoidError(f"its turn did not end; the end of its log: {program.tail()}")
        time.sleep(_POLL_S)
    ended = time.monotonic()
    used = scheduled(program.pid).since(before)
    pause(program)
    seconds = ended - began - used.main_waited_ns / 1e9
    return Turn(program.count() - count, seconds, used.cpu_ns / 1e9, used.waited_ns / 1e9)
