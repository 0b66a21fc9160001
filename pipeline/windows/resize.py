"""The open windows of a task under other window sizes.

What a window of a size that stays holds is carried over whole. Its parts are carried over in each window over it as well, so what
is carried is never folded upward, and only events that come after the change flow from smaller windows to larger ones. Windows
of sizes that are gone are dropped: all they held is in the larger windows that stay. Windows of new sizes begin empty.
"""

from dataclasses import dataclass, field

import numpy as np

from pipeline.arrays import I8
from pipeline.outputs import StateRecord
from pipeline.windows import layout as at
from pipeline.windows.block import Block
from pipeline.windows.persist import chunk_key, chunks_of, tombstones
from pipeline.windows.sums import Sums
from pipeline.windows.tree import WindowTree
from schemas.state import CARRIED, SUMS


@dataclass(frozen=True, slots=True)
class Resized:
    """What a change of the window sizes did.

    Attributes:
        added_ms, removed_ms: sizes that are new, and sizes that are gone.
        whole_from_ms: new sizes publish windows that start then or later; None where no event had come yet.
        dropped_windows: open windows of sizes that are gone; they get no further record.
    """

    added_ms: tuple[int, ...]
    removed_ms: tuple[int, ...]
    whole_from_ms: int | None
    dropped_windows: int
    deleted: list[StateRecord] = field(default_factory=list, repr=False)


def resize(old: WindowTree, new: WindowTree, stream_ms: int | None, min_requests: I8, capacity: int) -> Resized:
    """Fill an empty tree of other sizes from the tree that the state was made with.

    Args:
        old: every larger window over a live one must be open in it. It must not be used afterwards.
        new: of today's sizes, empty.
        stream_ms: stream time.
        min_requests: by module code, see `Sums.note_peak_errors`.
        capacity: how many module codes have a column.
    """
    if old.sizes_ms[0] == new.sizes_ms[0]:
        # Base panes go on; the peak of each is that of all its events, so what it was so far must not stay in larger windows.
        for pane in old.levels[0].values():
            pane.sums.floats[at.PEAK_ERRORS] = 0.0
        min_requests = np.full(capacity, np.iinfo(np.int64).max)
    added = tuple(size for size in new.sizes_ms if size not in old.sizes_ms)
    removed = tuple(size for size in old.sizes_ms if size not in new.sizes_ms)
    deleted: list[StateRecord] = []
    dropped = 0
    contents = [(block, old.view(block, min_requests, capacity)) for block in old]
    for block, content in contents:
        if block.size_ms in removed:
            deleted += tombstones(block)
            dropped += 1
        else:
            deleted += _carry_over(block, content, new)
    for pane in list(new.levels[0].values()):
        new.open_over(pane, capacity)  # a larger window reaches the panes that go on through all sizes in between
    whole_from_ms = None if stream_ms is None else stream_ms + 1
    return Resized(added, removed, whole_from_ms, dropped, deleted)


def _carry_over(block: Block, content: Sums, new: WindowTree) -> list[StateRecord]:
    """Put a window into the new tree; returns the tombstones of records that it does not have any more."""
    level = new.sizes_ms.index(block.size_ms)
    kept = new.open(level, block.start_ms, block.sums.capacity)
    kept.meta, kept.scores = block.meta, block.scores
    kept.final, kept.silent, kept.touched = block.final, block.silent, True
    kept.stored_meta = block.stored_meta
    if not content.empty:
        kept.carried = content
        kept.dirty_carried = chunks_of(np.flatnonzero(content.ints[at.COUNT]))
        kept.stored_carried = block.stored_carried & kept.dirty_carried
    gone = [(SUMS, chunk) for chunk in block.stored_sums]
    gone += [(CARRIED, chunk) for chunk in block.stored_carried - kept.dirty_carried]
    keys = [chunk_key(kind, block.size_ms, block.start_ms, chunk) for kind, chunk in sorted(gone)]
    return [StateRecord(key, None) for key in keys]
