"""Open windows of several tasks as those of one new task, column by column."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.arrays import I8
from pipeline.cores.module_parts import ModuleParts
from pipeline.sketch.cells import sum_by_key
from pipeline.sketch.mapping import BIN_BITS
from pipeline.windows import layout as at
from pipeline.windows.block import Block
from pipeline.windows.persist import chunks_of
from pipeline.windows.sums import Sums

# Offsets of one partition say nothing in another: any reading that comes later in stream order is newer at the same event time.
_BEFORE_ANY_OFFSET = -1


@dataclass(frozen=True, slots=True)
class Move:
    """Modules of one task that belong to one new task: their codes there and here, of the same length."""

    source: int
    old_codes: I8
    new_codes: I8


def move_windows(parts: ModuleParts, old_parts: Sequence[ModuleParts], moves: Sequence[Move]) -> None:
    """Put together the windows of a new task.

    Args:
        parts: of the new task, its registry filled.
        old_parts: of all old tasks, by partition.
        moves: whose modules it gets.
    """
    windows = sorted({(block.level, block.start_ms) for old in old_parts for block in old.state.tree})
    for level, start_ms in windows:
        found = [old.state.tree.levels[level].get(start_ms) for old in old_parts]
        some = next(block for block in found if block is not None)
        held = [move for move in moves if _holds(old_parts[move.source], found[move.source], move.old_codes)]
        if held:
            kept = parts.state.tree.open(level, start_ms, parts.state.modules.capacity)
            kept.final, kept.touched = some.final, True
            _fill(kept, found, moves, parts)
            former = found[parts.state.partition] if parts.state.partition < len(found) else None
            kept.silent = 0 if former is None else former.silent
            if parts.state.is_whole(kept):
                parts.emitter.partial_again(kept)
        elif parts.state.is_whole(some):
            parts.emitter.withdraw_partial(some)


def _holds(old: ModuleParts, block: Block | None, codes: I8) -> bool:
    """Whether a window knows anything of some modules."""
    if block is None:
        return False
    return bool(old.state.tree.counts(block, old.state.modules.capacity)[codes].any() or block.meta[:, codes].any())


def _fill(kept: Block, found: Sequence[Block | None], moves: Sequence[Move], parts: ModuleParts) -> None:
    for move in moves:
        block = found[move.source]
        if block is None:
            if kept.final:
                # As if the window opened here now, after its close.
                kept.meta[at.BEFORE, move.new_codes] = parts.state.modules.chains[kept.level, move.new_codes]
            continue
        elsewhere = move.source != parts.state.partition
        _move_sums(kept.sums, block.sums, move, elsewhere=elsewhere)
        if block.carried is not None:
            kept.carried = Sums(kept.sums.capacity) if kept.carried is None else kept.carried
            _move_sums(kept.carried, block.carried, move, elsewhere=elsewhere)
        kept.meta[:, move.new_codes] = block.meta[:, move.old_codes]
        kept.scores[move.new_codes] = block.scores[move.old_codes]
    kept.dirty_sums = chunks_of(np.flatnonzero(kept.sums.ints[at.COUNT]))
    kept.dirty_meta = chunks_of(np.flatnonzero(kept.meta.any(axis=0)))
    if kept.carried is not None:
        kept.dirty_carried = chunks_of(np.flatnonzero(kept.carried.ints[at.COUNT]))


def _move_sums(kept: Sums, sums: Sums, move: Move, *, elsewhere: bool) -> None:
    present = sums.ints[at.COUNT, move.old_codes] > 0
    codes, old_codes = move.new_codes[present], move.old_codes[present]
    if not codes.size:
        return
    sums.carry()
    kept.put(codes, sums, old_codes)
    if elsewhere:
        for rows in kept.gauges:
            if rows is not None:
                rows[at.OFFSET, codes[rows[at.AT, codes] >= 0]] = _BEFORE_ANY_OFFSET
        if kept.cpu_ints is not None:
            kept.cpu_ints[at.CPU_OFFSET, codes[kept.cpu_ints[at.CPU_AT, codes] >= 0]] = _BEFORE_ANY_OFFSET
    new_of = np.full(sums.capacity, -1, np.int64)
    new_of[old_codes] = codes
    keys, counts = sums.cells.folded()
    owners = new_of[keys >> BIN_BITS]
    ours = owners >= 0
    keys, counts = (owners[ours] << BIN_BITS) | (keys[ours] & ((1 << BIN_BITS) - 1)), counts[ours]
    all_keys, all_counts = kept.cells.folded()
    kept.cells.replace(*sum_by_key(np.concatenate((all_keys, keys)), np.concatenate((all_counts, counts))))
