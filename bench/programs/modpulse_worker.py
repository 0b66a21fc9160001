"""The worker as `modpulse run` starts it, with a core that counts the events it has applied.

With BENCH_GATE set it holds its first batch until that file exists, so that several workers begin together.
"""

import asyncio
import os
import sys
from pathlib import Path

import uvloop
from faust.types import TP

from bench.progress import Progress, Task, tell
from pipeline.ingest.batch import RecordBatch
from pipeline.module_core import ModuleCore
from topology import assignment, worker
from topology.acceptance import Acceptance
from topology.alert_rules import configured_rules
from topology.fetch import Piece
from topology.logs import setup_logs
from topology.settings import load_settings

_POLL_S = 0.01
_GATE = "BENCH_GATE"
_progress = Progress(Task.from_environment().events, step=1 if _GATE in os.environ else None)
_cores: list[ModuleCore] = []


class CountedCore(ModuleCore):
    """The core of the worker; counts what it has applied. An event that is forwarded counts where it arrives."""

    def apply(self, batch: RecordBatch, now_ms: int) -> None:
        """Apply a batch, then count its events."""
        before = _applied(self)
        super().apply(batch, now_ms)
        if self not in _cores:
            _cores.append(self)
        _progress.add(_applied(self) - before)


def _applied(core: ModuleCore) -> int:
    return sum(ledger.applied for ledger in core.ledgers.values())


class GatedAssignment(assignment.Assignment):
    """The worker's tasks; their first batch waits for a file."""

    _opened = False

    async def batch(self, partition: TP, piece: Piece) -> int | None:
        """Wait for the file, then process."""
        gate = Path(os.environ[_GATE])
        while not self._opened:
            self._opened = gate.exists()  # noqa: ASYNC240 - only before the start
            await asyncio.sleep(_POLL_S)
        return await super().batch(partition, piece)


def main() -> int:
    """Run until SIGTERM; then tell how many events the ledgers hold as applied."""
    settings = load_settings()
    setup_logs(settings.log)
    vars(assignment)["ModuleCore"] = CountedCore
    if _GATE in os.environ:
        vars(worker)["Assignment"] = GatedAssignment

    async def work() -> None:
        await worker.run_worker(worker.Worker(settings, configured_rules(settings), acceptance=Acceptance()))

    uvloop.run(work())
    tell(verified=sum(map(_applied, _cores)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
