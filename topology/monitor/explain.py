"""Why a module is in the state it is in: its class, the last windows, its alerts, and what was an hour and a day before."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from schemas.alerts import Alert
from schemas.metrics import ModuleMetrics
from topology.monitor.freshness import Freshness, age, local_time
from topology.monitor.history import History
from topology.runtime.logs import safe_text

SHOWN_WINDOWS = 10
# As long as a module may be silent and still be explained.
_LOOK_BACK_MS = 6 * 3_600_000
_BEFORE = (("1 h before", 3_600_000), ("1 d before", 86_400_000))
_ALERTS_MS = 86_400_000
_COMPARED: tuple[tuple[str, Callable[[ModuleMetrics], float]], ...] = (
    ("req/s", lambda record: record.throughput_rps),
    ("error %", lambda record: record.error_rate * 100),
    ("p95 ms", lambda record: record.response_time_ms.p95),
    ("p99 ms", lambda record: record.response_time_ms.p99),
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is said of a module.

    Attributes:
        windows: the newest ones, newest first; at least one.
        before: by how long ago, the window of then; None where the topic does not reach, or nothing was sent then.
        whole: everything that was asked for could be read in time.
    """

    module_id: str
    windows: list[ModuleMetrics]
    before: dict[str, ModuleMetrics | None]
    alerts: list[Alert]
    freshness: Freshness
    whole: bool

    def answer(self) -> dict[str, Any]:
        """For `--json`."""
        newest = self.windows[0]
        return {
            "module_id": self.module_id,
            "freshness": self.freshness.answer(),
            "health": msgspec.to_builtins(newest.health),
            "windows": [_without_sketch(record) for record in self.windows],
            "before": {name: record and _without_sketch(record) for name, record in self.before.items()},
            "alerts": [msgspec.to_builtins(alert) for alert in self.alerts],
            "whole": self.whole,
        }

    def lines(self) -> list[str]:
        """For people."""
        now_ms, newest = self.freshness.now_ms, self.windows[0]
        health = newest.health
        since = "" if health.since is None else f" since {_when(health.since, now_ms)}"
        said = [
            f"{self.module_id}: {health.status}{since}, score {health.score:.0f} of 100",
            self.freshness.line(),
            *(f"  {reason}" for reason in health.reasons),
            "",
            f"{'window of ' + newest.window:<22}{'status':<13}{'health':<10}"
            + "".join(f"{name:>10}" for name, _ in _COMPARED),
        ]
        for record in self.windows:
            start = local_time(record.window_start, now_ms)
            said.append(f"{start:<22}{record.status:<13}{record.health.status:<10}{_figures(record)}")
        for name, before in self.before.items():
            figures = _figures(before) if before else "  no window of then in the topic"
            said.append(f"{name:<22}{'':<13}{before.health.status if before else '':<10}{figures}")
        said.append("")
        said += [_alert(alert, now_ms) for alert in self.alerts] or ["no alert in the last day"]
        if not self.whole:
            said.append("not everything could be read in time; --deadline gives it more")
        return [safe_text(line) for line in said]


def _when(ms: int, now_ms: int) -> str:
    return f"{local_time(ms, now_ms)} ({age(now_ms - ms)} ago)"


def _figures(record: ModuleMetrics) -> str:
    return "".join(f"{figure(record):>10,.2f}" for _, figure in _COMPARED)


def _alert(alert: Alert, now_ms: int) -> str:
    ended = "" if alert.ends_at is None else f", ended {_when(alert.ends_at, now_ms)}"
    why = alert.annotations.get("description") or alert.annotations.get("summary") or alert.reason
    return f"{alert.alertname} ({alert.severity}) {alert.status} since {_when(alert.starts_at, now_ms)}{ended}: {why}"


def _without_sketch(record: ModuleMetrics) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(record)
    del fields["sketch"]
    return fields


async def explain(
    history: History, module_id: str, window: str, size_ms: int, now_ms: int, stale_after_ms: int
) -> Explanation | None:
    """Look a module up; None where no window of it was found.

    Args:
        history: what is asked.
        module_id: which module.
        window: the name of a size, and `size_ms` its length.
        size_ms: see `window`.
        now_ms: the wall clock.
        stale_after_ms: a worker that works writes more often than this.
    """
    recent = await history.windows(module_id, window, now_ms - (SHOWN_WINDOWS + 2) * size_ms, now_ms + size_ms)
    if not recent.windows:
        recent = await history.windows(module_id, window, now_ms - max(_LOOK_BACK_MS, 30 * size_ms), now_ms + size_ms)
    if not recent.windows:
        return None
    newest = sorted(recent.windows.values(), key=lambda record: -record.window_start)[:SHOWN_WINDOWS]
    before: dict[str, ModuleMetrics | None] = {}
    whole = recent.whole
    for name, ms in _BEFORE:
        start = newest[0].window_start - ms
        found = await history.windows(module_id, window, start, start + 2 * size_ms)
        before[name] = found.windows.get(start - start % size_ms)
        whole = whole and found.whole
    alerts = await history.alerts(module_id, now_ms - _ALERTS_MS)
    data_ms = min(newest[0].window_end, now_ms)
    fresh = Freshness(now_ms, data_ms, max(record.last_updated for record in newest), stale_after_ms + size_ms)
    latest = sorted(alerts.alerts.values(), key=lambda alert: (alert.status == "resolved", -alert.starts_at))
    return Explanation(module_id, newest, before, latest, fresh, whole and alerts.whole)
