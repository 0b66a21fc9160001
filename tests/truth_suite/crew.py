"""Workers that share the partitions of an input, with nothing between them but what was committed.

A worker takes a batch of each of its partitions, as many records as it likes, by a clock of its own, and commits when it
likes. Now and then one dies: what it did not commit never happened, and its partitions go on with others from their
changelogs. Now and then a partition is handed over in peace. This is what the shell does with the cores, less the broker.
"""

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pipeline.config import CoreConfig
from pipeline.outputs import Cut, total_ledger
from schemas.state import Ledger
from tests.support.core.cores import Run, batch_of
from tests.truth import partition_of
from topology.traffic.replay import replay

# A replay at full speed, a worker that keeps up, one that is paused now and then, and one whose clock is set back: by how much
# the clock goes on between two batches.
SPEEDS_MS = ((0,), (1_000,), (0, 50, 400_000), (1_000, -3_000, 70_000))
# What two runs may say differently of a window (README, "The same input gives the same results").
_MAY_DIFFER = re.compile(rb'"(revision|last_updated)":\d+')
# Chances: that a worker dies or (less that) a partition is handed over instead of the next fetch; that a fetch is committed.
_DEATH, _MOVE, _COMMIT = 0.1, 0.2, 0.5

Keyed = tuple[str, bytes]
K = TypeVar("K", bytes, int)


@dataclass(slots=True)
class Outcome:
    """What is left of a run: what its readers have, and where every record ended.

    Attributes:
        finals: the final record of each key, byte by byte but for what may differ.
        newest: the last record of each key, likewise.
        late: partition, offset and value of the records that came too late.
        ledgers: of each partition.
    """

    finals: dict[bytes, bytes] = field(default_factory=dict)
    newest: dict[bytes, bytes] = field(default_factory=dict)
    late: set[tuple[int, int, bytes | None]] = field(default_factory=set)
    ledgers: dict[int, Ledger] = field(default_factory=dict)

    def take(self, partition: int, cut: Cut) -> None:
        """Add the next cut of a partition."""
        for emitted in cut.outbox.emitted:
            if emitted.role == "module_metrics":
                said = _MAY_DIFFER.sub(rb'"\1":0', emitted.value)
                self.newest[emitted.key] = said
                if b'"status":"final"' in said:
                    assert emitted.key not in self.finals, f"two finals of {emitted.key!r}"
                    self.finals[emitted.key] = said
        for rejected in cut.outbox.rejected:
            letter = (partition, rejected.offset, rejected.value)
            assert letter not in self.late, f"two letters of {letter}"
            self.late.add(letter)
        self.ledgers[partition] = total_ledger(cut.position.ledger)

    def differences(self, other: "Outcome") -> list[str]:
        """The keys that two runs say different things of, and all else that differs."""
        found = [f"final of {key!r}" for key in _different(self.finals, other.finals)]
        found += [f"newest of {key!r}" for key in _different(self.newest, other.newest)]
        found += [f"late: {letter}" for letter in sorted(self.late ^ other.late, key=str)]
        found += [f"ledger of {number}" for number in _different(self.ledgers, other.ledgers)]
        return found


def _different(one: Mapping[K, object], other: Mapping[K, object]) -> list[K]:
    return sorted((key for key in one.keys() | other.keys() if one.get(key) != other.get(key)), key=str)


def replayed(lines: Iterable[Keyed], config: CoreConfig, partitions: int, now_ms: int) -> Outcome:
    """What the product's own replay says: one process, no restart, everything closed at the end."""
    outcome = Outcome()
    for step in replay((value for _, value in lines), config, partitions=partitions, now_ms=now_ms, drain=True):
        outcome.take(step.partition, step.cut)
    return outcome


@dataclass(slots=True)
class Worker:
    """A process: its clock, and how many records a fetch brings at most."""

    clock_ms: int
    speed_ms: tuple[int, ...]
    fetch: int


