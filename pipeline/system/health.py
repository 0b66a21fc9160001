"""The class of the whole system, from the classes of its modules weighted by the requests they served."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.config import HealthProfile
from schemas.metrics import HealthLevel
from schemas.partials import SystemPartial

# A system is critical when at least this share of its requests was served by critical modules, ...
CRITICAL_SHARE = 0.5
# ... and degraded when at least this share was served by modules that are degraded or critical.
DEGRADED_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class SystemHealth:
    """Score and class of the system in one window."""

    score: float
    level: HealthLevel


def health_of(partials: Sequence[SystemPartial], profile: HealthProfile) -> SystemHealth:
    """The health of a window from its partials (at least one), in any order.

    Where no module has sent anything, nothing was served: that is critical if modules are silent, and else it is rest.
    """
    requests = sum(p.requests for p in partials)
    if not requests:
        return SystemHealth(0.0, "critical") if any(p.silent for p in partials) else SystemHealth(100.0, "healthy")
    score = health_score(math.fsum(p.weighted_score for p in partials), requests)
    degraded, critical = sum(p.degraded_requests for p in partials), sum(p.critical_requests for p in partials)
    level = overall_health(score, requests, degraded, critical, sum(p.critical for p in partials), profile)
    return SystemHealth(score, level)


def health_score(weighted_score: float, requests: int) -> float:
    """The mean score of the modules, each weighted by its requests; two decimals."""
    return min(max(round(weighted_score / requests, 2), 0.0), 100.0)


def overall_health(
    score: float,
    requests: int,
    degraded_requests: int,
    critical_requests: int,
    critical_modules: int,
    profile: HealthProfile,
) -> HealthLevel:
    """The worst of what the shares of traffic, the score and the existence of a critical module say.

    One critical module makes the system degraded whatever it served: a module that is down is often one that no traffic
    reaches any more, and shares alone would not show it.

    Args:
        score: of the system, see `health_score`.
        requests: how many there were.
        degraded_requests: how many of them degraded modules served.
        critical_requests: how many of them critical modules served.
        critical_modules: how many modules are critical.
        profile: the thresholds of the score, those of modules without an override.
    """
    if critical_requests / requests >= CRITICAL_SHARE or score < profile.critical_score:
        return "critical"
    unwell = (degraded_requests + critical_requests) / requests >= DEGRADED_SHARE
    if unwell or critical_modules or score < profile.degraded_score:
        return "degraded"
    return "healthy"
