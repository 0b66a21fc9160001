"""One tick of the alert rules per closed window, in rising order per size, windows without any event included."""

from collections.abc import Container, Mapping, Sequence

import msgspec

from pipeline.alerts.fields import Record
from pipeline.alerts.machine import NOBODY, AlertMachine
from pipeline.config import WindowConfig
from pipeline.outputs import Emitted
from schemas.alerts import Alert

_encode = msgspec.json.Encoder().encode


class AlertTicker:
    """Drives an alert machine from the windows that close.

    Attributes:
        ticks: end of the newest window evaluated by the alert rules, per window size (ms).
        alerts_from_ms: rules are not evaluated on windows that end before.
    """

    def __init__(self, machine: AlertMachine, windows: WindowConfig) -> None:
        self._machine = machine
        self._names = {size_ms: name for name, size_ms in windows.sizes}
        self.ticks: dict[int, int] = {}
        self.alerts_from_ms: int | None = None

    def tick(
        self,
        size_ms: int,
        end_ms: int,
        records: Sequence[Record],
        now_ms: int,
        *,
        silent: Mapping[str, int] = NOBODY,
        excused: Container[str] = NOBODY,
    ) -> list[Emitted]:
        """Evaluate the rules on the final records of one window; returns the alerts to publish.

        Args:
            size_ms: the window's size.
            end_ms: its end.
            records: its final records.
            now_ms: the wall clock.
            silent: modules whose silence counts, and since when.
            excused: modules that are silent on purpose.
        """
        alerts = self._empty_ticks(size_ms, end_ms, now_ms)
        self.ticks[size_ms] = end_ms
        if self.alerts_from_ms is not None and end_ms < self.alerts_from_ms:
            return []
        name = self._names[size_ms]
        alerts += self._machine.tick(name, end_ms, records, now_ms, size_ms=size_ms, silent=silent, excused=excused)
        return _emitted(alerts)

    def asks_for_silence(self, size_ms: int) -> bool:
        """Whether any rule of that size wants to know which modules are silent."""
        return self._machine.asks_for_silence(self._names[size_ms])

    def _empty_ticks(self, size_ms: int, before_ms: int, now_ms: int) -> list[Alert]:
        """Let alerts see the windows without a single event since the newest tick, where that changes anything."""
        alerts: list[Alert] = []
        name, newest = self._names[size_ms], self.ticks.get(size_ms)
        while newest is not None:
            newest = self._machine.next_empty_tick(name, newest, size_ms)
            if newest is None or newest >= before_ms:
                break
            self.ticks[size_ms] = newest
            if self.alerts_from_ms is None or newest >= self.alerts_from_ms:
                alerts += self._machine.tick(name, newest, [], now_ms, size_ms=size_ms)
        return alerts

    def end_expired(self, expired: Mapping[str, int], now_ms: int) -> list[Emitted]:
        """End the alerts of modules that were forgotten; see `AlertMachine.end_expired`."""
        return _emitted(self._machine.end_expired(expired, now_ms))

    def end_unknown(self, known: Container[str], at_ms: int, now_ms: int) -> list[Emitted]:
        """End the alerts of modules that nobody knows any more.

        Args:
            known: the modules that are known.
            at_ms: event time.
            now_ms: the wall clock.
        """
        unknown = {module_id: at_ms for module_id in self._machine.active_modules() if module_id not in known}
        return self.end_expired(unknown, now_ms)

    def end_ticks(self, closed_ms: int, now_ms: int) -> list[Emitted]:
        """Let alerts see windows in which nothing happened at all, up to the newest closed one.

        Args:
            closed_ms: windows that end by then are closed.
            now_ms: the wall clock.
        """
        emitted: list[Emitted] = []
        for size_ms in self._names:
            emitted += _emitted(self._empty_ticks(size_ms, closed_ms // size_ms * size_ms + 1, now_ms))
        return emitted


def _emitted(alerts: Sequence[Alert]) -> list[Emitted]:
    return [Emitted("module_alerts", a.fingerprint.encode(), _encode(a), a.revision, a.updated_at) for a in alerts]
