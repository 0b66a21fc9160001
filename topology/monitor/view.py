"""What is going on now, for people: the newest window of every module, worst first. Values in, tables out; no broker."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schemas.alerts import Alert
from schemas.metrics import AggregatedMetrics, ModuleMetrics
from topology.runtime.logs import safe_text

if TYPE_CHECKING:
    from rich.console import RenderableType

_WORST = {"critical": 0, "degraded": 1, "healthy": 2}
_STYLES = {"critical": "bold red", "degraded": "yellow", "healthy": "green", "silent": "dim"}
# A module without an event for this many windows is silent ...
_SILENT_WINDOWS = 3
# ... and after this many it leaves the table.
_FORGOTTEN_WINDOWS = 60
# A window is shown when it is final, or has been filling for this long.
_TELLING_MS = 30_000
# Alerts that ended, the oldest forgotten first: for records that come late, which is a matter of seconds.
_REMEMBERED_ENDS = 10_000
# Headline, column names, a rule, the line that counts what does not fit, and the line the cursor stands on.
_FRAME_LINES = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One module as it stands. `health` is also `silent`; `alerts` are the names of those that fire."""

    module_id: str
    rate: float
    error_percent: float
    p50: float
    p95: float
    p99: float
    health: str
    score: float
    alerts: tuple[str, ...]

    def cells(self) -> tuple[str, ...]:
        """The columns as text, harmless to a terminal."""
        return (
            safe_text(self.module_id),
            f"{self.rate:,.1f}",
            f"{self.error_percent:.2f}",
            *(f"{value:,.0f}" for value in (self.p50, self.p95, self.p99)),
            self.health,
            safe_text(", ".join(self.alerts)),
        )


COLUMNS = ("module", "req/s", "error %", "p50 ms", "p95 ms", "p99 ms", "health", "alerts")