@dataclass(slots=True)
class Partition:
    """One partition's records, its core with the changelog, and the number of its worker."""

    records: Sequence[Keyed]
    run: Run
    owner: int

    @property
    def rest(self) -> int:
        """How many records were not taken yet."""
        return max(len(self.records) - self.run.offset, 0)

    def take(self, most: int, now_ms: int) -> None:
        """Let the core take in the next records."""
        part = self.records[self.run.offset : self.run.offset + most]
        values, keys = [value for _, value in part], [module.encode() for module, _ in part]
        self.run.core.apply(batch_of(values, keys, first=self.run.offset), now_ms)
        self.run.offset += len(part)

    def restore(self, seed: int) -> None:
        """A fresh core takes over what was committed; records taken since then are taken again."""
        self.run.restart(seed)
        self.run.offset = max(self.run.core.offsets.values(), default=0)

    def close_everything(self, now_ms: int) -> None:
        """Move stream time past the end of every window, as a replay does at its end."""
        stream_ms, windows = self.run.core.stream_ms, self.run.config.windows
        if stream_ms is not None:
            then_ms = max(stream_ms - stream_ms % size + size for _, size in windows.sizes) + windows.grace_ms
            now_ms = max(now_ms, then_ms)
            self.run.core.idle_until(then_ms, now_ms)
        self.run.cut(now_ms, everything=True)


class Crew:
    """Some workers over the partitions of an input; everything random comes from one seed.

    Attributes:
        deaths: how many workers died. moves: how many partitions were handed over in peace.
    """

    def __init__(
        self, lines: Sequence[Keyed], config: CoreConfig, *, partitions: int, workers: int, now_ms: int, seed: int
    ) -> None:
        """Deal the partitions.

        Args:
            lines: module and value of each record in the order of publishing.
            config: of every core.
            partitions: of the input.
            workers: how many; each has a clock, a speed and a size of fetches of its own.
            now_ms: the earliest of their clocks.
            seed: of what happens.
        """
        self._rng = rng = random.Random(seed)
        self.deaths = self.moves = 0
        dealt: list[list[Keyed]] = [[] for _ in range(partitions)]
        for module, value in lines:
            dealt[partition_of(module, partitions)].append((module, value))
        most = max(map(len, dealt))
        self.workers = [
            Worker(
                now_ms + rng.randrange(600_000),
                rng.choice(SPEEDS_MS),
                rng.choice((most // 40, most // 10, most // 3, most)) + 1,
            )
            for _ in range(workers)
        ]
        self.partitions = [
            Partition(records, Run(config, partitions=partitions), number % workers)
            for number, records in enumerate(dealt)
        ]

    def work(self) -> Outcome:
        """Process everything, close every window, and answer what is left."""
        while any(partition.rest for partition in self.partitions):
            number, chance = self._rng.randrange(len(self.workers)), self._rng.random()
            if chance < _DEATH:
                self._die(number)
            elif chance < _MOVE:
                self._hand_over(self._rng.choice(self.partitions))
            else:
                self._fetch(number)
        outcome = Outcome()
        for number, partition in enumerate(self.partitions):
            partition.run.cut(self.workers[partition.owner].clock_ms)
            partition.close_everything(self.workers[partition.owner].clock_ms)
            for cut in partition.run.cuts:
                outcome.take(number, cut)
        return outcome

    def _fetch(self, number: int) -> None:
        worker = self.workers[number]
        for partition in self.partitions:
            if partition.owner == number and partition.rest:
                partition.take(self._rng.randrange(worker.fetch) + 1, worker.clock_ms)
                if self._rng.random() < _COMMIT:
                    partition.run.cut(worker.clock_ms)
        worker.clock_ms += self._rng.choice(worker.speed_ms)

    def _die(self, number: int) -> None:
        self.deaths += 1
        for partition in self.partitions:
            if partition.owner == number:
                partition.owner = self._rng.randrange(len(self.workers))
                partition.restore(self._rng.randrange(1 << 30))

    def _hand_over(self, partition: Partition) -> None:
        self.moves += 1
        partition.run.cut(self.workers[partition.owner].clock_ms)
        partition.owner = self._rng.randrange(len(self.workers))
        partition.restore(self._rng.randrange(1 << 30))
