"""The partials of all partitions in one window, merged into the published record."""

from collections.abc import Iterable, Sequence

import numpy as np

from pipeline.arrays import I8
from pipeline.publish.render import WindowText, response_time
from pipeline.publish.scaled import ScaledSum
from pipeline.sketch.cells import sum_by_key
from pipeline.sketch.quantiles import quantiles
from pipeline.system.health import SystemHealth
from pipeline.windows.moments import FRACTION_BITS
from schemas.events import MAX_GAUGE
from schemas.metrics import AggregatedMetrics, Completeness, ResponseTime
from schemas.partials import SystemPartial

# The merged sketch stands where that of the module with code 0 would: its cell keys are then its bins.
_ALL: I8 = np.zeros(1, np.int64)


def aggregate(
    partials: Sequence[SystemPartial],
    text: WindowText,
    revision: int,
    completeness: Completeness,
    health: SystemHealth,
    since_ms: int | None,
) -> AggregatedMetrics:
    """Merge partials (at least one, one per partition). Without a request in them there are no rates and no response times.

    Everything is a sum of integers, a correctly rounded sum, a minimum or a maximum: the order of the partials is of no account.

    Args:
        partials: of the window.
        text: what the record says of the window.
        revision: of the record.
        completeness: of the record.
        health: `health_of` the partials.
        since_ms: start of the first window of this class.
    """
    requests = sum(p.requests for p in partials)
    successes = sum(p.successes for p in partials)
    served = [p for p in partials if p.requests]
    return AggregatedMetrics(
        window=text.name,
        window_start=text.start_ms,
        window_end=text.end_ms,
        status=text.status,
        revision=revision,
        overall_health=health.level,
        health_score=health.score,
        health_since=since_ms,
        module_count=sum(p.modules for p in partials),
        degraded_modules=sum(p.degraded for p in partials),
        critical_modules=sum(p.critical for p in partials),
        silent_modules=sum(p.silent for p in partials),
        silent_partitions=sum(1 for p in partials if p.silent and not p.requests),
        overall_success_rate=successes / requests if requests else None,
        overall_error_rate=(requests - successes) / requests if requests else None,
        total_requests=requests,
        successful_requests=successes,
        failed_requests=requests - successes,
        response_time_ms=_response_time(served, requests) if served else None,
        overall_throughput=requests / text.seconds,
        total_memory_bytes=_total(p.memory_bytes for p in partials),
        average_cpu_percent=_mean_cpu(partials),
        total_goroutines=_total(p.goroutines for p in partials),
        db_connections=_total(p.db_connections for p in partials),
        completeness=completeness,
        last_updated=text.now_ms,
    )


def _response_time(partials: Sequence[SystemPartial], requests: int) -> ResponseTime:
    total = sum(int(p.sum, 16) for p in partials)
    squares = sum((int(p.squares, 16) << FRACTION_BITS) + int(p.squares_rest, 16) for p in partials)
    minimum, maximum = min(p.minimum for p in partials), max(p.maximum for p in partials)
    bins = np.concatenate([np.frombuffer(p.bins, "<i4") for p in partials]).astype(np.int64)
    counts = np.concatenate([np.frombuffer(p.counts, "<i8") for p in partials]).astype(np.int64)
    percentiles = quantiles(_ALL, sum_by_key(bins, counts), np.array([minimum]), np.array([maximum]))
    return response_time(requests, total, squares, minimum, maximum, percentiles[0].tolist())


def _mean_cpu(partials: Sequence[SystemPartial]) -> float | None:
    modules = sum(p.cpu_modules for p in partials)
    if not modules:
        return None
    return ScaledSum.total(ScaledSum(p.cpu_percent, p.cpu_scale) for p in partials).mean(modules)


def _total(gauges: Iterable[int | None]) -> int | None:
    sent = [gauge for gauge in gauges if gauge is not None]
    return min(sum(sent), MAX_GAUGE) if sent else None
