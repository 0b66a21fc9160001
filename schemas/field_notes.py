"""What each published field means and in which unit, by record and field; the generated schemas carry it as its description.

A test demands a line for every field, and none for a field that is not there.
"""

_WINDOW = "Name of the window size, as `windows.sizes` has it: 30s, 1m, 1h."
_START = "Start of the window, epoch milliseconds; it belongs to the window."
_END = "End of the window, epoch milliseconds; it belongs to the next one."
_STATUS = (
    "provisional: the window may still grow; final: its grace is over; corrected: late events changed it after that."
)
_REVISION = "Counts up from 1 for each key; the record with the highest one is the newest."
_UPDATED = "When the record was made, by the worker's clock, epoch milliseconds."
_TIME = "When it happened (event time): integer epoch milliseconds, or RFC 3339 text with an offset."
_HEALTH = "Health class; degraded and critical come from thresholds in `health`."
_SCORE = "Health points from 0 (worst) to 100 (all is well)."
_SINCE = (
    "Start of the first window of this size and class, epoch milliseconds; null where an older build did not keep it."
)
_REASONS = "Why points were lost, worst first; empty where nothing is wrong."
_PERCENTILE = "Order statistic of rank floor({q} * (n - 1)), milliseconds, within `percentile_relative_error`."
_METRIC_PERCENTILE = "Order statistic of rank floor({q} * (n - 1)) of the values, in the metric's unit, within 1 %."
_QUANTILES = {"p50": "0.5", "p90": "0.9", "p95": "0.95", "p99": "0.99", "p999": "0.999"}

_GAUGES = {
    "memory_bytes": "Memory, bytes: ",
    "cpu_percent": "CPU, percent of one core (200 is two cores): ",
    "goroutines": "Goroutines, threads or tasks, a count: ",
    "db_connections": "Open database connections, a count: ",
}
_LAST = "the last reading of the window by event time, of equal times the one with the higher offset; null where none was sent."
_MEAN = "the mean of all readings of the window; null where none was sent."
_LARGEST = "the largest reading of the window; null where none was sent."

