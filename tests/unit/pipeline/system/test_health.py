"""The class of the system: shares of traffic, the weighted score, and modules that are critical."""

import math

import pytest

from pipeline.config import HealthProfile
from pipeline.system.health import health_of, health_score, overall_health
from tests.support.core.system_tasks import BASE, SystemRun, partial, report

PROFILE = HealthProfile()


def test_the_score_weighs_modules_by_their_requests() -> None:
    run = SystemRun()
    run.feed(
        report(0, BASE),
        report(1, BASE),
        partial(0, requests=90, weighted_score=90 * 100.0),
        partial(1, requests=10, weighted_score=10 * 33.33, degraded=1, degraded_requests=10),
    )
    (record,) = run.cut()
    assert (record["health_score"], record["overall_health"]) == (93.33, "degraded")
    assert (record["module_count"], record["degraded_modules"], record["critical_modules"]) == (2, 1, 0)


@pytest.mark.parametrize(
    ("score", "degraded", "critical", "critical_modules", "expected"),
    [
        (100.0, 0, 0, 0, "healthy"),
        (80.0, 99, 0, 0, "healthy"),
        (79.99, 0, 0, 0, "degraded"),
        (100.0, 100, 0, 0, "degraded"),
        (100.0, 60, 40, 1, "degraded"),
        (100.0, 0, 1, 1, "degraded"),
        (90.0, 0, 499, 1, "degraded"),
        (90.0, 0, 500, 1, "critical"),
        (50.0, 1000, 0, 0, "degraded"),
        (49.99, 0, 0, 0, "critical"),
    ],
)
def test_overall_health(score: float, degraded: int, critical: int, critical_modules: int, expected: str) -> None:
    assert overall_health(score, 1000, degraded, critical, critical_modules, PROFILE) == expected


def test_the_score_stays_in_its_range() -> None:
    assert health_score(math.nextafter(300.0, 400.0), 3) == 100.0
    assert health_score(0.0, 3) == 0.0


def test_one_critical_module_of_any_partition_degrades_the_system_whatever_it_served() -> None:
    well, down = partial(0, requests=10**9), partial(1, requests=1, critical=1, critical_requests=1, weighted_score=0.0)
    for partials in ([well, down], [down, well]):
        found = health_of(partials, PROFILE)
        assert (found.score, found.level) == (100.0, "degraded")
    assert health_of([well], PROFILE).level == "healthy"


def test_the_shares_are_of_the_requests_of_all_partitions() -> None:
    degraded = partial(0, requests=10, degraded=1, degraded_requests=10)
    assert health_of([degraded, partial(1, requests=90)], PROFILE).level == "degraded"
    assert health_of([degraded, partial(1, requests=91)], PROFILE).level == "healthy"
