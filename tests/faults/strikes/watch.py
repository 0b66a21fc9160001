"""Looks at the group's committed offsets and the input's end all the time: lag, recovery, and whether work was left."""

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

EVERY_S = 0.2
ASK_TIMEOUT_S = 3.0
# An older look says nothing of now.
FRESH_S = 2.0
# After this, looks and commits are of the time after a moment.
SETTLED_S = 1.5


@dataclass(frozen=True, slots=True)
class Look:
    """Committed offset and log end of each partition, asked from one moment on."""

    at: float
    committed: dict[int, int]
    ends: dict[int, int]

    @property
    def lag(self) -> int:
        return sum(end - self.committed[partition] for partition, end in self.ends.items())


class Watch:
    """A thread that looks five times a second; while the broker is away there are no looks."""

    def __init__(self, servers: str, group: str, topic: str, partitions: int) -> None:
        self._topic = topic
        self._wanted = [TopicPartition(topic, partition) for partition in range(partitions)]
        self._consumer: Any = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": group,
                "enable.auto.commit": False,
                "isolation.level": "read_uncommitted",
                "reconnect.backoff.max.ms": 500,
                "socket.timeout.ms": 3_000,
                "log_level": 0,
            }
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")
        self.looks: list[Look] = []

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            with contextlib.suppress(KafkaException):
                self.looks.append(self._look())

    def _look(self) -> Look:
        # Committed first: the end that is asked later is never behind it.
        began = time.monotonic()
        answer = self._consumer.committed(self._wanted, timeout=ASK_TIMEOUT_S)
        committed = {found.partition: max(found.offset, 0) for found in answer}
        ends = {
            wanted.partition: self._consumer.get_watermark_offsets(wanted, timeout=ASK_TIMEOUT_S)[1]
            for wanted in self._wanted
        }
        return Look(began, committed, ends)

    @property
    def lag(self) -> int | None:
        """The newest lag; None when the broker does not say."""
        return self.looks[-1].lag if self.looks and time.monotonic() - self.looks[-1].at < FRESH_S else None

    @property
    def committed(self) -> dict[int, int]:
        """The newest committed offsets."""
        return dict(self.looks[-1].committed)

    def behind(self, partition: int) -> int:
        """How many records were not processed in one partition."""
        return self.looks[-1].ends[partition] - self.looks[-1].committed[partition]

    def caught_up(self, since: float) -> bool:
        """Whether nothing was left at some moment after this one."""
        return bool(self.looks) and self.looks[-1].at > since and self.looks[-1].lag == 0

    @property
    def worst_lag(self) -> int:
        return self.worst_lag_since(0.0)

    def worst_lag_since(self, moment: float) -> int:
        return max((look.lag for look in self.looks if look.at >= moment), default=0)

    def recovery_s(self, since: float, partitions: set[int]) -> float | None:
        """How long after a moment each of these partitions had moved on; None when one never did."""
        before = [look for look in self.looks if look.at <= since]
        if not before or not partitions:
            return None
        start = before[-1].committed
        # A commit may have been under way: what counts is the first one beyond the offset seen just after the moment.
        waiting = set(partitions)
        for look in self.looks:
            if look.at <= since + EVERY_S:
                start = {p: max(start[p], look.committed[p]) for p in start}
                continue
            waiting -= {partition for partition in waiting if look.committed[partition] > start[partition]}
            if not waiting:
                return look.at - since
        return None
