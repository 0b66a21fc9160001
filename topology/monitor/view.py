"""What is going on now, for people: the newest window of every module, worst first. Values in, tables out; no broker."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schemas.alerts import Alert
from schemas.metrics import AggregatedMetrics, ModuleMetrics
from topology.monitor.freshness import Freshness, age, local_time, wall_ms
from topology.monitor.layout import Column, columns_for, first_and_more, shortened
from topology.runtime.logs import safe_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

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
# As of when, headline, column names, a rule, the line that counts what does not fit, and the line the cursor stands on.
_FRAME_LINES = 6
# Of the lines that say why; the table gives up no more than a third of its own for them.
_MOST_REASONS = 8
# A base window, the grace, and some seconds on top: a worker that works writes more often.
STALE_AFTER_MS = 45_000


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
    reasons: tuple[str, ...]
    window_start: int
    window_end: int
    status: str
    since: int | None
    as_of: int
    age_ms: int

    def texts(self, now_ms: int) -> dict[str, str]:
        """Each column as text, harmless to a terminal."""
        return {
            "module": safe_text(self.module_id),
            "req/s": f"{self.rate:,.1f}" if self.rate < 100_000 else f"{self.rate:,.0f}",
            "error %": f"{self.error_percent:.2f}",
            "p50 ms": f"{self.p50:,.0f}",
            "p95 ms": f"{self.p95:,.0f}",
            "p99 ms": f"{self.p99:,.0f}",
            "health": self.health,
            "since": "" if self.since is None else local_time(self.since, now_ms)[-8:],
            "age": age(self.age_ms),
            "alerts": safe_text(", ".join(self.alerts)),
        }


class LiveView:
    """The newest record of each module in one window size, the system's, and the alerts that fire.

    Records may come in any order and more than once: the newest window that tells something and the highest revision win.
    """

    def __init__(
        self, window: str, *, now_ms: Callable[[], int] = wall_ms, stale_after_ms: int = STALE_AFTER_MS
    ) -> None:
        self._window = window
        self._now_ms = now_ms
        self._stale_after_ms = stale_after_ms
        self._written_ms: int | None = None
        self._reached_ms: int | None = None
        # For how long the broker has not answered; whoever reads the topics sets it.
        self.broker_away_s = 0.0
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
        self._written_ms = max(self._written_ms or 0, record.last_updated)
        if record.window != self._window:
            return
        self._reached_ms = max(self._reached_ms or 0, _reaches(record))
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

    @property
    def freshness(self) -> Freshness:
        """As of when this is, and whether it can be believed."""
        return Freshness(self._now_ms(), self._reached_ms, self._written_ms, self._stale_after_ms, self.broker_away_s)

    def reasons(self, most: int) -> list[str]:
        """Which, since when and why, the worst first: a line for each alert that fires and each module that is not well."""
        now_ms = self._now_ms()
        rows = {row.module_id: row for row in self.rows()}
        lines = []
        told: set[str] = set()
        for alert in self.firing:
            row = rows.get(alert.module_id or "")
            who = alert.module_id or "the system"
            why = alert.annotations.get("description") or alert.annotations.get("summary") or alert.reason
            now = f"; now {row.error_percent:.2f} % errors, p95 {row.p95:,.0f} ms, {row.health}" if row else ""
            since = f"since {local_time(alert.starts_at, now_ms)}, {age(now_ms - alert.starts_at)}"
            lines.append(f"{alert.alertname} ({alert.severity}) {who} {since}{': ' if why else ''}{why}{now}")
            told.add(who)
        for row in rows.values():
            if row.health != "healthy" and row.module_id not in told:
                since = (
                    "" if row.since is None else f" since {local_time(row.since, now_ms)}, {age(now_ms - row.since)}"
                )
                why = f"no event for {age(row.age_ms)}" if row.health == "silent" else "; ".join(row.reasons)
                lines.append(f"{row.module_id} {row.health}{since}: {why}")
        return [safe_text(line) for line in lines[:most]]

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

    def table(self, height: int, width: int = 132) -> "RenderableType":
        """As of when, the headline, a table and the reasons, together of at most `height` lines (but never without a row)."""
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        fresh = self.freshness
        rows = self.rows()
        room = max(1, height - _FRAME_LINES)
        why = self.reasons(min(_MOST_REASONS, room // 3))
        room = max(1, room - len(why))
        columns = columns_for(width, [safe_text(row.module_id) for row in rows[:room]])
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        for column in columns:
            table.add_column(
                column.name, justify="right" if column.right else "left", no_wrap=True, width=column.width or None
            )
        for row in rows[:room]:
            table.add_row(*(self._cell(row, column, fresh) for column in columns))
        more = len(rows) - room
        style = "bold" if fresh.trusted else "bold white on red"
        return Group(
            Text(shortened(fresh.line(), width), style=style, no_wrap=True, overflow="ellipsis"),
            Text(
                safe_text(self.headline()), style="bold" if fresh.trusted else "dim", no_wrap=True, overflow="ellipsis"
            ),
            table,
            *(Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in why),
            Text(f"... {more} more modules" if more > 0 else "", style="dim"),
        )

    def _cell(self, row: Row, column: Column, fresh: Freshness) -> "Text":
        from rich.text import Text

        if column.name == "alerts":
            text, style = first_and_more([safe_text(name) for name in row.alerts], column.width), "red"
        else:
            text, style = row.texts(fresh.now_ms)[column.name], ""
            if column.name == "module":
                text = shortened(text, column.width)
            elif column.name == "health":
                style = _STYLES[row.health]
        return Text(text, style=style if fresh.trusted else "dim")

    def plain(self, limit: int | None = None) -> str:
        """The same without colours or cursor movements, as lines: nothing is cut."""
        now_ms = self._now_ms()
        names = [column.name for column in columns_for(200, [])]
        rows = [tuple(row.texts(now_ms)[name] for name in names) for row in self.rows()[:limit]]
        widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
        left = {"module", "health", "alerts"}
        lines = [self.freshness.line(), safe_text(self.headline())]
        for row in [tuple(names), *rows]:
            cells = [
                cell.ljust(width) if name in left else cell.rjust(width)
                for name, cell, width in zip(names, row, widths, strict=True)
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join([*lines, *self.reasons(_MOST_REASONS)]) + "\n"

    def as_json(self) -> bytes:
        """The same as one JSON document."""
        import orjson

        rows: Iterable[dict[str, Any]] = [{name: getattr(row, name) for name in Row.__slots__} for row in self.rows()]
        system = None if self._system is None else {**_fields(self._system)}
        alerts = [{**_fields(alert)} for alert in self.firing]
        freshness = self.freshness.answer()
        answer = {"freshness": freshness, "window": self._window, "system": system, "modules": rows, "firing": alerts}
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
        """How many windows ago its newest one was: by the newest of all, or by the clock where that has gone on."""
        size_ms = record.window_end - record.window_start
        # A window that ended is written when the grace has passed and the next one fills; that much is no silence.
        by_clock = (self._now_ms() - self._stale_after_ms - record.window_end) / size_ms
        return max((self._newest - record.window_start) / size_ms, by_clock)

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
            reasons=tuple(record.health.reasons),
            window_start=record.window_start,
            window_end=record.window_end,
            status=record.status,
            since=record.health.since,
            as_of=_reaches(record),
            age_ms=max(0, self._now_ms() - _reaches(record)),
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


def _reaches(record: ModuleMetrics | AggregatedMetrics) -> int:
    """Up to when a record speaks: the end of its window, or when it was made where the window still fills."""
    return record.window_end if record.status != "provisional" else min(record.window_end, record.last_updated)


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
