"""The open windows of a task: base panes, and larger windows made of smaller ones.

A size's source is the largest smaller size that divides it. A sealed window (one that nothing can change any more) is folded
into the windows it is a source of and dropped, so a day costs one row a module, not 2,880 panes.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.arrays import I8
from pipeline.windows import layout as at
from pipeline.windows.block import Block
from pipeline.windows.persist import chunks_of
from pipeline.windows.sums import Sums


def sources_of(sizes_ms: Sequence[int]) -> list[int]:
    """For each size the index of its source; the base pane has -1."""
    divides = [[lower for lower in range(level) if size % sizes_ms[lower] == 0] for level, size in enumerate(sizes_ms)]
    return [-1, *(max(lower) for lower in divides[1:])]


class WindowTree:
    """Blocks by level (index of the window size) and start."""

    def __init__(self, sizes_ms: Sequence[int]) -> None:
        self.sizes_ms = tuple(sizes_ms)
        self.sources = sources_of(sizes_ms)
        self.levels: list[dict[int, Block]] = [{} for _ in sizes_ms]

    def __iter__(self) -> Iterator[Block]:
        for level in self.levels:
            yield from level.values()

    def __len__(self) -> int:
        return sum(map(len, self.levels))

    def open(self, level: int, start_ms: int, capacity: int) -> Block:
        """The block of a window, made when it is not there."""
        block = self.levels[level].get(start_ms)
        if block is None:
            block = self.levels[level][start_ms] = Block(level, start_ms, self.sizes_ms[level], capacity)
        else:
            block.grow(capacity)
        return block

    def touch(self, time_ms: int, capacity: int) -> list[Block]:
        """The windows of a time, base pane first, all marked as touched."""
        blocks = [self.open(level, time_ms - time_ms % size, capacity) for level, size in enumerate(self.sizes_ms)]
        for block in blocks:
            block.touched = True
        return blocks

    def open_over(self, block: Block, capacity: int) -> list[Block]:
        """Every larger window that holds this one whole, made where it is not there, all marked as touched."""
        blocks = []
        for level in range(block.level + 1, len(self.sizes_ms)):
            size = self.sizes_ms[level]
            start = block.start_ms - block.start_ms % size
            if block.end_ms <= start + size:
                over = self.open(level, start, capacity)
                over.touched = True
                blocks.append(over)
        return blocks

    def forget(self, codes: I8) -> None:
        """Drop what open windows remember of modules that expired: their codes will mean others."""
        for block in self:
            held = codes[codes < block.meta.shape[1]]
            held = held[block.meta[at.BEFORE, held] != 0]
            block.meta[at.BEFORE, held] = 0
            block.dirty_meta |= chunks_of(held)

    def due(self, end_ms: int, *, unclosed: bool) -> list[Block]:
        """The blocks that end at or before a time, by (end, level); with `unclosed` only those not final yet."""
        blocks = [b for b in self if b.end_ms <= end_ms and not (unclosed and b.final)]
        return sorted(blocks, key=lambda b: (b.end_ms, b.level))

    def view(self, block: Block, min_requests: I8, capacity: int) -> Sums:
        """Everything of a window: what was sealed into it, what was carried over, and its live parts. Not to be written to."""
        block.grow(capacity)
        if block.level == 0:
            block.sums.note_peak_errors(min_requests, block.carried)
            if block.carried is None:
                return block.sums
        whole = Sums(capacity)
        whole.merge([*self._parts(block, min_requests), *([] if block.carried is None else [block.carried])])
        if block.level == 0:
            whole.floats[at.PEAK_ERRORS] = block.sums.floats[at.PEAK_ERRORS]
        return whole

    def _parts(self, block: Block, min_requests: I8) -> Iterator[Sums]:
        for part in self._blocks_of(block):
            if part.level == 0:
                part.grow(min_requests.size)
                part.sums.note_peak_errors(min_requests, part.carried)
            yield part.sums

    def _blocks_of(self, block: Block) -> Iterator[Block]:
        """A block and the live ones that will be folded into it, through others or at once."""
        yield block
        source = self.sources[block.level]
        for part in self.levels[source].values() if source >= 0 else ():
            if block.start_ms <= part.start_ms < block.end_ms:
                yield from self._blocks_of(part)

    def counts(self, block: Block, capacity: int) -> I8:
        """Requests of a window by module code, for codes below `capacity`."""
        for part in self._blocks_of(block):
            part.grow(capacity)
        total: I8 = block.sums.ints[at.COUNT].copy()
        if block.carried is not None:
            total += block.carried.ints[at.COUNT]
        for part in self._blocks_of(block):
            if part is not block:
                total += part.sums.ints[at.COUNT]
        return total

    def _pass_peaks(self, pane: Block, codes: I8) -> None:
        """Give the error rates of a base pane to the windows over it that carry its events: what is carried is never folded."""
        peaks = pane.sums.floats[at.PEAK_ERRORS, codes]
        for level in range(1, len(self.sizes_ms)):
            over = self.levels[level].get(pane.start_ms - pane.start_ms % self.sizes_ms[level])
            if over is not None and over.carried is not None:
                known = over.carried.floats[at.PEAK_ERRORS]
                over.dirty_carried |= chunks_of(codes[peaks > known[codes]])
                known[codes] = np.maximum(known[codes], peaks)

    def seal(self, block: Block, min_requests: I8, capacity: int) -> list[Block]:
        """Fold a window nothing can change any more into the windows made of it, and drop it.

        Returns:
            The blocks that took it in: their sums changed.
        """
        del self.levels[block.level][block.start_ms]
        block.grow(capacity)
        if block.level == 0:
            block.sums.note_peak_errors(min_requests, block.carried)
            if block.carried is not None:
                self._pass_peaks(block, np.flatnonzero(block.carried.ints[at.COUNT]))
        if block.sums.empty:
            return []
        takers = []
        for level, source in enumerate(self.sources):
            if source == block.level:
                taker = self.open(level, block.start_ms - block.start_ms % self.sizes_ms[level], capacity)
                taker.sums.merge([block.sums])
                taker.dirty_sums |= chunks_of(np.flatnonzero(block.sums.ints[at.COUNT]))
                takers.append(taker)
        return takers
