"""Limit: fetch, decode and the same numpy: the worker's core, but no window ever closes and nothing is written.

No Faust, no duplicate suppression, no rules, no cut: what is left is the arithmetic that a result cannot do without. Run with
`python` it decodes an object for each event, with `native` it reads by way of the compiled part.
"""

import sys

from aiokafka import TopicPartition

from bench.programs.reading import run_on_pieces
from pipeline.config import CoreConfig, WindowConfig
from pipeline.cores.module_core import ModuleCore
from pipeline.native import load_native
from topology.consumer.fetch import Piece
from topology.runtime.clock import system_wall_ms

_NEVER_MS = 10 * 86_400_000
_NATIVE = load_native() if sys.argv[1] == "native" else None
_CONFIG = CoreConfig(windows=WindowConfig(grace_ms=_NEVER_MS), dedup=False, native=_NATIVE is not None)
_cores: dict[TopicPartition, ModuleCore] = {}


def fold(partition: TopicPartition, piece: Piece) -> None:
    """Fold a piece into the windows of its partition."""
    core = _cores.get(partition)
    if core is None:
        core = _cores[partition] = ModuleCore(_CONFIG, partition=partition.partition)
    core.apply(piece.batch(partition.topic, partition.partition), system_wall_ms())


if __name__ == "__main__":
    run_on_pieces(fold, _NATIVE)
