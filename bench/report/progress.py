"""What a measured program tells the one that measures: one line for the first event, for the last, and some in between.

A line is `BENCH {"t": <epoch seconds>, "events": <processed so far>}` on standard output. Processed means folded into its
window, or for a limit, taken as far as that limit goes. Only the standard library is used here: peers run in environments
of their own.
"""

import json
import os
import sys
import time
from dataclasses import dataclass

MARK = "BENCH "
_LINES = 200


@dataclass(frozen=True, slots=True)
class Task:
    """What a program is asked to do, from its environment.

    Attributes:
        bootstrap_servers: the broker.
        topic: the preloaded input.
        partitions: how many the input has.
        events: how many of them to process.
        run: a name no other run has, for groups, applications and topics.
        window_ms: size of the windows; grace_ms: how long each waits for events that come late.
    """

    bootstrap_servers: str
    topic: str
    partitions: int
    events: int
    run: str
    window_ms: int
    grace_ms: int

    @classmethod
    def from_environment(cls) -> "Task":
        """The task of this process."""
        given = os.environ
        return cls(
            given["BENCH_BOOTSTRAP"],
            given["BENCH_TOPIC"],
            int(given["BENCH_PARTITIONS"]),
            int(given["BENCH_EVENTS"]),
            given["BENCH_RUN"],
            int(given["BENCH_WINDOW_MS"]),
            int(given["BENCH_GRACE_MS"]),
        )

    def environment(self) -> dict[str, str]:
        """The same as environment variables."""
        return {
            "BENCH_BOOTSTRAP": self.bootstrap_servers,
            "BENCH_TOPIC": self.topic,
            "BENCH_PARTITIONS": str(self.partitions),
            "BENCH_EVENTS": str(self.events),
            "BENCH_RUN": self.run,
            "BENCH_WINDOW_MS": str(self.window_ms),
            "BENCH_GRACE_MS": str(self.grace_ms),
        }


class Progress:
    """Counts events; a call costs an addition and a comparison."""

    __slots__ = ("_due", "_expected", "_step", "events")

    def __init__(self, expected: int, step: int | None = None) -> None:
        """Begin.

        Args:
            expected: how many events the program is asked for.
            step: tell after so many, instead of a number of times in all. With 1 it tells whenever events come, so that of
                several programs it is known when together they have done all.
        """
        self.events = 0
        self._expected = expected
        self._step = step or max(expected // _LINES, 1)
        self._due = 1

    @property
    def done(self) -> bool:
        """Whether all events that were asked for are processed."""
        return self.events >= self._expected

    def add(self, count: int = 1) -> None:
        """These events are processed now."""
        self.events += count
        if self.events >= self._due:
            after = self.events + self._step
            # The last one that was asked for is told, and the first one too many.
            if self.events <= self._expected:
                after = min(after, self._expected + self.done)
            self._due = after
            tell(t=time.time(), events=self.events)


def tell(**values: float) -> None:
    """Print one line for the program that measures."""
    # Not sys.stdout: Faust turns that into its log.
    print(MARK + json.dumps(values), file=sys.__stdout__, flush=True)


def heard(line: str) -> dict[str, float] | None:
    """The values of such a line; None when it is another kind of line."""
    if not line.startswith(MARK):
        return None
    values: dict[str, float] = json.loads(line.removeprefix(MARK))
    return values
