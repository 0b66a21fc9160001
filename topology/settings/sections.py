"""The smaller sections: topics, windows, alerts, limits, duplicates, state, metrics, log, serve, storage."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pipeline.config import Limits, WindowConfig
from pipeline.dead_letter_breaker import BreakerConfig
from topology.settings.units import (
    ByteSize,
    Count,
    CountOrZero,
    DurationMs,
    FirstMoment,
    HostPort,
    HostPortOrOff,
    PositiveDurationMs,
    RatioOrOff,
    Switch,
    TopicName,
    WindowSizes,
)

# Every topic of the contract, by the field that names it.
TOPIC_FIELDS = (
    "module_log_events",
    "metric_samples",
    "module_metrics",
    "system_metrics",
    "metric_aggregates",
    "module_alerts",
    "health_status",
    "late",
    "dlq",
)


def _empty_is_unset(value: object) -> object:
    return None if value == "" else value


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TopicSettings(_Section):
    """The names of the contract's topics, and how those that are missing are created."""

    # The contract's names; change them only where a cluster has a naming rule.
    module_log_events: TopicName = "module-log-events"
    metric_samples: TopicName = "metric-samples"
    module_metrics: TopicName = "module-metrics"
    system_metrics: TopicName = "system-metrics"
    metric_aggregates: TopicName = "metric-aggregates"
    module_alerts: TopicName = "module-alerts"
    health_status: TopicName = "health-status"
    late: TopicName = "module-log-events.late"
    dlq: TopicName = "module-log-events.dlq"
    # Four workers at 250,000 events/s each; the number of partitions is the ceiling of the number of workers.
    partitions: Annotated[Count, Field(le=10_000)] = 4
    # What a single broker can give; production wants 3 with min.insync.replicas 2.
    replication_factor: Annotated[Count, Field(le=32_767)] = 1

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        seen: dict[str, str] = {}
        for field in TOPIC_FIELDS:
            name = getattr(self, field)
            if other := seen.get(name):
                raise ValueError(f'topics.{field} = "{name}" is also topics.{other}; give each its own name')
            seen[name] = field
        return self


class WindowSettings(_Section):
    """Event-time windows; all durations become milliseconds."""

    # From a page's refresh to a day's report; 30 s is the base pane every other size is made of.
    sizes: WindowSizes = WindowConfig().sizes
    # Covers the usual retry and buffering of senders; a window is final 10 s after its end.
    grace: DurationMs = 10_000
    # A service that was cut off for some minutes still corrects its windows.
    corrections: DurationMs = 600_000
    # Five fetches without an event, long enough that a slow sender is not called silent.
    idle_timeout: PositiveDurationMs = 5_000
    # No event of a running fleet is older; a stamp of now in seconds, read as milliseconds, is.
    min_timestamp: FirstMoment = WindowConfig().min_timestamp_ms
    # Clocks without NTP drift by minutes; more than that is a wrong clock, not a late event.
    max_future: DurationMs = 300_000
    # A larger window changes little within 5 s; each provisional record of it is a full record.
    emit_interval: DurationMs = 5_000

    def core(self) -> WindowConfig:
        """The windows as the core takes them."""
        return WindowConfig(
            sizes=self.sizes,
            grace_ms=self.grace,
            corrections_ms=self.corrections,
            idle_timeout_ms=self.idle_timeout,
            min_timestamp_ms=self.min_timestamp,
            max_future_ms=self.max_future,
            emit_interval_ms=self.emit_interval,
        )


class AlertSettings(_Section):
    """Where the alert rules are."""

    # Alerts cost little and nobody misses what they never saw.
    enabled: Switch = True
    # Unset: the rules that ship with the package.
    rules_file: Annotated[Path | None, BeforeValidator(_empty_is_unset)] = None


