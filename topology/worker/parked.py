"""Tasks that cannot be opened. They stand still and shout; the other tasks of the worker go on."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from schemas.errors import ModpulseError
from topology.worker.task import TaskSpec

log = structlog.get_logger()

# An operator has mended something, or not: it costs little to look.
RETRY_S = 60.0
# Trouble with a broker passes by itself.
RETRY_SOON_S = 5.0


@dataclass(frozen=True, slots=True)
class ParkedTask:
    """A task that stands still.

    Attributes:
        spec: of the task.
        error: why.
        since_s, retry_s: monotonic seconds; `retry_s` of None waits for an operator.
    """

    spec: TaskSpec
    error: BaseException
    since_s: float
    retry_s: float | None


class ParkedTasks:
    """The parked tasks of a worker, by name."""

    def __init__(self, told: Callable[[str, bool], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._told = told
        self._clock = clock
        self._parked: dict[str, ParkedTask] = {}

    def __len__(self) -> int:
        return len(self._parked)

    def __contains__(self, name: str) -> bool:
        return name in self._parked

    def park(self, spec: TaskSpec, error: BaseException, *, for_good: bool = False) -> None:
        """Let a task stand still, and say so.

        Args:
            spec: of the task.
            error: why.
            for_good: not to be tried again before an operator says so.
        """
        now_s = self._clock()
        soon = not isinstance(error, ModpulseError) or error.retriable
        retry_s = None if for_good else now_s + (RETRY_SOON_S if soon else RETRY_S)
        former = self._parked.get(spec.name)
        since_s = now_s if former is None else former.since_s
        self._parked[spec.name] = ParkedTask(spec, error, since_s, retry_s)
        self._told(spec.name, True)
        self._say(self._parked[spec.name])

    def release(self, name: str) -> None:
        """The task was opened, or is not ours any more."""
        if self._parked.pop(name, None) is not None:
            self._told(name, False)

    def keep_only(self, names: set[str]) -> None:
        """Forget the tasks that are not ours any more."""
        for name in self._parked.keys() - names:
            self.release(name)

    def due(self, *, all_of_them: bool = False) -> list[TaskSpec]:
        """The tasks that are to be tried again now."""
        now_s = self._clock()
        return [
            parked.spec
            for parked in self._parked.values()
            if all_of_them or (parked.retry_s is not None and parked.retry_s <= now_s)
        ]

    def error_of(self, name: str) -> BaseException | None:
        """Why a task stands still; None where it does not."""
        parked = self._parked.get(name)
        return None if parked is None else parked.error

    def remind(self) -> None:
        """Log again what still stands still."""
        for parked in self._parked.values():
            self._say(parked)

    def lines(self) -> list[str]:
        """One line for each, for people who ask the probe."""
        return [f"parked: {parked.error}" for _, parked in sorted(self._parked.items())]

    def _say(self, parked: ParkedTask) -> None:
        now_s = self._clock()
        log.error(
            "a task stands still; the other tasks go on",
            task=parked.spec.name,
            error=str(parked.error) or repr(parked.error),
            stands_still_seconds=round(now_s - parked.since_s),
            tried_again="on SIGHUP or at the next start"
            if parked.retry_s is None
            else f"in {parked.retry_s - now_s:.0f} s",
        )
