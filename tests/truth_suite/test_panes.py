"""A larger window says what its base panes say together: counts, minimum, maximum, and the sketch bin by bin.

The published sketches are read by a decoder written from docs/sketch-format.md (`sketch_of` in
tests/support/core/model.py); merging them is adding their counts, as that page tells a consumer to do.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import pytest

from pipeline.config import CoreConfig
from tests import truth
from tests.support.core.cores import Run, split
from tests.support.core.model import sketch_of
from tests.support.paths import ROOT
from tests.truth_suite import seeded
from tests.truth_suite.figures import Figures
from tests.truth_suite.real_spans import Json, key_of, newest_records
from topology.traffic.events import TrafficPlan, events

PAGE = ROOT / "docs" / "sketch-format.md"
GAMMA = 1.01 / 0.99
STREAMS = 100
TRAFFIC_EVENTS = 36_000
START_MS = 1_700_000_000_000

Sketch = Counter[int | None]


@dataclass(slots=True)
class Merged:
    """How much was compared, and what was wrong."""

    windows: int = 0
    panes: int = 0
    bins: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, other: "Merged") -> None:
        """Count another comparison in."""
        self.windows += other.windows
        self.panes += other.panes
        self.bins += other.bins
        self.wrong += other.wrong

    def __str__(self) -> str:
        return f"{self.windows:,} larger windows merged of {self.panes:,} panes, {self.bins:,} bins: all the same"


def percentile(sketch: Sketch, per_mille: int, least: float, most: float) -> float:
    """Answer a percentile as the page tells a consumer to (None is the bin of zero)."""
    rank = per_mille * (sketch.total() - 1) // 1000
    running = 0
    for k in sorted(sketch, key=lambda k: -math.inf if k is None else k):
        running += sketch[k]
        if running > rank:
            answer = 0.0 if k is None else 2 * math.exp(k * math.log(GAMMA)) / (GAMMA + 1)
            return min(max(answer, least), most)
    raise AssertionError("an empty sketch has no percentile")


def faults(record: Json, sketch: Sketch, panes: Sequence[Json], together: Sketch) -> Iterator[str]:
    """What of a window differs from its panes merged."""
    if not panes:
        yield "it has no pane"
        return
    for k in sketch.keys() | together.keys():
        if sketch[k] != together[k]:
            yield f"bin {k} holds {sketch[k]}, in its panes {together[k]}"
    for name in ("total_requests", "successful_requests", "failed_requests"):
        if record[name] != sum(pane[name] for pane in panes):
            yield f"{name} is {record[name]}, of its panes {sum(pane[name] for pane in panes)}"
    if sketch.total() != record["total_requests"]:
        yield f"its sketch holds {sketch.total()} values of {record['total_requests']}"
    if min(sketch.values()) < 1:
        yield "its sketch has an empty bin"
    times = [pane["response_time_ms"] for pane in panes]
    said, least, most = record["response_time_ms"], min(one["min"] for one in times), max(one["max"] for one in times)
    if (said["min"], said["max"]) != (least, most):
        yield f"it reaches from {said['min']} to {said['max']}, its panes from {least} to {most}"
    for name, per_mille in truth.PER_MILLE.items():
        answer = percentile(together, per_mille, least, most)
        if not math.isclose(said[name], answer, rel_tol=truth.ROUNDING):
            yield f"{name} is {said[name]}, of its panes {answer}"


def compare(records: Iterable[Json], sizes: Sequence[tuple[str, int]]) -> Merged:
    """Merge the base panes of every larger window, and compare with what the window says.

    Args:
        records: the newest record of every window.
        sizes: names and milliseconds, the base first.
    """
    base, base_ms = sizes[0]
    by_key = {key_of(record): (record, sketch_of(record["sketch"])) for record in records}
    result = Merged()
    due = {(module, name, at // size * size) for module, window, at in by_key if window == base for name, size in sizes}
    result.wrong += [f"{module}, {name} from {start}: no record" for module, name, start in due - by_key.keys()]
    for (module, window, start), (record, sketch) in by_key.items():
        if window == base:
            continue
        starts = range(start, start + dict(sizes)[window], base_ms)
        panes = [by_key[module, base, at] for at in starts if (module, base, at) in by_key]
        together: Sketch = sum((pane_sketch for _, pane_sketch in panes), Counter())
        result.windows += 1
        result.panes += len(panes)
        result.bins += len(together)
        different = faults(record, sketch, [pane for pane, _ in panes], together)
        result.wrong += [f"{module}, {window} from {start}: {what}" for what in different]
    return result


def test_the_decoder_reads_the_example_of_the_page() -> None:
    example = PAGE.read_text("utf-8")
    text = re.search(r"^base64 +(\S+)$", example, re.MULTILINE)
    assert text is not None
    assert sketch_of(text[1]) == {None: 2, 0: 1, 231: 2, 277: 1}
    answers = [f"{percentile(sketch_of(text[1]), per_mille, 0.0, 250.0):.11g}" for per_mille in (500, 950)]
    assert answers == re.findall(r"^p\d+ +(\S+)$", example, re.MULTILINE)


def test_every_larger_window_of_the_real_spans_is_its_panes_merged(real_records: list[Json], figures: Figures) -> None:
    result = compare(real_records, CoreConfig().windows.sizes)
    assert result.wrong == []
    figures.say("panes, real spans", str(result))
    assert result.windows > 500
    assert result.panes > 4 * result.windows


def test_every_larger_window_of_generated_streams_is_its_panes_merged(figures: Figures) -> None:
    total = Merged()
    for seed in range(STREAMS):
        config, stream = seeded.config(seed), seeded.stream(seed)
        run = Run(config)
        for part in split(stream, [seed, 3 * seed, 7 * seed]):
            run.apply(part)
        run.cut(everything=True)
        newest = {emitted.key: emitted.value for emitted in run.emitted if emitted.role == "module_metrics"}
        result = compare(map(json.loads, newest.values()), config.windows.sizes)
        assert result.wrong == [], f"stream {seed}"
        total.add(result)
    figures.say("panes, generated", str(total))
    assert total.windows > STREAMS


def test_every_larger_window_of_generated_traffic_is_its_panes_merged(figures: Figures) -> None:
    """Denser than the streams: many modules at once, two minutes of disorder, an hour in all."""
    plan = TrafficPlan(modules=30, rate=10, seed=7, disorder_ms=120_000, duplicates=0.02, bad=0.01, gauges=0.3)
    records = newest_records([record.value for record in islice(events(plan, START_MS), TRAFFIC_EVENTS)])
    result = compare(records, CoreConfig().windows.sizes)
    assert result.wrong == []
    figures.say("panes, traffic", str(result))
    assert result.panes > 4 * result.windows


@pytest.mark.parametrize("kept", [0, 1])
def test_a_pane_that_is_missing_or_wrong_is_seen(kept: int, real_records: list[Json]) -> None:
    sizes = CoreConfig().windows.sizes
    pane = next(record for record in real_records if record["window"] == sizes[0][0])
    others = [record for record in real_records if record is not pane]
    wrong = [pane | {"sketch": others[0]["sketch"]}] * kept
    larger = compare([*others, *wrong], sizes).wrong
    assert {text.split(" from ")[0] for text in larger} == {f"{pane['module_id']}, {name}" for name, _ in sizes[1:]}
