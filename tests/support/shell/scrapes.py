"""What a Prometheus server would make of `/metrics` scraped again and again."""

from collections import defaultdict
from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

Series = tuple[str, frozenset[tuple[str, str]]]


def series_of(text: str) -> dict[Series, float]:
    """Every sample of a page in Prometheus' text format, by name and labels.

    Raises:
        AssertionError: two samples have the same name and labels.
    """
    found: dict[Series, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series = sample.name, frozenset(sample.labels.items())
            assert series not in found, f"twice on one page: {series}"
            found[series] = sample.value
    return found


class Increases:
    """Adds up how much each counter of one instance has risen, scrape by scrape.

    A series that falls was reset and counts from zero, as for `increase()`. A series that is new counts from zero too: that is
    stricter than Prometheus, which takes the first value for no increase.
    """

    def __init__(self) -> None:
        self._before: dict[Series, float] = {}
        self.total: defaultdict[Series, float] = defaultdict(float)

    def take(self, text: str) -> None:
        """One scrape of the page."""
        now = series_of(text)
        for series, value in now.items():
            before = self._before.get(series, 0.0)
            self.total[series] += value - before if value >= before else value
        self._before = now

    def of(self, name: str, **labels: str) -> float:
        """The increase of all series of a name with these labels."""
        return sum(value for series, value in self.total.items() if matches(series, name, labels.items()))


def matches(series: Series, name: str, labels: Iterable[tuple[str, str]]) -> bool:
    """Whether a series has this name and at least these labels."""
    return series[0] == name and set(labels) <= series[1]


def counter_of(column: str) -> tuple[str, dict[str, str]]:
    """The counter that counts a column of the ledger, and its label."""
    if column in {"consumed", "forwarded"}:
        return f"modpulse_{column}_records_total", {}
    return "modpulse_records_total", {"outcome": column}


def ledger_gauge_of(column: str) -> tuple[str, dict[str, str]]:
    """The gauge that shows a column of the ledger, and its label."""
    if column == "consumed":
        return "modpulse_ledger_consumed_records", {}
    return "modpulse_ledger_records", {"outcome": column}
