"""Partitions are added in the middle of a stream: the records are those of one task that had all modules all the time."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.alerts.rules import Rule
from pipeline.config import CoreConfig, Limits
from pipeline.cores.rekey import align, default_home, misplaced, rekey
from pipeline.outputs import Partial, total_ledger
from pipeline.system.core import SystemCore
from schemas.metrics import AggregatedMetrics, Health, ModuleMetrics
from tests.property.test_restart import rules_of
from tests.support.core.cores import (
    NOW_MS,
    Event,
    Key,
    Run,
    batch_of,
    by_key,
    config_of,
    finals_of,
    fixed,
    last_of_each,
    split,
)
from tests.support.core.model import check_run
from tests.support.core.streams import configs, cut_places, streams
from tests.support.core.window_model import WindowModel

pytestmark = pytest.mark.usefixtures("both_ways")


def rules_of_any_layout(config: CoreConfig) -> list[Rule]:
    """Rules that say the same whoever shares a partition: whose silence counts depends on that."""
    return [rule for rule in rules_of(config) if rule.no_data != "alert"]


class Fleet:
    """Tasks of all partitions at one stream time, and the system task that follows them."""

    def __init__(self, config: CoreConfig, partitions: int) -> None:
        self.config = config
        self.rules: Sequence[Rule] = rules_of_any_layout(config)
        self.runs = [self._run(partition, partitions) for partition in range(partitions)]
        self.former: list[Run] = []
        self.system = SystemCore(config)
        self.system_records: dict[bytes, AggregatedMetrics] = {}
        self.partials = 0

    def _run(self, partition: int, partitions: int) -> Run:
        return Run(self.config, self.rules, partition=partition, partitions=partitions)

    def take(self, event: Event) -> None:
        """One record, at its home; the others keep up with stream time."""
        self.runs[default_home(event.module, len(self.runs))].apply([event])
        align([run.core for run in self.runs], NOW_MS)

    def cut(self, now_ms: int) -> None:
        """Collect everything of all tasks."""
        for run in self.runs:
            run.cut(now_ms, everything=True)
            self.tell(run.cuts[-1].partials, now_ms)

    def tell(self, partials: Sequence[Partial], now_ms: int) -> None:
        """Give the system task what a task says."""
        if partials:
            values: list[bytes | None] = [partial.value for partial in partials]
            self.system.apply(batch_of(values, [None] * len(values), first=self.partials), now_ms)
            self.partials += len(values)
        for emitted in self.system.cut(now_ms, everything=True).outbox.emitted:
            if emitted.role == "system_metrics":
                self.system_records[emitted.key] = msgspec.json.decode(emitted.value, type=AggregatedMetrics)

    def grow(self, partitions: int, now_ms: int) -> None:
        """Add partitions."""
        self.cut(now_ms)
        new = [self._run(partition, partitions) for partition in range(partitions)]
        rekey([run.core for run in self.runs], [run.core for run in new])
        for run, old in zip(new, self.runs, strict=False):
            run.log, run.offset, run.cuts = old.log, old.offset, old.cuts
        self.runs = new
        self.cut(now_ms + 1)

    def change(self, config: CoreConfig) -> None:
        """Go on under other settings."""
        self.config = config
        self.system = SystemCore(config)  # what it says of changed sizes has a test of its own
        for run in self.runs:
            run.config = config
        self.restart(0)

    def restart(self, seed: int) -> None:
        """Restore every task from its changelog."""
        for run in self.runs:
            run.restart(seed)

    @property
    def metrics(self) -> list[ModuleMetrics]:
        """All module records; those of a key are in order, whichever partitions they come from."""
        return sorted((r for run in self.runs for r in run.metrics), key=lambda record: record.revision)

    def alerts(self) -> dict[bytes, list[tuple[object, ...]]]:
        """What was said of each alert, in order."""
        return alerts_of(self.runs)


def alerts_of(runs: Sequence[Run]) -> dict[bytes, list[tuple[object, ...]]]:
    """Revision, status, start and end of every alert record by key."""
    out: dict[bytes, list[tuple[object, ...]]] = {}
    for run in runs:
        for emitted in run.emitted:
            if emitted.role == "module_alerts":
                alert = json.loads(emitted.value)
                said = (alert["revision"], alert["status"], alert["starts_at"], alert["ends_at"])
                out.setdefault(emitted.key, []).append(said)
    return {key: sorted(history) for key, history in out.items()}


def spread(events: Sequence[Event], seed: int) -> list[Event]:
    """The same events of three times as many modules."""
    rng = random.Random(seed)
    return [replace(event, module=f"{event.module}-{rng.randrange(3)}") for event in events]


def play(
    config: CoreConfig, events: Sequence[Event], places: Sequence[int], sizes: Sequence[int], restarts: int
) -> tuple[Fleet, Run]:
    """The fleet, grown at the places, and one task with all modules."""
    fleet, steady = Fleet(config, sizes[0]), Run(config, rules_of_any_layout(config))
    for number, part in enumerate(split(events, places)):
        now_ms = NOW_MS + 10 * number
        if 0 < number < len(sizes):
            fleet.grow(sizes[number], now_ms - 5)
        if restarts >> number & 1:
            fleet.restart(number)
        for event in part:
            fleet.take(event)
            steady.apply([event])
        fleet.cut(now_ms)
        steady.cut(now_ms, everything=True)
    return fleet, steady


def comparable(records: Sequence[ModuleMetrics]) -> dict[Key, ModuleMetrics]:
    """The last record of each key, without the class of windows that a module came to only after their close.

    That class goes by what was known when the window opened, and when a window opens depends on who shares a partition.
    """
    lasts = last_of_each(records)
    statuses = {key: {record.status for record in history} for key, history in by_key(records).items()}
    unknown = Health("healthy", 0.0, [])
    return {
        key: msgspec.structs.replace(record, health=unknown) if statuses[key] == {"corrected"} else record
        for key, record in lasts.items()
    }


growths = st.lists(st.integers(1, 7), min_size=2, max_size=3).map(sorted)


@fixed(60)
@given(
    configs(),
    st.sampled_from([2_000, 86_400_000]),
    streams(),
    growths,
    cut_places,
    st.integers(0, 255),
    st.integers(0, 9),
)
def test_partitions_that_are_added_change_no_record(
    config: CoreConfig, expiry: int, events: list[Event], sizes: list[int], places: list[int], restarts: int, seed: int
) -> None:
    config = replace(config, limits=Limits(module_expiry_ms=expiry))
    events = spread(events, seed)
    fleet, steady = play(config, events, places or [len(events) // 2], sizes, restarts)
    assert finals_of(fleet.metrics) == finals_of(steady.metrics)
    assert comparable(fleet.metrics) == comparable(steady.metrics)
    model = WindowModel(config).take(events)
    check_run(fleet.metrics, model, health=False)
    assert fleet.alerts() == alerts_of([steady])
    ledger = total_ledger({str(run.partition): run.ledger for run in fleet.runs})
    assert (ledger.applied, ledger.late, ledger.duplicate) == (
        steady.ledger.applied, steady.ledger.late, steady.ledger.duplicate,
    )  # fmt: skip
    known = [module for run in fleet.runs for module in run.core.modules.codes if module != "__other__"]
    assert sorted(known) == sorted(set(steady.core.modules.codes) - {"__other__"})
    assert not misplaced([run.core for run in fleet.runs])
    for run in fleet.runs:
        assert run.core.modules.silent <= steady.core.modules.silent
    assert sum(run.core.modules.silent for run in fleet.runs) == steady.core.modules.silent
    totals: Counter[tuple[str, int]] = Counter()
    for (_, window, start), record in last_of_each(fleet.metrics).items():
        totals[window, start] += record.total_requests
    served = [record for record in fleet.system_records.values() if record.total_requests]
    assert {(r.window, r.window_start): r.total_requests for r in served} == totals


SIZES = [(1,), (1, 2, 6), (1, 3, 12), (2, 6), (2, 4, 12), (3, 12)]


@fixed(60)
@given(
    st.sampled_from(SIZES), st.sampled_from(SIZES), st.sampled_from([0, 3_700, 60_000]), streams(), growths, st.integers(0, 60)
)  # fmt: skip
def test_partitions_may_be_added_in_the_restart_that_changes_window_sizes(
    before: tuple[int, ...], after: tuple[int, ...], corrections: int, events: list[Event], sizes: list[int], place: int
) -> None:
    first, second = (config_of(chosen, 1_000, corrections) for chosen in (before, after))
    events, place = spread(events, place), place % len(events)
    fleet, steady = Fleet(first, sizes[0]), Run(first)
    fleet.rules = steady.rules = ()
    for run in fleet.runs:
        run.rules = ()
        run.core = run.fresh()
    for number, event in enumerate(events):
        if number == place:
            fleet.cut(NOW_MS)
            steady.cut(NOW_MS, everything=True)
            fleet.change(second)
            steady.config = second
            steady.restart()
            fleet.grow(sizes[-1], NOW_MS + 1)
            fleet.restart(number)
        fleet.take(event)
        steady.apply([event])
    fleet.cut(NOW_MS + 2)
    steady.cut(NOW_MS + 2, everything=True)
    assert finals_of(fleet.metrics) == finals_of(steady.metrics)
    assert comparable(fleet.metrics) == comparable(steady.metrics)
