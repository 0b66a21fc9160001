"""Limit: the worker's own fetch, and its typed decoder on every value."""

import msgspec
from aiokafka import TopicPartition

from bench.programs.reading import run_on_pieces
from schemas.events import ModuleLogEvent
from topology.consumer.fetch import Piece

_decode = msgspec.json.Decoder(ModuleLogEvent).decode


def take(partition: TopicPartition, piece: Piece) -> None:
    """Decode every value."""
    values: list[bytes] = piece.values  # type: ignore[assignment]  # the workload has no tombstones
    assert len(list(map(_decode, values))) == len(piece.records)


if __name__ == "__main__":
    run_on_pieces(take)
