"""Kafka's default partitioner, which the core decides by too."""

from pipeline.partitioner import partition_of

__all__ = ["partition_of"]
