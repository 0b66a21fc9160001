"""A window makes room for modules that come later."""

import numpy as np

from pipeline.windows import layout as at
from pipeline.windows.block import Block
from tests.support.core.cores import Event
from tests.support.core.folded import sums_of


def test_modules_that_come_later_find_nothing_published_and_a_full_score() -> None:
    block = Block(1, 4_000, 2_000, 2)
    block.meta[at.REVISION], block.scores[:] = 7, 12.5
    block.grow(5)
    assert block.meta[at.REVISION].tolist() == [7, 7, 0, 0, 0]
    assert block.scores.tolist() == [12.5, 12.5, 100.0, 100.0, 100.0]
    assert (block.sums.capacity, block.end_ms) == (5, 6_000)


def test_room_is_never_taken_back_and_what_is_carried_has_as_much() -> None:
    block = Block(0, 0, 1_000, 4)
    block.carried = sums_of([Event("a", 0)], capacity=4)
    block.grow(2)
    assert (block.meta.shape, block.scores.size, block.sums.capacity) == ((at.META_ROWS, 4), 4, 4)
    block.grow(9)
    assert block.carried.capacity == block.sums.capacity == block.meta.shape[1] == 9
    assert np.flatnonzero(block.carried.ints[at.COUNT]).tolist() == [0]
