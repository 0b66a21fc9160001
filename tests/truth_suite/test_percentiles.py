"""Every published percentile of the real spans is within 1 % of the order statistic of rank floor(q * (n - 1))."""

import copy
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest

from tests import truth
from tests.truth_suite.figures import Figures
from tests.truth_suite.real_spans import Json, key_of

LIMIT = truth.PERCENTILE_ERROR + truth.ROUNDING


class Percentile(NamedTuple):
    """One percentile of one window; the largest of some is the one that is most wrong."""

    error: float
    module: str
    window: str
    start_ms: int
    name: str
    exact: float
    published: float

    def __str__(self) -> str:
        where = f"{self.module}, {self.window} from {self.start_ms}, {self.name}"
        return f"{where}: exactly {self.exact:g} ms, published {self.published:.6g} ms, off by {self.error:.4%}"


def percentiles(events: Sequence[truth.Event], records: Sequence[Json]) -> Iterator[Percentile]:
    """Every percentile of every window that has events, in every size."""
    published = {key_of(record): record["response_time_ms"] for record in records}
    for key, members in truth.windows_of(events, truth.WINDOWS.split(",")):
        values = sorted(event.response_time_ms for event in members)
        for name, per_mille in truth.PER_MILLE.items():
            exact, ours = values[per_mille * (len(values) - 1) // 1000], published[key][name]
            yield Percentile(truth.percentile_error(ours, exact), *key, name, exact, ours)


def test_every_percentile_of_every_window_is_within_one_percent(
    real_events: list[truth.Event], real_records: list[Json], figures: Figures
) -> None:
    found = list(percentiles(real_events, real_records))
    windows = {(one.module, one.window, one.start_ms) for one in found}
    assert windows == {key_of(record) for record in real_records}, "a record without events"
    worst = max(found)
    figures.say("percentiles", f"{len(found):,} in {len(windows):,} windows of real spans; the worst: {worst}")
    assert not [one for one in found if not one.error <= LIMIT]
    assert {one.window for one in found} == set(truth.WINDOWS.split(","))
    assert len(windows) > 2_500


@pytest.mark.parametrize("factor", [0.97, 1.03])
def test_one_wrong_percentile_is_seen(factor: float, real_events: list[truth.Event], real_records: list[Json]) -> None:
    records = copy.deepcopy(real_records)
    wrong = records[len(records) // 2]
    wrong["response_time_ms"]["p95"] *= factor
    found = [one for one in percentiles(real_events, records) if not one.error <= LIMIT]
    assert [(one.module, one.window, one.start_ms, one.name) for one in found] == [(*key_of(wrong), "p95")]
