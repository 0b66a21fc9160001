"""Says when dead letters become too many: in the log, in the metrics, at `/readyz`, and as the error that stops the worker."""

import time
from collections.abc import Iterable, Mapping

import structlog

from pipeline.dead_letter_breaker import DeadLetterBreaker, Reading
from schemas.errors import DeadLetterLimitExceeded
from schemas.state import Ledger
from topology.settings.sections import LimitSettings
from topology.worker.metrics import Instruments

log = structlog.get_logger()


class DeadLetterWatch:
    """Brings the clock, the log and the metrics to a `DeadLetterBreaker`."""

    def __init__(self, limits: LimitSettings, instruments: Instruments) -> None:
        self._limits = limits
        self._breaker = DeadLetterBreaker(limits.breaker())
        self._instruments = instruments
        self._too_many: dict[str, Reading] = {}

    def opened(self, task: str, ledgers: Mapping[str, Ledger]) -> None:
        """A task begins with this ledger."""
        self._breaker.opened(task, ledgers)

    def forget(self, task: str) -> None:
        """The task is not ours any more."""
        self._breaker.forget(task)
        self._too_many.pop(task, None)

    def exceeded(self, task: str, ledgers: Mapping[str, Ledger]) -> DeadLetterLimitExceeded | None:
        """The error to stop with, if what the task has processed by now is too much."""
        reading = self._breaker.observe(task, ledgers, _steady_ms())
        if not self._breaker.stops(reading):
            return None
        return DeadLetterLimitExceeded(
            f"{_said_of(task, reading)}, more than limits.dead_letter_stop_ratio = {self._limits.dead_letter_stop_ratio:g}."
            " See `modpulse dlq list`, mend the sender or the setting that refuses its events, and start again; a higher ratio,"
            " or off, goes on regardless"
        )

    def look(self, tasks: Iterable[str]) -> None:
        """Keep the gauges true also while nothing comes, and log what begins and what ends."""
        for task in tasks:
            reading = self._breaker.reading(task, _steady_ms())
            too_many = self._breaker.alerts(reading)
            self._instruments.dead_letters(task, reading.ratio, too_many=too_many)
            if too_many:
                if task not in self._too_many:
                    self._warn(task, reading)
                self._too_many[task] = reading
            elif self._too_many.pop(task, None) is not None:
                log.info("dead letters are no longer above limits.dead_letter_alert_ratio", task=task)

    def remind(self) -> None:
        """Log again what still lasts."""
        for task, reading in self._too_many.items():
            self._warn(task, reading)

    def warnings(self) -> list[str]:
        """One line for each task that has too many."""
        return [f"warning: {_said_of(task, reading)}" for task, reading in sorted(self._too_many.items())]

    def _warn(self, task: str, reading: Reading) -> None:
        log.warning(
            "more dead letters than limits.dead_letter_alert_ratio",
            task=task,
            ratio=round(reading.ratio, 4),
            limit=self._limits.dead_letter_alert_ratio,
            records=reading.records,
            letters=reading.dead,
            remedy="`modpulse dlq list` says why: mend the sender, or the setting that refuses its events; then"
            " `modpulse dlq replay`",
        )


def _steady_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _said_of(task: str, reading: Reading) -> str:
    return f"task {task}: {reading.ratio:.1%} of the last {reading.records:,} records are dead letters"
