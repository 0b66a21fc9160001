"""How far the workers say they are: the positions in both changelogs, and offsets that follow each other."""

import contextlib
from typing import Any

import orjson
from confluent_kafka import TopicPartition

from tests.faults.crew import Application
from tests.faults.judge.oracle import Truth, Windows
from tests.faults.judge.reader import consumer, partitions_of, taken
from tests.faults.traffic import wall_ms


def max_time(true: Truth, windows: Windows) -> int:
    """When every window is closed and sealed, and alerts have seen one more."""
    ends = [start + windows.sizes[name] for _, name, start in true.last]
    return max(ends, default=wall_ms()) + windows.keep + 2 * windows.base


def longest_run(offsets: list[int]) -> int:
    """How many of these rising offsets follow each other directly, at most."""
    longest = length = 0
    before = -2
    for offset in offsets:
        length = length + 1 if offset == before + 1 else 1
        longest, before = max(longest, length), offset
    return longest


class Positions:
    """Follows the positions in both changelogs, from their beginning."""

    def __init__(self, application: Application) -> None:
        self._reader = consumer(application.servers)
        self._wanted = [(application.changelog, p) for p in partitions_of(self._reader, application.changelog)]
        self._wanted.append((application.system_changelog, 0))
        self._reader.assign([TopicPartition(topic, partition, 0) for topic, partition in self._wanted])
        self._streams: dict[tuple[bool, int], int] = {}
        self._input = application.input

    def slowest_ms(self) -> int:
        """Stream time of the slowest partition that ever had an event, and of the system; 0 as long as one is unknown."""
        for record in taken(self._reader, set()):
            if record.key == b"position":
                position = orjson.loads(record.value)
                module = "ids" not in position and self._input in position["offsets"]
                self._streams[module, record.partition] = position["stream_ms"] or 0
        return min(self._streams.values()) if len(self._streams) == len(self._wanted) else 0

    def close(self) -> None:
        self._reader.close()


@contextlib.contextmanager
def follow(application: Application) -> Any:
    """Positions for as long as the context lasts."""
    positions = Positions(application)
    try:
        yield positions
    finally:
        positions.close()
