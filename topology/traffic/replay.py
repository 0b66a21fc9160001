"""The core over a file of events, without a broker: what `publish` and a worker would have made of it.

Guarantee: the same lines, configuration and `now_ms` give the same cuts; with other batch sizes only the order between records
of different keys may change.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pipeline.alerts.rules import Rule
from pipeline.config import CoreConfig
from pipeline.cores.module_core import ModuleCore
from pipeline.ingest.batch import NoHeaders, RecordBatch
from pipeline.ingest.packed import each_forwarded
from pipeline.outputs import Cut, Forwarded
from pipeline.partitioner import partition_of
from topology.producer.event_key import key_of, partition_for

INPUT = "module-log-events"
REPARTITION = "repartition"
# A worker cuts by the clock, a replay by records, which are the same at every run.
CUT_RECORDS = 10_000


class Step(NamedTuple):
    """One cut of one partition's core."""

    partition: int
    cut: Cut


class _Partition:
    """The core of one partition and the lines it has not taken in yet."""

    def __init__(self, core: ModuleCore, number: int, now_ms: int) -> None:
        self.core = core
        self.number = number
        self.since_cut = 0
        self._now_ms = now_ms
        self._keys: list[bytes | None] = []
        self._values: list[bytes | None] = []
        self._next = {INPUT: 0, REPARTITION: 0}

    @property
    def waiting(self) -> int:
        """How many lines are buffered."""
        return len(self._values)

    def add(self, key: bytes | None, value: bytes) -> None:
        """Buffer one line."""
        self._keys.append(key)
        self._values.append(value)
        self.since_cut += 1

    def apply(self) -> None:
        """Let the core take in what is buffered."""
        if self._values:
            self._give(INPUT, self._keys, self._values)
            self._keys, self._values = [], []

    def apply_forwarded(self, records: list[Forwarded]) -> None:
        """Let the core take in what another partition forwarded."""
        self._give(REPARTITION, [record.module_id.encode() for record in records], [r.value for r in records])

    def _give(self, topic: str, keys: Sequence[bytes | None], values: Sequence[bytes | None]) -> None:
        first = self._next[topic]
        self._next[topic] = first + len(values)
        offsets = list(range(first, first + len(values)))
        stamps = [self._now_ms] * len(values)
        forwarded = topic == REPARTITION
        batch = RecordBatch(topic, self.number, offsets, stamps, list(keys), list(values), NoHeaders(), forwarded)
        self.core.apply(batch, self._now_ms)

    def close_everything(self) -> None:
        """Move stream time to where every window that holds an event has its final record."""
        stream_ms = self.core.stream_ms
        if stream_ms is None:
            return
        windows = self.core.config.windows
        ends = [stream_ms - stream_ms % size + size for _, size in windows.sizes]
        then_ms = max(ends) + windows.grace_ms
        # Records say when they were made; only where the end lies in the future must the clock be there too.
        now_ms = max(self._now_ms, then_ms)
        self.core.idle_until(then_ms, now_ms)


def replay(
    lines: Iterable[bytes],
    config: CoreConfig,
    rules: Sequence[Rule] = (),
    *,
    partitions: int,
    now_ms: int,
    drain: bool = False,
    batch_records: int = 4_096,
    cut_records: int = CUT_RECORDS,
) -> Iterator[Step]:
    """Run the cores of all partitions over the lines; each partition's last step holds everything it still owed.

    Args:
        lines: input values in the order they would be published.
        config: what the cores are told.
        rules: alert rules; those of the system's scope are the second stage's business.
        partitions: how many partitions the input topic would have.
        now_ms: the wall clock: for events from the future, and what the records say in `last_updated`.
        drain: at the end, close every window that holds an event.
        batch_records: how many lines a core takes at once; no effect on what comes out.
        cut_records: after how many lines of a partition its core is cut; decides which provisional records there are.
    """
    parts = [
        _Partition(ModuleCore(config, rules, partition=number, partitions=partitions), number, now_ms)
        for number in range(partitions)
    ]
    for line in lines:
        key = key_of(line)
        part = parts[partition_for(key, partitions)]
        part.add(key, line)
        if part.since_cut == cut_records:
            part.apply()
            part.since_cut = 0
            yield _cut(part, parts, now_ms)
        elif part.waiting >= batch_records:
            part.apply()
    for part in parts:
        part.apply()
        yield _cut(part, parts, now_ms)
    for part in parts:
        if drain:
            part.close_everything()
        yield Step(part.number, part.core.cut(now_ms, everything=True))


def _cut(part: _Partition, parts: Sequence[_Partition], now_ms: int) -> Step:
    """Cut one core and hand on what it forwarded, as the repartition topic does after a flush."""
    cut = part.core.cut(now_ms)
    by_partition: dict[int, list[Forwarded]] = {}
    for record in each_forwarded(cut.outbox):
        by_partition.setdefault(partition_of(record.module_id.encode(), len(parts)), []).append(record)
    for number, records in by_partition.items():
        parts[number].apply()
        parts[number].apply_forwarded(records)
    return Step(part.number, cut)
