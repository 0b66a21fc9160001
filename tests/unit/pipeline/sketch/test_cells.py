"""Cells of many modules: what comes in raw is counted once, whatever the order and the parts."""

import random
from collections import Counter

import numpy as np
import pytest

from pipeline.sketch.cells import CellStore, sum_by_key
from pipeline.sketch.mapping import BIN_BITS, ZERO_BIN
from tests.support.core.sketches import store_of


def test_cells_are_counted_the_same_in_any_order_and_any_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sketch.cells.MAX_PENDING", 50)  # fold often
    rng = random.Random(2)
    keys = [rng.randrange(40) << BIN_BITS | rng.choice((ZERO_BIN, 65_000, 65_001, 70_000)) for _ in range(1_000)]
    store = CellStore()
    rest = keys
    while rest:
        size = rng.randrange(1, 60)
        store.add_values(np.array(rest[:size]))
        rest = rest[size:]
    cells, counts = store.folded()
    assert cells.tolist() == sorted(Counter(keys))
    assert dict(zip(cells.tolist(), counts.tolist(), strict=True)) == Counter(keys)
    some, some_counts = store.between(10, 12)
    assert dict(zip(some.tolist(), some_counts.tolist(), strict=True)) == Counter(
        k for k in keys if k >> BIN_BITS in (10, 11)
    )


def test_adding_cells_is_the_union_of_the_values() -> None:
    rng = random.Random(3)
    left, right = ([rng.lognormvariate(2, 3) for _ in range(n)] + [0.0] for n in (500, 70))
    parts = [store_of({0: values}).folded() for values in (left, right)]
    merged = sum_by_key(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))
    direct = store_of({0: left + right}).folded()
    assert [a.tolist() for a in merged] == [a.tolist() for a in direct]
    empty = np.empty(0, np.int64)
    assert sum_by_key(empty, empty)[0].size == 0


def test_raw_values_are_folded_before_they_are_more_than_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sketch.cells.MAX_PENDING", 10)
    store = CellStore()
    for _ in range(100):
        store.add_values(np.array([7, 7, 8]))
        assert store._pending_size == sum(part.size for part in store._pending) <= 10
    assert [a.tolist() for a in store.folded()] == [[7, 8], [200, 100]]


def test_cells_that_replace_others_are_all_there_is_and_what_was_waiting_is_gone() -> None:
    store = store_of({0: [1.0], 1: [2.0]})
    store.replace(np.array([5, 9]), np.array([2, 1]))
    assert [a.tolist() for a in store.folded()] == [[5, 9], [2, 1]]
    store.add_values(np.array([9, 3]))
    assert [a.tolist() for a in store.folded()] == [[3, 5, 9], [1, 2, 2]]


def test_cells_between_two_codes_begin_with_zero_of_the_first_and_end_before_zero_of_the_last() -> None:
    last = (1 << BIN_BITS) - 1
    store = CellStore()
    store.add_values(np.array([code << BIN_BITS | bin_ for code in (3, 4, 5) for bin_ in (ZERO_BIN, last)]))
    keys, counts = store.between(4, 5)
    assert keys.tolist() == [4 << BIN_BITS, 4 << BIN_BITS | last]
    assert counts.tolist() == [1, 1]
    assert store.between(0, 3)[0].size == store.between(4, 4)[0].size == store.between(6, 2_000)[0].size == 0
    assert CellStore().between(0, 64)[0].size == 0
