"""The partials of all partitions in one window, merged into the published record."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from pipeline.config import HealthProfile
from pipeline.render import WindowText, response_time
from pipeline.sketch.cells import sum_by_key
from pipeline.sketch.mapping import I8
from pipeline.sketch.quantiles import quantiles
from pipeline.system.health import health_score, overall_health
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
    profile: HealthProfile,
) -> AggregatedMetrics:
    """Merge partials (at least one, each with at least one request, one per partition).

    Everything is a sum of integers, a correctly rounded sum, a minimum or a maximum: the order of the partials is of no account.
    """
    requests = sum(p.requests for p in partials)
    successes = sum(p.successes for p in partials)
    degraded, critical = sum(p.degraded for p in partials), sum(p.critical for p in partials)
    cpu_modules = sum(p.cpu_modules for p in partials)
    score = health_score(math.fsum(p.weighted_score for p in partials), requests)
    served_degraded = sum(p.degraded_requests for p in partials)
    served_critical = sum(p.critical_requests for p in partials)
    return AggregatedMetrics(
        window=text.name,
        window_start=text.start_ms,
        window_end=text.end_ms,
        status=text.status,
        revision=revision,
        overall_health=overall_health(score, requests, served_degraded, served_critical, critical, profile),
        health_score=score,
        module_count=sum(p.modules for p in partials),
        degraded_modules=degraded,
        critical_modules=critical,
        overall_success_rate=successes / requests,
        overall_error_rate=(requests - successes) / requests,
        total_requests=requests,
        successful_requests=successes,
        failed_requests=requests - successes,
        response_time_ms=_response_time(partials, requests),
        overall_throughput=requests / text.seconds,
        total_memory_bytes=_total(p.memory_bytes for p in partials),
        average_cpu_percent=math.fsum(p.cpu_percent for p in partials) / cpu_modules if cpu_modules else None,
        total_goroutines=_total(p.goroutines for p in partials),
        db_connections=_total(p.db_connections for p in partials),
        completeness=completeness,
        last_updated=text.now_ms,
    )


def _response_time(partials: Sequence[SystemPartial], requests: int) -> ResponseTime:
    total = sum(int(p.sum, 16) for p in partials)
    squares = sum(int(p.squares, 16) for p in partials)
    minimum, maximum = min(p.minimum for p in partials), max(p.maximum for p in partials)
    bins = np.concatenate([np.frombuffer(p.bins, "<i4") for p in partials]).astype(np.int64)
    counts = np.concatenate([np.frombuffer(p.counts, "<i8") for p in partials]).astype(np.int64)
    percentiles = quantiles(_ALL, sum_by_key(bins, counts), np.array([minimum]), np.array([maximum]))
    return response_time(requests, total, squares, minimum, maximum, percentiles[0].tolist())


def _total(gauges: Iterable[int | None]) -> int | None:
    sent = [gauge for gauge in gauges if gauge is not None]
    return min(sum(sent), MAX_GAUGE) if sent else None