FIELD_NOTES: dict[str, dict[str, str]] = {
    "ModuleLogEvent": {
        "module_id": "Name of the module: 1 to 200 characters, not blanks alone, no control (Cc) and no bidirectional controls.",
        "timestamp": _TIME,
        "success": "Whether the request succeeded.",
        "response_time_ms": "How long the request took, milliseconds; finite.",
        "event_id": "Key for the suppression of duplicates within the module, at most 256 characters; empty or null: none.",
        "memory_bytes": "Memory in use at that time, bytes.",
        "goroutines": "Goroutines, threads or tasks at that time, a count.",
        "db_connections": "Open database connections at that time, a count.",
        "cpu_percent": "CPU in use at that time, percent of one core (200 is two cores); finite.",
        "labels": "Names and values of the sender's own, bounded by `limits.max_label*`.",
    },
    "MetricSample": {
        "name": "Name of the metric, by Prometheus' rule for names.",
        "value": "The measurement, in `unit`; finite.",
        "timestamp": _TIME,
        "type": "Kind of metric, which decides how samples are aggregated.",
        "labels": "Names and values that tell the series of a metric apart.",
        "unit": "Unit of `value`, for people: ms, bytes, requests; empty: none.",
        "sample_id": "Key for the suppression of duplicates within the metric, at most 256 characters; null: none.",
    },
    "ModuleMetrics": {
        "module_id": "Name of the module; `__other__` stands for all above `limits.max_modules`.",
        "window": _WINDOW,
        "window_start": _START,
        "window_end": _END,
        "status": _STATUS,
        "revision": _REVISION,
        "total_requests": "Events in the window, a count, exact.",
        "successful_requests": "Events with `success` true, a count, exact.",
        "failed_requests": "Events with `success` false, a count, exact.",
        "success_rate": "`successful_requests` / `total_requests`, a ratio from 0 to 1.",
        "error_rate": "`failed_requests` / `total_requests`, a ratio from 0 to 1.",
        "throughput_rps": "`total_requests` over the length of the window, requests per second.",
        "response_time_ms": "Response times of all events of the window, milliseconds.",
        "percentile_relative_error": "How far a percentile may be off, as a ratio of its value: 0.01 is 1 %.",
        **{name: text + _LAST for name, text in _GAUGES.items()},
        **{f"{name}_avg": text + _MEAN for name, text in _GAUGES.items()},
        **{f"{name}_max": text + _LARGEST for name, text in _GAUGES.items()},
        "health": "Health of the module in this window.",
        "last_updated": _UPDATED,
        "sketch": "Base64 of a mergeable DDSketch of the response times in milliseconds; docs/sketch-format.md has its bytes.",
    },
    "ResponseTime": {
        "avg": "Mean, milliseconds, from exact sums.",
        "min": "Smallest, milliseconds, exact.",
        "max": "Largest, milliseconds, exact.",
        "stddev": "Standard deviation of the population, milliseconds, from exact sums.",
        **{name: _PERCENTILE.format(q=q) for name, q in _QUANTILES.items()},
    },
    "Health": {
        "status": _HEALTH,
        "score": _SCORE,
        "reasons": _REASONS,
        "since": _SINCE,
    },
    "AggregatedMetrics": {
        "window": _WINDOW,
        "window_start": _START,
        "window_end": _END,
        "status": _STATUS,
        "revision": _REVISION,
        "overall_health": "Health class of the whole system.",
        "health_score": _SCORE,
        "health_since": _SINCE,
        "module_count": "Modules with events in the window, a count.",
        "silent_modules": "Modules that are silent and should not be, a count; null where an older build wrote it.",
        "silent_partitions": "Partitions all of whose modules are silent, a count; null where an older build wrote it.",
        "degraded_modules": "Modules of class degraded, a count.",
        "critical_modules": "Modules of class critical, a count.",
        "overall_success_rate": "`successful_requests` / `total_requests`, a ratio from 0 to 1.",
        "overall_error_rate": "`failed_requests` / `total_requests`, a ratio from 0 to 1.",
        "total_requests": "Events of all modules in the window, a count, exact.",
        "successful_requests": "Events with `success` true, a count, exact.",
        "failed_requests": "Events with `success` false, a count, exact.",
        "response_time_ms": "Response times of all events of all modules together, milliseconds.",
        "overall_throughput": "`total_requests` over the length of the window, requests per second.",
        "total_memory_bytes": "Sum over modules of their last readings in the window, bytes; null where none was sent.",
        "average_cpu_percent": "Mean over modules of their last readings, percent of one core; null where none was sent.",
        "total_goroutines": "Sum over modules of their last readings in the window, a count; null where none was sent.",
        "db_connections": "Sum over modules of their last readings in the window, a count; null where none was sent.",
        "completeness": "How much of the input this window speaks for.",
        "last_updated": _UPDATED,
    },
    "Completeness": {
        "partitions_expected": "Partitions of the input, a count.",
        "partitions_seen": "Partitions whose part is in this record, a count.",
    },
    "MetricAggregate": {
        "name": "Name of the metric.",
        "labels": "The label set this record is about.",
        "type": "Kind of metric.",
        "window": _WINDOW,
        "window_start": _START,
        "window_end": _END,
        "status": _STATUS,
        "revision": _REVISION,
        "count": "Samples in the window, a count.",
        "sum": "Sum of the values, in the metric's unit.",
        "avg": "Mean of the values, in the metric's unit.",
        "min": "Smallest value, in the metric's unit.",
        "max": "Largest value, in the metric's unit.",
        "last": "Last value by event time, in the metric's unit.",
        **{name: _METRIC_PERCENTILE.format(q=q) for name, q in _QUANTILES.items() if name != "p999"},
        "last_updated": _UPDATED,
    },
    "HealthStatus": {
        "name": "Name of the module or of the check.",
        "kind": "What has the status: module, or check.",
        "status": "The class of a module, or silent; of a check: up, down, degraded, blocked or unknown.",
        "score": _SCORE,
        "reasons": _REASONS,
        "blocked_by": "Names of the checks that have to be up first; empty for modules.",
        "since": "Since when it has this status, epoch milliseconds.",
        "updated_at": _UPDATED,
    },
    "Alert": {
        "fingerprint": "Identity of the alert: a hash of its labels alone, the same before and after a restart.",
        "alertname": "Name of the rule.",
        "status": "pending: the condition holds, for less than `for`; firing: it has held that long; resolved: it is over.",
        "severity": "How urgent, as the rule says: info, warning, critical.",
        "module_id": "The module it is about; null: the whole system.",
        "labels": "Labels of the rule, with `alertname`, `severity` and, where there is one, `module_id`.",
        "annotations": "Texts of the rule for people, placeholders filled in.",
        "value": "The compared figure at this transition, in its field's unit; null where there is none.",
        "threshold": "What `value` is compared with, in the same unit; null where the rule names none.",
        "starts_at": "Start of the first window in which the condition held, epoch milliseconds of event time.",
        "ends_at": "End of the alert, epoch milliseconds of event time; null while it lasts.",
        "updated_at": _UPDATED,
        "reason": "Why this transition happened, for people.",
        "revision": _REVISION,
    },
}
