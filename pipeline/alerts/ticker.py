"""One tick of the alert rules per closed window, in rising order per size, windows without any event included."""

from collections.abc import Sequence

import msgspec

from pipeline.alerts.fields import Record
from pipeline.alerts.machine import AlertMachine
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

    def tick(self, size_ms: int, end_ms: int, records: Sequence[Record], now_ms: int) -> list[Emitted]:
        """Evaluate the rules on the final records of one window; returns the alerts to publish."""
        alerts: list[Alert] = []
        newest = self.ticks.get(size_ms)
        self.ticks[size_ms] = end_ms
        if self.alerts_from_ms is not None and end_ms < self.alerts_from_ms:
            return []
        name = self._names[size_ms]
        if newest is not None and end_ms - newest > size_ms and self._machine.wants_tick(name):
            # Windows without a single event in between: the first of them is what an absent series is judged by.
            alerts += self._machine.tick(name, newest + size_ms, [], now_ms, size_ms=size_ms)
        alerts += self._machine.tick(name, end_ms, records, now_ms, size_ms=size_ms)
        return [Emitted("module_alerts", a.fingerprint.encode(), _encode(a), a.revision, a.updated_at) for a in alerts]

    def end_ticks(self, closed_ms: int, now_ms: int) -> list[Emitted]:
        """Let alerts see windows in which nothing happened at all, up to the newest closed one.

        Args:
            closed_ms: windows that end by then are closed.
            now_ms: the wall clock.
        """
        emitted: list[Emitted] = []
        for size_ms, name in self._names.items():
            end_ms = closed_ms // size_ms * size_ms
            if self._machine.wants_tick(name) and end_ms > self.ticks.get(size_ms, end_ms):
                emitted += self.tick(size_ms, end_ms, [], now_ms)
        return emitted