class LimitSettings(_Section):
    """Ceilings of one partition's task. Reaching one is counted and visible, never silent."""

    # 4 partitions of 2,000 modules: more names than a fleet has, few enough that a runaway id cannot fill the memory.
    max_modules: Count = Limits().max_modules
    # 300 times the size of a usual event; larger ones are a sender's mistake.
    max_record_bytes: ByteSize = Limits().max_record_bytes
    # Sixty times what a usual batch holds; with batches made to be as bad as that, a worker stays below 400 MiB.
    max_batch_bytes: ByteSize = 64 << 20
    # Prometheus' own advice is below 10 labels; 32 leaves room.
    max_labels: CountOrZero = Limits().max_labels
    # Longer than any label name in the OpenTelemetry conventions.
    max_label_key_chars: Count = Limits().max_label_key_chars
    # A URL path fits, a stack trace does not.
    max_label_value_chars: Count = Limits().max_label_value_chars
    # 2,000 modules with ten base panes each: grace and corrections at the defaults need fewer.
    max_open_windows: Count = Limits().max_open_windows
    # A flush of this size still fits in one transaction within a second.
    max_buffered_bytes: ByteSize = Limits().max_buffered_bytes
    # One bad record in a hundred is a sender's bug, one in twenty a deployment gone wrong; `off` says nothing.
    dead_letter_alert_ratio: RatioOrOff = 0.05
    # Unset: never. A worker that stops helps nobody who still sends good events, so that is for you to decide.
    dead_letter_stop_ratio: RatioOrOff = None
    # Long enough to be no hiccup, short enough to notice a deployment while somebody still watches it.
    dead_letter_window: PositiveDurationMs = 60_000
    # Below that a single sender's bug is a large share.
    dead_letter_min_records: Count = 1_000

    def breaker(self) -> BreakerConfig:
        """When dead letters are too many."""
        return BreakerConfig(
            alert_ratio=self.dead_letter_alert_ratio,
            stop_ratio=self.dead_letter_stop_ratio,
            window_ms=self.dead_letter_window,
            min_records=self.dead_letter_min_records,
        )


class DedupSettings(_Section):
    """Suppression of events whose `event_id` was seen in the same module."""

    # At-least-once senders repeat themselves; the price is 17 % of the throughput.
    enabled: Switch = True
    # 8,000 events/s a partition for one base pane of 30 s; 8 bytes each.
    max_ids_per_pane: Count = Limits().max_dedup_ids_per_pane


class StateSettings(_Section):
    """What the worker keeps between events."""

    # As long as the longest window: a module that is silent for a day has nothing left to report.
    module_expiry: PositiveDurationMs = Limits().module_expiry_ms


class MetricsSettings(_Section):
    """The worker's own metrics and probes."""

    # Loopback: nothing is reachable from outside unless asked for. 9464 is the OpenTelemetry exporter's port.
    # Empty: no endpoint, so no probes either.
    bind: HostPortOrOff = "127.0.0.1:9464"


class LogSettings(_Section):
    """What goes to standard error."""

    # One line per rebalance, restore and warning; debug adds one per flush.
    level: Literal["debug", "info", "warning", "error"] = "info"
    # JSON for machines, colours for a terminal, whichever is at the other end.
    format: Literal["auto", "json", "console"] = "auto"


class ServeSettings(_Section):
    """The HTTP server."""

    # Loopback, for the same reason as metrics.bind.
    bind: HostPort = "127.0.0.1:8080"


class StorageSettings(_Section):
    """Where the HTTP server keeps its history."""

    # Needs nothing and is refilled from the topics at each start.
    type: Literal["memory", "sqlite", "file"] = "memory"
    # Unset: type memory needs none.
    path: Annotated[Path | None, BeforeValidator(_empty_is_unset)] = None

    @model_validator(mode="after")
    def _path_where_needed(self) -> Self:
        if self.type != "memory" and self.path is None:
            raise ValueError(f"storage.type = {self.type} needs storage.path; name the file or directory")
        return self
