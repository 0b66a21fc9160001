"""Changelog records of windows: only what changed, under keys that its end deletes."""

import math

import numpy as np
import pytest

from pipeline.cores.unpersist import restore_window
from pipeline.sketch.mapping import BIN_BITS
from pipeline.windows import layout as at
from pipeline.windows.block import Block
from pipeline.windows.fold import Prepared, fold
from pipeline.windows.persist import changes, chunks_of, dirty_keys, tombstones
from pipeline.windows.tree import WindowTree
from schemas.state import SumsChunk, unpack
from tests.support.core.cores import Event
from tests.support.core.folded import columns_of, sums_of

CAPACITY = 200
CODES = {f"m{code}": code for code in range(CAPACITY)}


def block_of(*codes: int) -> Block:
    """A window in which these modules sent something and were published."""
    block = Block(0, 6_000, 2_000, CAPACITY)
    block.sums = sums_of([Event(f"m{code}", 6_000 + code, code + 0.5) for code in codes], CODES, capacity=CAPACITY)
    block.meta[at.REVISION, list(codes)] = 1
    block.dirty_sums = block.dirty_meta = chunks_of(np.array(codes))
    block.dirty_meta = set(block.dirty_meta)
    return block


def sums_chunk(block: Block) -> SumsChunk:
    (record,) = [record for record in changes(block) if record.key.startswith(b"sums")]
    assert record.value is not None
    return unpack(SumsChunk, record.key, record.value)


def test_a_chunk_holds_64_modules() -> None:
    assert chunks_of(np.array([0, 63])) == {0}
    assert chunks_of(np.array([63, 64, 127, 128])) == {0, 1, 2}
    assert chunks_of(np.array([], np.int64)) == set()
    assert [record.key for record in changes(block_of(63, 64, 199))] == [
        b"sums|2000|6000|0",
        b"sums|2000|6000|1",
        b"sums|2000|6000|3",
        b"meta|2000|6000|0",
        b"meta|2000|6000|1",
        b"meta|2000|6000|3",
    ]


def test_a_chunk_is_written_once_for_each_change_and_says_beforehand_that_it_will_be() -> None:
    block = block_of(1, 100)
    block.carried = sums_of([Event("m70", 0)], CODES, capacity=CAPACITY)
    block.dirty_carried = {1}
    announced = dirty_keys(block)
    assert [record.key for record in changes(block)] == announced
    assert len(announced) == 5
    assert (changes(block), dirty_keys(block)) == ([], [])
    block.dirty_sums.add(1)
    assert [record.key for record in changes(block)] == [b"sums|2000|6000|1"]


def test_the_end_of_a_window_deletes_what_was_written_and_nothing_else() -> None:
    block = block_of(1, 100)
    assert tombstones(block) == [], "nothing was written yet"
    written = [record.key for record in changes(block)]
    block.dirty_sums.add(2)
    ended = tombstones(block)
    assert sorted(record.key for record in ended) == sorted(written)
    assert {record.value for record in ended} == {None}


def test_windows_of_equal_sums_write_equal_records_however_their_events_came() -> None:
    events = [Event("m5", 6_000 + n, 2.0**40 / 3 * n, memory=2**62, cpu=0.1) for n in range(20)]
    records = []
    for parts in ([events], [events[:1], events[1:7], events[7:]]):
        block, first = Block(0, 6_000, 2_000, CAPACITY), 0
        for part in parts:
            fold(block.sums, Prepared.of(columns_of(part, CODES, first=first)))
            first += len(part)
            if len(parts) > 2:
                block.sums.carry()  # as a look at the window may do
        block.dirty_sums = {0}
        records.append(changes(block))
    assert records[0] == records[1]


@pytest.mark.parametrize(("count", "width"), [(1, 1), (255, 1), (256, 2), (65_535, 2), (65_536, 4), (1 << 32, 8)])
def test_counts_of_cells_take_as_few_bytes_as_the_largest_of_the_chunk_needs(count: int, width: int) -> None:
    block = block_of(64)
    cell = 64 << BIN_BITS | 9
    block.sums.cells.replace(np.array([cell, cell + 1]), np.array([1, count]))
    chunk = sums_chunk(block)
    assert (chunk.count_bytes, len(chunk.counts)) == (width, 2 * width)
    assert np.frombuffer(chunk.counts, f"<u{width}").tolist() == [1, count]
    assert np.frombuffer(chunk.cells, "<u4").tolist() == [9, 10], "counted from the first module of the chunk"


def test_only_modules_that_sent_something_stand_in_a_chunk_and_all_of_it_comes_back() -> None:
    block = block_of(64, 66, 130)
    block.final, block.silent = True, 3
    block.scores[66] = 12.25
    tree = WindowTree([2_000])
    for record in changes(block):
        assert record.value is not None
        restore_window(tree, CAPACITY, record.key, record.value)
    (back,) = tree
    assert np.flatnonzero(back.sums.ints[at.COUNT]).tolist() == [64, 66, 130]
    assert np.array_equal(back.sums.ints, block.sums.ints)
    assert np.array_equal(back.sums.floats, block.sums.floats)
    assert np.array_equal(back.sums.cells.folded(), block.sums.cells.folded())
    assert np.array_equal(back.meta, block.meta)
    assert (back.final, back.silent, back.scores[66]) == (True, 3, 12.25)
    assert back.sums.floats[at.MINIMUM, 65] == math.inf
