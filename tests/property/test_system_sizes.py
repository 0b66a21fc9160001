"""Window sizes that change under the system task: it publishes what is whole in every partition, with all its events."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import CoreConfig
from pipeline.cores.rekey import default_home
from pipeline.system.core import SystemCore
from schemas.metrics import AggregatedMetrics
from schemas.state import POSITION_KEY, pack_position
from tests.support.core.cores import NOW_MS, Event, Run, batch_of, config_of, fixed
from tests.support.core.streams import streams

SIZES = [(1,), (1, 2, 6), (2, 6), (2, 4, 12), (3, 12), (1, 12), (4, 12)]


class System:
    """The system task with its changelog, fed by all partitions."""

    def __init__(self, config: CoreConfig) -> None:
        self.core = SystemCore(config)
        self.log: dict[bytes, bytes] = {}
        self.offset = 0
        self.last: dict[tuple[int, int], AggregatedMetrics] = {}

    def follow(self, run: Run) -> None:
        """Take in what a partition's newest cut says, and cut."""
        values: list[bytes | None] = [partial.value for partial in run.cuts[-1].partials]
        if values:
            self.core.apply(batch_of(values, [None] * len(values), first=self.offset), NOW_MS)
            self.offset += len(values)
        cut = self.core.cut(NOW_MS, everything=True)
        for key, value in cut.state:
            self.log.pop(key, None)
            if value is not None:
                self.log[key] = value
        self.log[POSITION_KEY] = pack_position(cut.position)
        for emitted in cut.outbox.emitted:
            record = msgspec.json.decode(emitted.value, type=AggregatedMetrics)
            self.last[record.window_end - record.window_start, record.window_start] = record

    def restart(self, config: CoreConfig) -> None:
        """Go on under another configuration."""
        self.core = SystemCore(config)
        self.core.restore(dict(self.log))


def play(first: CoreConfig, second: CoreConfig, events: Sequence[Event], place: int) -> tuple[System, dict[int, int]]:
    """All events, the sizes changing at a place; with the newest stream time there by partition."""
    runs, system = [Run(first, partition=number, partitions=2) for number in (0, 1)], System(first)
    streams_then: dict[int, int] = {}
    for number, event in enumerate(events):
        if number == place:
            for run in runs:
                run.cut(everything=True)
                system.follow(run)
            streams_then = {run.partition: run.core.stream_ms for run in runs if run.core.stream_ms is not None}
            system.restart(second)
            for run in runs:
                run.config = second
                run.restart(number)
        run = runs[default_home(event.module, 2)]
        run.apply([event])
        run.cut(everything=True)
        system.follow(run)
    for run in runs:
        run.cut(everything=True)
        system.follow(run)
    return system, streams_then


@fixed(80)
@given(st.sampled_from(SIZES), st.sampled_from(SIZES), st.sampled_from([0, 1_000]), streams(), st.integers(0, 60))
def test_a_new_size_is_published_once_its_windows_are_whole_in_every_partition_and_others_lose_nothing(
    before: tuple[int, ...], after: tuple[int, ...], grace: int, events: list[Event], place: int
) -> None:
    events = [replace(event, event_id=None) for event in events]
    place %= len(events)
    first, second = (config_of(sizes, grace, 600_000) for sizes in (before, after))
    system, streams_then = play(first, second, events, place)
    new = {size * 1_000 for size in after} - {size * 1_000 for size in before}
    whole_from = max(streams_then.values(), default=-1) + 1
    truth: Counter[tuple[int, int]] = Counter()
    for event in events:
        for size in (size * 1_000 for size in after):
            start = event.time - event.time % size
            if size not in new or start >= whole_from or not streams_then:
                truth[size, start] += 1
    kept = {size * 1_000 for size in after}
    requests = {key: record.total_requests for key, record in system.last.items() if key[0] in kept}
    assert {key: number for key, number in requests.items() if number} == truth
