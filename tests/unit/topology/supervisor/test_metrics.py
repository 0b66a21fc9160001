"""What a supervisor says of its workers: a series for each from the start, and restarts counted once."""

import io
from pathlib import Path

import pytest

from tests.support.shell.scrapes import series_of
from topology.supervisor.child import Child
from topology.supervisor.metrics import RESTARTS, SUPERVISOR_METRICS, UP, SupervisorMetrics


@pytest.fixture
def children(tmp_path: Path) -> list[Child]:
    return [Child(number, ["true"], tmp_path, {}, io.BytesIO()) for number in range(2)]


def by_worker(page: str, name: str) -> dict[str, float]:
    return {dict(labels)["worker"]: value for (found, labels), value in series_of(page).items() if found == name}


def test_every_worker_has_its_series_from_the_start(children: list[Child]) -> None:
    page = SupervisorMetrics(2).page(children, set())
    assert by_worker(page, UP) == by_worker(page, RESTARTS) == {"0": 0, "1": 0}
    for name, (kind, says, _) in SUPERVISOR_METRICS.items():
        assert f"# HELP {name} {says}\n# TYPE {name} {kind}\n" in page


def test_a_restart_is_counted_once_however_often_it_is_asked_for(children: list[Child]) -> None:
    metrics = SupervisorMetrics(2)
    for starts, restarts in ((0, 0), (1, 0), (1, 0), (2, 1), (2, 1), (5, 4)):
        children[1].starts = starts
        assert by_worker(metrics.page(children, set()), RESTARTS) == {"0": 0, "1": restarts}


def test_a_worker_is_up_exactly_when_it_answered_this_scrape(children: list[Child]) -> None:
    metrics = SupervisorMetrics(2)
    for answered in ({0, 1}, {1}, set[int]()):
        up = by_worker(metrics.page(children, answered), UP)
        assert up == {str(number): float(number in answered) for number in range(2)}
