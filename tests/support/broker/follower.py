"""Reads a topic as a consumer of another team does."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tests.support.broker.records import DEADLINE_S, POLL_S, Answer, Json, Record


class Follower:
    """Reads a topic from offset 0, committed records only, and keeps what it read."""

    def __init__(self, servers: str, topic: str) -> None:
        self.records: list[Record] = []
        self.topic = topic
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": "unused",
                "log_level": 0,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",  # where the first records were deleted
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
            }
        )
        topics = self._consumer.list_topics(topic, timeout=10).topics
        self._partitions = sorted(topics[topic].partitions)
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in self._partitions])
        self._ended: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def _take(self) -> None:
        for message in self._consumer.consume(5_000, timeout=POLL_S):
            if (error := message.error()) is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                self._ended.add(message.partition())
                continue
            place = message.topic(), message.partition(), message.offset()
            headers = tuple(message.headers() or ())
            self.records.append(Record(*place, message.key(), message.value(), headers, message.timestamp()[1]))

    def to_the_end(self) -> list[Record]:
        """Everything there is now; for a reader that has read nothing yet."""
        end = time.monotonic() + DEADLINE_S
        while len(self._ended) < len(self._partitions):
            assert time.monotonic() < end, f"{self.topic} was not read to its end"
            self._take()
        # Partition by partition: between partitions there is no order.
        return sorted(self.records, key=lambda record: (record.partition, record.offset))

    def until(self, condition: Callable[[list[Record]], Answer], what: str, deadline_s: float = DEADLINE_S) -> Answer:
        """Read on until the records satisfy a condition."""
        end = time.monotonic() + deadline_s
        while not (answer := condition(self.records)):
            assert time.monotonic() < end, f"not within {deadline_s:g} s on {self.topic}: {what}"
            self._take()
        return answer

    def until_json(self, condition: Callable[[list[Json]], Answer], what: str) -> Answer:
        """The same with the records' values."""
        return self.until(lambda records: condition([record.json for record in records]), what)
