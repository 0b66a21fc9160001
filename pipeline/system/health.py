"""The class of the whole system, from the classes of its modules weighted by the requests they served."""

from pipeline.config import HealthProfile
from schemas.metrics import HealthLevel

# A system is critical when at least this share of its requests was served by critical modules, ...
CRITICAL_SHARE = 0.5
# ... and degraded when at least this share was served by modules that are degraded or critical.
DEGRADED_SHARE = 0.1


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
