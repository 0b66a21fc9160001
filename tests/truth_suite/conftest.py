"""The summary of what was compared, and what several of the comparisons need."""

import json
from pathlib import Path

import pytest

from pipeline.config import CoreConfig
from tests import truth
from tests.truth_suite.figures import FIGURES, Figures
from tests.truth_suite.real_spans import PARTITIONS, Json, all_lines, newest_records


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Figures:
    """Where a test says what it compared."""
    return pytestconfig.stash.setdefault(FIGURES, Figures())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder; the hook is called with all tests there are."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("truth")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was compared; pytest's own last line stays the last."""
    if FIGURES in config.stash:
        terminalreporter.section("truth suite")
        terminalreporter.write_line(str(config.stash[FIGURES]))


@pytest.fixture(scope="session")
def real_events() -> list[truth.Event]:
    """The real spans that count: each event id once, none too late."""
    windows = CoreConfig().windows
    lateness = truth.Lateness(PARTITIONS, windows.base_ms, windows.grace_ms + windows.corrections_ms)
    return truth.keep((truth.event_of(json.loads(line)) for line in all_lines()), lateness).events


@pytest.fixture(scope="session")
def real_records() -> list[Json]:
    """The newest record of every window of the real spans."""
    return newest_records(all_lines())
