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
    `silent_modules` counts the modules that had events in three base windows in a row, then none in one, and none since.
    `silent_partitions` counts the partitions of the input that have silent modules and had no event at all in the window; both
    are null in records of builds that did not count them. Of a window without a request, rates and response times are null.
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
    silent_modules: Count | None = None
    silent_partitions: Count | None = None
    overall_success_rate: Ratio | None
    overall_error_rate: Ratio | None
    total_requests: Count
    successful_requests: Count
    failed_requests: Count
    response_time_ms: ResponseTime | None
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
    """How one module or one dependency check is, written at each change of its status; the newest record of a key counts.

    Of a module, `status` is its class in the smallest window size, or `silent`: no event in a base window after three with
    events.
    `since` is the start of the first window of this status, `updated_at` the wall clock at which the record was made, both epoch
    milliseconds. A module that expired has a record without a value.
    """

    name: Annotated[str, Meta(description="Module id, or name of the check; the key of the record.")]
    kind: Annotated[Literal["module", "check"], Meta(description="What `name` names.")]
    status: Annotated[
        Literal["healthy", "degraded", "critical", "silent", "up", "down", "blocked", "unknown"],
        Meta(
            description="Of a module: healthy, degraded, critical or silent; of a check: up, down, degraded, blocked or unknown."
        ),
    ]
    score: Annotated[
        Annotated[float, Meta(ge=0, le=100)] | None,
        Meta(
            description="Points of the module in the window of the change, 100 is perfect; null where nothing was judged."
        ),
    ]
    reasons: Annotated[list[str], Meta(description="Why, for people, what costs most first.")]
    blocked_by: Annotated[
        list[str], Meta(description="Checks that keep a check from being judged; empty for a module.")
    ]
    since: Annotated[int, Meta(description="Start of the first window of this status, epoch ms, event time.")]
    updated_at: Annotated[int, Meta(description="When the record was made, epoch ms, wall clock.")]
