"""Kafka's default partitioner: murmur2 of the key, as Java's producer and aiokafka do it."""

from functools import lru_cache

from aiokafka.partitioner import murmur2


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition a key belongs to."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)
