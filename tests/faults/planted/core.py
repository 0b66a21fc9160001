"""Planted bugs: each takes one promise of the worker away, and a run with it must not come out clean.

A bug is planted from outside, into the running program's classes (`tests.faults.launch`). A checker that was never seen red
proves nothing. Here are the bugs of tasks, state and core; those of later stages and of the shell have files of their own.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from schemas.state import POSITION_KEY
from tests.faults.planted import shell as mutants_of_shell
from tests.faults.planted import stages as mutants_of_stages
from tests.faults.planted.planting import replace


def commit_before_processing() -> None:
    """The offset is committed first, the batch applied afterwards: what a crash interrupts is lost."""
    from topology.worker.task import Task

    def make(process: Any) -> Any:
        async def wrong(self: Any, topic: str, piece: Any) -> int | None:
            if piece.start <= self.offsets[topic] < piece.end:
                before = dict(self.offsets), dict(self.core.offsets)
                self.offsets[topic] = self.core.offsets[topic] = piece.end
                # Shielded: a stop cancels whoever reads, and a flush that is cancelled is another bug.
                await asyncio.shield(self.flush())
                self.offsets, self.core.offsets = before
            answer: int | None = await process(self, topic, piece)
            return answer

        return wrong

    replace(Task, "process", make)


def skip_fencing() -> None:
    """Every process writes under a transactional id of its own: nobody is kept from writing when another took over."""
    from topology.producer.transaction import Transactor

    def make(made: Any) -> Any:
        def wrong(self: Any, settings: Any, options: Mapping[str, Any], task_name: str, group_id: str) -> None:
            made(self, settings, options, f"{task_name}-{os.getpid()}", group_id)

        return wrong

    replace(Transactor, "__init__", make)


def drop_one_in_10_000() -> None:
    """One event in ten thousand is counted as applied and folded into nothing."""
    from pipeline.cores.applier import Applier

    def make(fold: Any) -> Any:
        def wrong(self: Any, kept: Any, pane_ends: Any, streams: Any, now_ms: int, spared: int | None) -> None:
            chosen = kept.offsets % 10_000 != 1_234
            if not chosen.all():
                kept, pane_ends, streams = kept.take(chosen), pane_ends[chosen], streams[chosen]
            if len(kept):
                fold(self, kept, pane_ends, streams, now_ms, spared)

        return wrong

    replace(Applier, "_fold_in_order", make)


def apply_twice_after_restart() -> None:
    """The first batch after a restore is applied once more."""
    from pipeline.cores.module_core import ModuleCore

    def make_restore(restore: Any) -> Any:
        def wrong(self: Any, state: dict[bytes, bytes]) -> None:
            restore(self, state)
            self.apply_once_more = bool(self.offsets)

        return wrong

    def make_apply(apply: Any) -> Any:
        def wrong(self: Any, batch: Any, now_ms: int) -> None:
            apply(self, batch, now_ms)
            if getattr(self, "apply_once_more", False):
                self.apply_once_more = False
                apply(self, batch, now_ms)

        return wrong

    replace(ModuleCore, "restore", make_restore)
    replace(ModuleCore, "apply", make_apply)


def restore_without_last_record() -> None:
    """The window records of the last flush are overlooked: windows are restored as the flush before left them."""
    # By state: what the window records of the flush being read, and of the last one, replaced.
    from topology.state import restore
    from topology.worker import task

    reading: dict[int, list[tuple[bytes, bytes | None]]] = {}
    last: dict[int, list[tuple[bytes, bytes | None]]] = {}

    def make_take(_: Any) -> Any:
        def wrong(state: dict[bytes, bytes], piece: Any) -> int:
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

        return wrong

    def make_read(read_changelog: Any) -> Any:
        async def wrong(
            options: Mapping[str, Any], topic: str, partition: int, log: Any = None, native: Any = None
        ) -> Any:
            found = await read_changelog(options, topic, partition, log, native)
            for key, value in reversed(last.pop(id(found.state), [])):
                if key not in found.state:
                    continue
                if value is None:
                    del found.state[key]
                else:
                    found.state[key] = value
            return found

        return wrong

    replace(restore, "_take_piece", make_take)
    replace(task, "read_changelog", make_read)


def forget_dedup_set() -> None:
    """The ids seen before a restart are not restored."""
    from pipeline.ingest.dedup import Deduplicator

    def make(_: Any) -> Any:
        def wrong(self: Any, segment: tuple[int, int], pane_end_ms: int, ids: Any, *, old: bool = False) -> None:
            self._segments.setdefault(pane_end_ms, []).append(segment)

        return wrong

    replace(Deduplicator, "restore", make)


def idle_by_timer_alone() -> None:
    """A silent partition is taken for idle without asking the broker whether its log goes on."""
    from topology.worker.watch import Watch

    def make(_: Any) -> Any:
        async def wrong(self: Any, tasks: list[Any], silent: list[Any]) -> None:
            for task in silent:
                task.idle(self._clock.elapsed_s())
            await asyncio.sleep(0)

        return wrong

    replace(Watch, "_look", make)


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

    replace(stream_time, "np", lambda _: Numpy())


MUTANTS: dict[str, Callable[[], None]] = {
    "commit before processing": commit_before_processing,
    "skip fencing": skip_fencing,
    "drop 1 event in 10,000": drop_one_in_10_000,
    "apply a batch twice after restart": apply_twice_after_restart,
    "restore without the last record": restore_without_last_record,
    "forget the dedup set": forget_dedup_set,
    "idle by timer alone": idle_by_timer_alone,
    "stream time of the batch maximum": stream_time_of_batch_maximum,
    **mutants_of_stages.MUTANTS,
    **mutants_of_shell.MUTANTS,
}
