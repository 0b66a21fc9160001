"""Reads topics from offset 0 with another client library than the worker's: committed records only."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tests.support import raw_client

DEADLINE_S = 120.0


Headers = tuple[tuple[bytes, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `nulls` says which of key and value are missing, not just empty."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes
    headers: Headers
    nulls: tuple[bool, bool] = (False, False)


def consumer(servers: str, **more: object) -> Any:
    """A consumer without a group's help, committed records only."""
    return Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "faults-reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
            **more,
        }
    )


def partitions_of(reader: Any, topic: str) -> list[int]:
    return sorted(reader.list_topics(topic, timeout=30).topics[topic].partitions)


def read(servers: str, topic: str) -> list[Record]:
    """Everything in a topic now; partition by partition, in the order of offsets.

    Raises:
        TimeoutError: a partition's end was not reached: perhaps a transaction is still open.
    """
    found = [
        replace(record, headers=raw_client.headers(servers, topic, record.partition, record.offset))
        if record.headers is UNREADABLE
        else record
        for record in streamed(servers, topic)
    ]
    return sorted(found, key=lambda record: (record.partition, record.offset))


def streamed(servers: str, topic: str, starts: Mapping[int, int] | None = None) -> Iterator[Record]:
    """The same as it comes, for topics that are too large to be held: in order within each partition.

    Args:
        servers: the broker.
        topic: to be read.
        starts: the offset to begin at by partition; 0 where there is none.
    """
    reader = consumer(servers)
    try:
        wanted = partitions_of(reader, topic)
        reader.assign([TopicPartition(topic, partition, (starts or {}).get(partition, 0)) for partition in wanted])
        ended: set[int] = set()
        deadline = time.monotonic() + DEADLINE_S
        while len(ended) < len(wanted):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic} was not read to its end")
            yield from taken(reader, ended)
    finally:
        reader.close()


def taken(reader: Any, ended: set[int]) -> Iterator[Record]:
    """The records of one poll; partitions read to their end are noted."""
    for message in reader.consume(5_000, timeout=0.05):
        if (error := message.error()) is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            elif not error.retriable() and error.code() not in _TRANSIENT:
                raise KafkaException(error)
            continue
        yield Record(
            message.partition(),
            message.offset(),
            message.timestamp()[1],
            message.key() or b"",
            message.value() or b"",
            _headers(message),
            (message.key() is None, message.value() is None),
        )


# The headers of a record whose names are no text.
UNREADABLE: Headers = ((b"unreadable", None),)


def _headers(message: Any) -> Headers:
    try:
        return tuple((name.encode(), value) for name, value in message.headers() or ())
    except (SystemError, UnicodeDecodeError):  # so this client says that a name is not valid UTF-8
        return UNREADABLE


_TRANSIENT = {
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._RESOLVE,
}
