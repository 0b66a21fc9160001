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
        ticks: end of the newest window evaluated by the alert rules, per window name.
    """

    def __init__(self, machine: AlertMachine, windows: WindowConfig) -> None:
        self._machine = machine
        self._windows = windows
        self.ticks: dict[str, int] = {}

    def tick(self, window: str, end_ms: int, size_ms: int, records: Sequence[Record], now_ms: int) -> list[Emitted]:
        """Evaluate the rules on the final records of one window; returns the alerts to publish."""
        alerts: list[Alert] = []
        newest = self.ticks.get(window)
        if newest is not None and end_ms - newest > size_ms and self._machine.wants_tick(window):
            # Windows without a single event in between: the first of them is what an absent series is judged by.
            alerts += self._machine.tick(window, newest + size_ms, [], now_ms)
        self.ticks[window] = end_ms
        alerts += self._machine.tick(window, end_ms, records, now_ms)
        return [Emitted("module_alerts", a.fingerprint.encode(), _encode(a), a.revision, a.updated_at) for a in alerts]

    def end_ticks(self, stream_ms: int, now_ms: int) -> list[Emitted]:
        """Let alerts see windows in which nothing happened at all, up to the newest closed one."""
        emitted: list[Emitted] = []
        for name, size_ms in self._windows.sizes:
            closed_ms = (stream_ms - self._windows.grace_ms) // size_ms * size_ms
            if self._machine.wants_tick(name) and closed_ms > self.ticks.get(name, closed_ms):
                emitted += self.tick(name, closed_ms, size_ms, [], now_ms)
        return emitted
