"""The worker as `modpulse run` starts it, with a core that counts the events it has applied.

With BENCH_GATE set it says when its first batch has come, and holds it until that file exists, so that several workers begin
together. With BENCH_SLOW, such as `busy:0.3` or `sleep:0.3`, it loses that share of its speed, to work or to waiting: to see
whether the guard on speed sees it.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

import uvloop
from faust.types import TP

from bench.report.progress import Progress, Task, tell
from pipeline.cores.module_core import ModuleCore
from pipeline.ingest.batch import RecordBatch
from topology.consumer.fetch import Piece
from topology.runtime.acceptance import Acceptance
from topology.runtime.logs import setup_logs
from topology.settings import load_settings
from topology.settings.alert_rules import configured_rules
from topology.worker import assignment, task, worker

_POLL_S = 0.01
_GATE = "BENCH_GATE"
_COUNTED_FLUSHES = "BENCH_FLUSHES"
# About as many as the timer makes on a quiet machine: every 200 ms of four partitions.
_FLUSH_RECORDS, _OTHERS_FLUSH = {assignment.SYSTEM: 32}, 60_000
_KIND, _, _SHARE = os.environ.get("BENCH_SLOW", "").partition(":")
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
        if _KIND:
            _lose_time()
        _progress.add(_applied(self) - before)


def _applied(core: ModuleCore) -> int:
    return sum(ledger.applied for ledger in core.ledgers.values())


def _main_thread_s() -> float:
    """Seconds of the main thread, less those in which it stood in line for a processor: those are others' work."""
    waited_ns = int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1])
    return time.monotonic() - waited_ns / 1e9


_went_on_at = 0.0


def _lose_time() -> None:
    """Take so long that of the time since this was called last the share is lost."""
    global _went_on_at  # noqa: PLW0603 - one worker in a process
    # What passed before the first batch does not count.
    passed_s = max(_main_thread_s() - _went_on_at, 0.0) if _went_on_at else 0.0
    lost_s = passed_s * float(_SHARE) / (1 - float(_SHARE))
    if _KIND == "sleep":
        time.sleep(lost_s)
    else:
        until = time.thread_time() + lost_s
        while time.thread_time() < until:
            pass
    _went_on_at = _main_thread_s()


class CountingTask(task.Task):
    """A task that flushes after so many records instead of so much time (the timer is set too long for the run).

    Else a busy machine, on which a run takes longer, would have the worker do more work for the same events.
    """

    _since_flush = 0
    _flushing: asyncio.Future[float] | None = None

    async def process(self, topic: str, piece: Piece) -> int | None:
        """Process, and flush beside what comes next when it is time."""
        answer = await super().process(topic, piece)
        self._since_flush += len(piece.records)
        if self._since_flush >= _FLUSH_RECORDS.get(self.spec.name, _OTHERS_FLUSH):
            self._since_flush = 0
            if self._flushing is not None:
                await self._flushing
            self._flushing = asyncio.ensure_future(self.flush())
        return answer


class GatedAssignment(assignment.Assignment):
    """The worker's tasks; their first batch waits for a file."""

    _opened = False

    async def batch(self, partition: TP, piece: Piece) -> int | None:
        """Wait for the file, then process."""
        gate = Path(os.environ[_GATE])
        if not self._opened:
            tell(waiting=1)
        while not self._opened:
            self._opened = gate.exists()  # noqa: ASYNC240 - only before the start
            await asyncio.sleep(_POLL_S)
        return await super().batch(partition, piece)


def main() -> int:
    """Run until SIGTERM; then tell how many events the ledgers hold as applied."""
    settings = load_settings()
    setup_logs(settings.log)
    vars(assignment)["ModuleCore"] = CountedCore
    if _COUNTED_FLUSHES in os.environ:
        vars(assignment)["Task"] = CountingTask
    if _GATE in os.environ:
        vars(worker)["Assignment"] = GatedAssignment

    async def work() -> None:
        await worker.run_worker(worker.Worker(settings, configured_rules(settings), acceptance=Acceptance()))

    uvloop.run(work())
    tell(verified=sum(map(_applied, _cores)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