class LiveView:
    """The newest record of each module in one window size, the system's, and the alerts that fire.

    Records may come in any order and more than once: the newest window that tells something and the highest revision win.
    """

    def __init__(self, window: str) -> None:
        self._window = window
        self._modules: dict[str, ModuleMetrics] = {}
        self._system: AggregatedMetrics | None = None
        self._alerts: dict[str, Alert] = {}
        self._ended: dict[str, tuple[int, int]] = {}
        self._newest = 0

    def take(self, record: ModuleMetrics | AggregatedMetrics | Alert) -> None:
        """Take one record in; one of another window size is left out."""
        if isinstance(record, Alert):
            self._take_alert(record)
            return
        if record.window != self._window:
            return
        if isinstance(record, AggregatedMetrics):
            if self._system is None or _supersedes(record, self._system):
                self._system = record
            return
        known_metrics = self._modules.get(record.module_id)
        if known_metrics is None or _supersedes(record, known_metrics):
            self._modules[record.module_id] = record

    def _take_alert(self, alert: Alert) -> None:
        """Keep an alert that lasts; of one that ended, only enough to know records of before its end when they come late."""
        former = self._alerts.get(alert.fingerprint)
        known = (former.starts_at, former.revision) if former else self._ended.get(alert.fingerprint)
        if known is not None and alert.starts_at <= known[0] and alert.revision < known[1]:
            return
        self._alerts.pop(alert.fingerprint, None)
        self._ended.pop(alert.fingerprint, None)
        if alert.status != "resolved":
            self._alerts[alert.fingerprint] = alert
            return
        self._ended[alert.fingerprint] = (alert.starts_at, alert.revision)
        if len(self._ended) > _REMEMBERED_ENDS:
            del self._ended[next(iter(self._ended))]

    @property
    def firing(self) -> list[Alert]:
        """The alerts that fire, the oldest first."""
        return sorted(
            (a for a in self._alerts.values() if a.status == "firing"), key=lambda a: (a.starts_at, a.alertname)
        )

    def rows(self) -> list[Row]:
        """Every module, worst first; silent ones last."""
        firing: dict[str, list[str]] = {}
        for alert in self.firing:
            if alert.module_id is not None:
                firing.setdefault(alert.module_id, []).append(alert.alertname)
        self._newest = max((record.window_start for record in self._modules.values()), default=0)
        self._forget(firing)
        found = [self._row(record, tuple(firing.get(record.module_id, ()))) for record in self._modules.values()]
        return sorted(found, key=_badness)

    def headline(self) -> str:
        """The whole system in one line."""
        firing = len(self.firing)
        alerts = f"{firing} alerts firing" if firing != 1 else "1 alert firing"
        system = self._system
        if system is None:
            return f"{len(self._modules)} modules, windows of {self._window}, {alerts}"
        seen = system.completeness
        times = system.response_time_ms
        served = "no requests,"
        if times is not None and system.overall_error_rate is not None:
            served = f"{system.overall_error_rate:.2%} errors, p95 {times.p95:,.0f} ms, p99 {times.p99:,.0f} ms,"
        return (
            f"system {system.overall_health} ({system.health_score:.0f}), {_rate(system):,.0f} req/s, {served}"
            f" {system.module_count} modules ({system.critical_modules} critical, {system.degraded_modules} degraded),"
            f" partitions {seen.partitions_seen}/{seen.partitions_expected}, {alerts}"
        )

    def table(self, height: int) -> "RenderableType":
        """The headline and a rich table, together of at most `height` lines (but never without a row)."""
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        rows = self.rows()
        room = max(1, height - _FRAME_LINES)
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, expand=True)
        for name in COLUMNS:
            numeric = name in COLUMNS[1:6]
            table.add_column(name, justify="right" if numeric else "left", no_wrap=True, overflow="ellipsis")
        for row in rows[:room]:
            cells = [Text(cell) for cell in row.cells()]
            cells[6].stylize(_STYLES[row.health])
            cells[7].stylize("red")
            table.add_row(*cells)
        more = len(rows) - room
        headline = Text(safe_text(self.headline()), style="bold", no_wrap=True, overflow="ellipsis")
        return Group(headline, table, Text(f"... {more} more modules" if more > 0 else "", style="dim"))

    def plain(self, limit: int | None = None) -> str:
        """The same without colours or cursor movements, as lines."""
        rows = [row.cells() for row in self.rows()[:limit]]
        widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
        lines = [safe_text(self.headline())]
        for row in [COLUMNS, *rows]:
            cells = [
                c.rjust(w) if 1 <= i <= 5 else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines) + "\n"

    def as_json(self) -> bytes:
        """The same as one JSON document."""
        import orjson

        rows: Iterable[dict[str, Any]] = [{name: getattr(row, name) for name in Row.__slots__} for row in self.rows()]
        system = None if self._system is None else {**_fields(self._system)}
        alerts = [{**_fields(alert)} for alert in self.firing]
        answer = {"window": self._window, "system": system, "modules": rows, "firing": alerts}
        return orjson.dumps(answer) + b"\n"

    def _forget(self, firing: dict[str, list[str]]) -> None:
        gone = [
            record.module_id
            for record in self._modules.values()
            if self._behind(record) > _FORGOTTEN_WINDOWS and record.module_id not in firing
        ]
        for module_id in gone:
            del self._modules[module_id]

    def _behind(self, record: ModuleMetrics) -> float:
        return (self._newest - record.window_start) / (record.window_end - record.window_start)

    def _row(self, record: ModuleMetrics, alerts: tuple[str, ...]) -> Row:
        silent = self._behind(record) >= _SILENT_WINDOWS
        times = record.response_time_ms
        return Row(
            module_id=record.module_id,
            rate=0.0 if silent else _rate(record),
            error_percent=record.error_rate * 100,
            p50=times.p50,
            p95=times.p95,
            p99=times.p99,
            health="silent" if silent else record.health.status,
            score=record.health.score,
            alerts=alerts,
        )


def _supersedes(record: ModuleMetrics | AggregatedMetrics, known: ModuleMetrics | AggregatedMetrics) -> bool:
    """Whether to show a record instead of the one known: what says something first, then the newer."""
    if record.window_start == known.window_start:
        return record.revision >= known.revision
    if _tells(record) != _tells(known):
        return _tells(record)
    return record.window_start > known.window_start


def _tells(record: ModuleMetrics | AggregatedMetrics) -> bool:
    """Whether enough of the window had passed for its rates and percentiles to mean anything."""
    if record.status != "provisional":
        return True
    return record.last_updated - record.window_start >= _TELLING_MS


def _rate(record: ModuleMetrics | AggregatedMetrics) -> float:
    """Requests a second: of a window that is still filling, over the part of it that has passed."""
    size_ms = record.window_end - record.window_start
    if record.status == "provisional":
        size_ms = min(size_ms, max(record.last_updated - record.window_start, 1_000))
    return record.total_requests * 1_000 / size_ms


def _badness(row: Row) -> tuple[int, int, float, float, str]:
    return _WORST.get(row.health, 3), -len(row.alerts), row.score, -row.error_percent, row.module_id


def _fields(record: AggregatedMetrics | Alert) -> dict[str, Any]:
    import msgspec

    fields: dict[str, Any] = msgspec.to_builtins(record)
    return fields
