"""What consumers read: module, system and metric aggregates, and health status records (contract sections 3 and 4)."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

WindowStatus = Literal["provisional", "final", "corrected"]
HealthLevel = Literal["healthy", "degraded", "critical"]
Ratio = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]


class ResponseTime(Struct, frozen=True, gc=False):
    """Response times of a window in milliseconds.

    `min` and `max` are exact; `avg` and `stddev` (of the population) come from exact sums, so they do not depend on the
    order of the events; percentile q is the order statistic of rank floor(q*(n-1)) within 1 %.
    """

    avg: float
    min: float
    max: float
    stddev: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float


class Health(Struct, frozen=True, gc=False):
    """The class of a module in a window and why: `score` is 100 less the named penalties in `reasons`.

    `since` is the start of the first window of this class, in this window size; null where an older build did not keep it.
    """

    status: HealthLevel
    score: Annotated[float, Meta(ge=0, le=100)]
    reasons: list[str]
    since: int | None = None


class ModuleMetrics(Struct, frozen=True, gc=False):
    """One module, one window. Upsert by key; the highest revision is the newest.

    Of each gauge there is the last value by event time (of equal times the one with the higher offset), the mean of all readings
    and the largest one; each is null where no reading was sent, or where an older build did not keep it.
    """

    module_id: str
    window: str
    window_start: int
    window_end: int
    status: WindowStatus
    revision: Annotated[int, Meta(ge=1)]
    total_requests: Count
    successful_requests: Count
    failed_requests: Count
    success_rate: Ratio
    error_rate: Ratio
    throughput_rps: float
    response_time_ms: ResponseTime
    percentile_relative_error: float
    memory_bytes: int | None
    cpu_percent: float | None
    cpu_percent_avg: float | None
    goroutines: int | None
    db_connections: int | None
    health: Health
    last_updated: int
    sketch: str
    memory_bytes_avg: float | None = None
    memory_bytes_max: int | None = None
    cpu_percent_max: float | None = None
    goroutines_avg: float | None = None
    goroutines_max: int | None = None
    db_connections_avg: float | None = None
    db_connections_max: int | None = None


class Completeness(Struct, frozen=True, gc=False):
    """How many input partitions a system window speaks for."""

    partitions_expected: Count
    partitions_seen: Count


class AggregatedMetrics(Struct, frozen=True, gc=False, kw_only=True):
    """The whole system, one window.

    `health_since` is the start of the first window of this class, in this window size; null where an older build did not keep it.
    """

    window: str
    window_start: int
    window_end: int
    status: WindowStatus
    revision: Annotated[int, Meta(ge=1)]
    overall_health: HealthLevel
    health_score: Annotated[float, Meta(ge=0, le=100)]
    health_since: int | None = None
    module_count: Count
    degraded_modules: Count
    critical_modules: Count
    overall_success_rate: Ratio
    overall_error_rate: Ratio
    total_requests: Count
    successful_requests: Count
    failed_requests: Count
    response_time_ms: ResponseTime
    overall_throughput: float
    total_memory_bytes: int | None
    average_cpu_percent: float | None
    total_goroutines: int | None
    db_connections: int | None
    completeness: Completeness
    last_updated: int


class MetricAggregate(Struct, frozen=True, gc=False):
    """One metric with one label set, one window."""

    name: str
    labels: dict[str, str]
    type: Literal["counter", "gauge", "histogram", "summary", "timer"]
    window: str
    window_start: int
    window_end: int
    status: WindowStatus
    revision: Annotated[int, Meta(ge=1)]
    count: Count
    sum: float
    avg: float
    min: float
    max: float
    last: float
    p50: float
    p90: float
    p95: float
    p99: float
    last_updated: int


class HealthStatus(Struct, frozen=True, gc=False):
    """The newest class of one module or one dependency check."""

    name: str
    status: HealthLevel
    score: Annotated[float, Meta(ge=0, le=100)]
    reasons: list[str]
    since: int
    updated_at: int
