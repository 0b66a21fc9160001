"""The page of metrics: a row for each that is exported, in tables a reader's browser can show."""

import re

from topology.docs.metrics_page import page
from topology.supervisor.metrics import SUPERVISOR_METRICS
from topology.worker.metrics import METRICS


def rows(text: str) -> list[list[str]]:
    """The cells of every row that tells of a metric."""
    return [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| `modpulse_")]


def test_every_metric_has_one_row_with_its_kind_and_its_labels() -> None:
    found = rows(page())
    assert [row[0].strip(" `") for row in found] == [*METRICS, *SUPERVISOR_METRICS]
    for row in found[: len(METRICS)]:
        metric = METRICS[row[0].strip(" `")]  # type: ignore[index]
        assert (row[1], tuple(re.findall(r"`(\w+)`", row[2]))) == (metric.kind, metric.labels)


def test_every_row_has_five_cells_and_says_something_in_each_but_the_labels() -> None:
    for row in rows(page()):
        assert len(row) == 5, row
        assert all(cell.strip() for number, cell in enumerate(row) if number != 2), row


def test_the_two_tables_stand_below_their_own_headlines() -> None:
    own, supervisor = page().split("## Several workers under one address")
    assert len(rows(own)) == len(METRICS)
    assert len(rows(supervisor)) == len(SUPERVISOR_METRICS)
