"""Limit: the worker's own fetch (topology.consumer.fetch), values taken out of the parsed batches, nothing else."""

from aiokafka import TopicPartition

from bench.programs.reading import run_on_pieces
from topology.consumer.fetch import Piece


def take(partition: TopicPartition, piece: Piece) -> None:
    """Touch every value."""
    assert len(list(piece.values)) == len(piece.records)


if __name__ == "__main__":
    run_on_pieces(take)
