"""Planted bugs of the shell: the way from the broker to a task, the compiled part, and the clock."""

import time
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from tests.faults.planted.planting import RottenMutantError, replace

# Of pieces handed to tasks, one in so many is dropped. Of plain events, one in so many has its success turned around.
PIECES, EVENTS = 20, 5_000
# Pieces are dropped for so long after the start: a gap is seen by what comes after it, so something has to come.
DROPPING_S = 8.0


def lose_a_span_after_a_rebalance() -> None:
    """The first piece of a partition after an assignment arrives without its records, with all its offsets."""
    from topology.consumer.fetch import Piece
    from topology.records.record_objects import RecordObjects
    from topology.worker.assignment import Assignment

    waiting: set[Any] = set()
    assignments = count()

    def make_assigned(assigned: Any) -> Any:
        async def wrong(self: Any, partitions: set[Any]) -> Any:
            # At the very first there is nothing that a rebalance could have lost.
            waiting.update(partitions if next(assignments) else ())
            return await assigned(self, partitions)

        return wrong

    def make_batch(batch: Any) -> Any:
        async def wrong(self: Any, partition: Any, piece: Any) -> Any:
            if partition in waiting and len(piece.records):
                waiting.discard(partition)
                piece = Piece(piece.start, piece.end, RecordObjects([], 0, 0))
            return await batch(self, partition, piece)

        return wrong

    replace(Assignment, "assigned", make_assigned)
    replace(Assignment, "batch", make_batch)


def drop_pieces_on_the_way() -> None:
    """One piece in 20 never reaches its task. No bug of its own: the task sees the gap and has it read again."""
    from topology.worker.assignment import Assignment

    handed, until = count(1), time.monotonic() + DROPPING_S

    def make(batch: Any) -> Any:
        async def wrong(self: Any, partition: Any, piece: Any) -> Any:
            dropped = next(handed) % PIECES == 0 and time.monotonic() < until
            return None if dropped else await batch(self, partition, piece)

        return wrong

    replace(Assignment, "batch", make)


def gap_not_read_again() -> None:
    """Pieces are dropped on the way, and a task goes on behind the gap."""
    from topology.worker.task import Task

    drop_pieces_on_the_way()

    def make(process: Any) -> Any:
        async def wrong(self: Any, topic: str, piece: Any) -> Any:
            if piece.start > self.offsets[topic]:
                self.offsets[topic] = self.core.offsets[topic] = piece.start
            return await process(self, topic, piece)

        return wrong

    replace(Task, "process", make)


def flip_a_flag_in_the_compiled_part() -> None:
    """Of the plain events that the compiled part reads, one in 5,000 fails where it succeeded, or the other way round."""
    from pipeline.native import PLAIN, SUCCESS, Native, load_native

    if load_native() is None:
        raise RottenMutantError("the compiled part was not built here")
    seen = 0

    def make(events: Any) -> Any:
        def wrong(self: Any, *arguments: Any) -> Any:
            nonlocal seen
            found = events(self, *arguments)
            plain = np.flatnonzero(found.flags & PLAIN)
            chosen = plain[(np.arange(seen, seen + plain.size) % EVENTS) == EVENTS - 1]
            found.flags[chosen] ^= SUCCESS
            seen += plain.size
            return found

        return wrong

    replace(Native, "events", make)


def silence_by_the_wall_clock() -> None:
    """The worker takes the wall clock as it stands, for silence too: a step between two looks is a long silence."""
    from topology.runtime.clock import SteadyClock

    def make_now(_: Any) -> Any:
        return lambda self: time.time_ns() // 1_000_000

    def make_elapsed(_: Any) -> Any:
        return lambda self: time.time()

    replace(SteadyClock, "now_ms", make_now)
    replace(SteadyClock, "elapsed_s", make_elapsed)


MUTANTS: dict[str, Callable[[], None]] = {
    "lose a span after a rebalance": lose_a_span_after_a_rebalance,
    "drop pieces on the way": drop_pieces_on_the_way,
    "a gap is not read again": gap_not_read_again,
    "flip a flag in the compiled part": flip_a_flag_in_the_compiled_part,
    "silence by the wall clock": silence_by_the_wall_clock,
}
