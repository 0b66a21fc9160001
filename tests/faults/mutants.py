"""Planted bugs: each takes one promise of the worker away, and a run with it must not come out clean.

`python -m tests.faults.mutants NAME run` is `modpulse run` with the bug NAME. The product knows nothing of this: a bug is
planted from outside, into the running program's classes. A checker that was never seen red proves nothing.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from schemas.state import POSITION_KEY


def commit_before_processing() -> None:
    """The offset is committed first, the batch applied afterwards: what a crash interrupts is lost."""
    from topology import task

    process = task.Task.process

    async def wrong(self: Any, topic: str, piece: Any) -> int | None:
        if piece.start <= self.offsets[topic] < piece.end:
            before = dict(self.offsets), dict(self.core.offsets)
            self.offsets[topic] = self.core.offsets[topic] = piece.end
            await self.flush()
            self.offsets, self.core.offsets = before
        return await process(self, topic, piece)

    async def no_loop(self: Any) -> None:
        # Else its flushes would write the position of what is already applied, and hide the bug most of the time.
        await self._stop.wait()

    task.Task.process = wrong  # type: ignore[method-assign]
    task.Task._flush_loop = no_loop  # type: ignore[method-assign]


def skip_fencing() -> None:
    """Every process writes under a transactional id of its own: nobody is kept from writing when another took over."""
    from topology import transaction

    made = transaction.Transactor.__init__

    def wrong(self: Any, settings: Any, options: Mapping[str, Any], task_name: str, group_id: str) -> None:
        made(self, settings, options, f"{task_name}-{os.getpid()}", group_id)

    transaction.Transactor.__init__ = wrong  # type: ignore[method-assign]


def drop_one_in_10_000() -> None:
    """One event in ten thousand is counted as applied and folded into nothing."""
    from pipeline import applier

    fold = applier.Applier._fold_in_order

    def wrong(self: Any, kept: Any, pane_ends: Any, streams: Any, now_ms: int, spared: int | None) -> None:
        chosen = kept.offsets % 10_000 != 1_234
        if not chosen.all():
            kept, pane_ends, streams = kept.take(chosen), pane_ends[chosen], streams[chosen]
        if len(kept):
            fold(self, kept, pane_ends, streams, now_ms, spared)

    applier.Applier._fold_in_order = wrong  # type: ignore[method-assign, assignment]


def apply_twice_after_restart() -> None:
    """The first batch after a restore is applied once more."""
    from pipeline import module_core

    restore, apply = module_core.ModuleCore.restore, module_core.ModuleCore.apply

    def wrong_restore(self: Any, state: dict[bytes, bytes]) -> None:
        restore(self, state)
        self.apply_once_more = bool(self.offsets)

    def wrong_apply(self: Any, batch: Any, now_ms: int) -> None:
        apply(self, batch, now_ms)
        if getattr(self, "apply_once_more", False):
            self.apply_once_more = False
            apply(self, batch, now_ms)

    module_core.ModuleCore.restore = wrong_restore  # type: ignore[method-assign]
    module_core.ModuleCore.apply = wrong_apply  # type: ignore[method-assign]


def restore_without_last_record() -> None:
    """The window records of the last flush are overlooked: windows are restored as the flush before left them."""
    from topology import restore, task

    read_changelog = restore.read_changelog
    # By state: what the window records of the flush being read, and of the last one, replaced.
    reading: dict[int, list[tuple[bytes, bytes | None]]] = {}
    last: dict[int, list[tuple[bytes, bytes | None]]] = {}

    def wrong_take(state: dict[bytes, bytes], piece: Any) -> int:
        for key, value in zip(piece.keys, piece.values, strict=True):
            if key.startswith((b"sums|", b"meta|")) and value is not None:
                reading.setdefault(id(state), []).append((key, state.get(key)))
            if key == POSITION_KEY:
                last[id(state)] = reading.pop(id(state), []) or last.get(id(state), [])
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value
        return len(piece.keys)

    async def wrong(options: Mapping[str, Any], topic: str, partition: int) -> Any:
        found = await read_changelog(options, topic, partition)
        for key, value in reversed(last.pop(id(found.state), [])):
            if key not in found.state:
                continue
            if value is None:
                del found.state[key]
            else:
                found.state[key] = value
        return found

    restore._take = wrong_take
    task.read_changelog = wrong  # type: ignore[attr-defined]


def forget_dedup_set() -> None:
    """The ids seen before a restart are not restored."""
    from pipeline.ingest import dedup

    def wrong(self: Any, segment: tuple[int, int], pane_end_ms: int, ids: Any, *, old: bool = False) -> None:
        self._segments.setdefault(pane_end_ms, []).append(segment)

    dedup.Deduplicator.restore = wrong  # type: ignore[method-assign]


def idle_by_timer_alone() -> None:
    """A silent partition is taken for idle without asking the broker whether its log goes on."""
    from topology import worker
    from topology.task import wall_ms

    async def wrong(self: Any, consumer: Any, tasks: list[Any], silent: list[Any]) -> None:
        for task in silent:
            task.idle(wall_ms())
        await asyncio.sleep(0)

    worker.Worker._look = wrong  # type: ignore[method-assign]


def stream_time_of_batch_maximum() -> None:
    """Lateness is judged by the newest event of the whole batch, not of the events so far."""
    from pipeline.windows import stream_time

    class Maximum:
        @staticmethod
        def accumulate(times: Any) -> Any:
            return np.full(times.size, times.max())

        def __call__(self, *arguments: Any) -> Any:
            return np.maximum(*arguments)

    class Numpy:
        maximum = Maximum()

        def __getattr__(self, name: str) -> Any:
            return getattr(np, name)

    stream_time.np = Numpy()  # type: ignore[attr-defined, assignment]


MUTANTS: dict[str, Callable[[], None]] = {
    "commit before processing": commit_before_processing,
    "skip fencing": skip_fencing,
    "drop 1 event in 10,000": drop_one_in_10_000,
    "apply a batch twice after restart": apply_twice_after_restart,
    "restore without the last record": restore_without_last_record,
    "forget the dedup set": forget_dedup_set,
    "idle by timer alone": idle_by_timer_alone,
    "stream time of the batch maximum": stream_time_of_batch_maximum,
}


def main() -> None:
    """Plant the bug named first, then run the command line with the rest."""
    from topology.cli import main as product

    MUTANTS[sys.argv.pop(1)]()
    product()


if __name__ == "__main__":
    main()
