"""Window records back to windows; one that does not add up is refused by its key, for its window would be wrong."""

import re
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from pipeline.cores.unpersist import check_windows, restore_window
from pipeline.sketch.mapping import BIN_BITS
from pipeline.windows import layout as at
from pipeline.windows.block import Block
from pipeline.windows.persist import changes
from pipeline.windows.rows import FLOAT_ROWS, INT_ROWS
from pipeline.windows.tree import WindowTree
from schemas.errors import StateIncompatible
from schemas.state import MetaChunk, SumsChunk, pack, unpack
from tests.support.core.cores import START_MS, Event, Run, config_of

CAPACITY = 128
PLACE = f"2000|{START_MS}".encode()
SUMS, META = b"sums|" + PLACE + b"|0", b"meta|" + PLACE + b"|0"


def window_state() -> dict[bytes, bytes]:
    """The records of one window: of two modules one sent every gauge, the other one none."""
    run = Run(config_of((2, 4), 1_000, 60_000))
    gauges = Event("a", START_MS, 5.0, False, memory=9, goroutines=8, connections=7, cpu=50.0)
    run.apply([gauges, Event("a", START_MS + 1, 7.0), Event("b", START_MS, 0.0)])
    run.cut(everything=True)
    return {key: value for key, value in run.log.items() if PLACE in key}


STATE = window_state()


def tree_of(state: dict[bytes, bytes]) -> WindowTree:
    tree = WindowTree([2_000, 4_000])
    for key, value in state.items():
        restore_window(tree, CAPACITY, key, value)
    return tree


def block_of(state: dict[bytes, bytes]) -> Block:
    (block,) = tree_of(state)
    return block


def refusal(key: bytes, value: bytes) -> str:
    with pytest.raises(StateIncompatible) as refused:
        tree_of({key: value})
    assert repr(key.decode()) in str(refused.value)
    return str(refused.value)


def row(chunk: SumsChunk, place: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """One int row, to be written to, of a chunk whose `ints` are the base of it."""
    numbers = list(chunk.int_rows)
    rows = np.frombuffer(bytearray(chunk.ints), "<i8").reshape(len(numbers), -1)
    return rows[numbers.index(INT_ROWS.index(place))]  # type: ignore[no-any-return]


def with_int(chunk: SumsChunk, place: tuple[int, int], module: int, figure: int) -> SumsChunk:
    changed = row(chunk, place)
    changed[module] = figure
    assert changed.base is not None
    return replace(chunk, ints=changed.base.tobytes())


def with_float(chunk: SumsChunk, place: tuple[int, int], module: int, figure: float) -> SumsChunk:
    numbers = list(chunk.float_rows)
    number = FLOAT_ROWS.index(place)
    rows = np.frombuffer(chunk.floats, "<f8").reshape(len(numbers), -1).copy()
    if number not in numbers:
        numbers.append(number)
        rows = np.vstack((rows, np.zeros(rows.shape[1])))
    rows[numbers.index(number), module] = figure
    return replace(chunk, float_rows=bytes(numbers), floats=rows.tobytes())


def test_the_records_of_a_window_make_the_window_that_wrote_them() -> None:
    block = block_of(STATE)
    assert block.sums.ints[at.COUNT, :3].tolist() == [0, 2, 1]
    assert (block.start_ms, block.size_ms, block.touched) == (START_MS, 2_000, True)
    for chunk in (block.dirty_sums, block.dirty_meta):
        chunk.add(0)
    assert {record.key: record.value for record in changes(block)} == STATE


def test_what_the_changelog_holds_of_a_window_is_known_so_that_its_end_deletes_it() -> None:
    block = block_of(STATE)
    assert (block.stored_sums, block.stored_meta, block.stored_carried) == ({0}, {0}, set())
    key = SUMS.replace(b"sums", b"carried")
    carried = block_of(STATE | {key: pack(key, unpack(SumsChunk, SUMS, STATE[SUMS]))})
    assert carried.stored_carried == {0}
    assert carried.carried is not None
    assert carried.carried.ints[at.COUNT, :3].tolist() == [0, 2, 1]


CORE, MEMORY, CPU = -1, at.MEMORY, -2
COUNTS, MODULE = "a sketch that does not count the requests", "a module without a request"


@pytest.mark.parametrize(
    ("place", "module", "figure", "why"),
    [
        ((CORE, at.COUNT), 0, 0, MODULE),
        ((CORE, at.COUNT), 0, -1, MODULE),
        ((CORE, at.COUNT), 0, 3, COUNTS),
        ((CORE, at.SUCCESSES), 0, 3, "more successes than requests"),
        ((CORE, at.SUCCESSES), 0, -1, "more successes than requests"),
        ((MEMORY, at.LAST), 0, -1, "a gauge below zero"),
        ((MEMORY, at.AT), 0, -2, "a gauge below zero"),
        ((MEMORY, at.AT), 1, 5, "lost readings"),
        ((MEMORY, at.READINGS), 0, 0, "lost readings"),
        ((MEMORY, at.LARGEST), 0, 8, "a gauge above its maximum"),
        ((MEMORY, at.TOTAL + 2), 0, -1, "a sum of readings below zero"),
        ((CPU, at.CPU_READINGS), 0, 0, "lost readings"),
        ((CPU, at.CPU_READINGS), 0, -1, "lost readings"),
        ((CPU, at.CPU_AT), 1, 5, "lost readings"),
    ],
)
def test_counts_that_no_events_have_are_refused(place: tuple[int, int], module: int, figure: int, why: str) -> None:
    changed = with_int(unpack(SumsChunk, SUMS, STATE[SUMS]), place, module, figure)
    assert f"({why})" in refusal(SUMS, pack(SUMS, changed))


@pytest.mark.parametrize(
    ("place", "figure", "why"),
    [
        ((CORE, at.MINIMUM), -1.0, "no minimum and maximum"),
        ((CORE, at.MINIMUM), 7.5, "no minimum and maximum"),
        ((CORE, at.MINIMUM), np.nan, "no minimum and maximum"),
        ((CORE, at.MAXIMUM), np.inf, "no minimum and maximum"),
        ((CORE, at.PEAK_ERRORS), 1.5, "no share of errors"),
        ((CPU, at.CPU_LAST), -1.0, "no CPU percentage"),
        ((CPU, at.CPU_LAST), np.inf, "no CPU percentage"),
        ((CPU, at.CPU_LAST), 51.0, "a CPU percentage beyond its extremes"),
        ((CPU, at.CPU_LEAST), 50.5, "a CPU percentage beyond its extremes"),
    ],
)
def test_numbers_that_no_events_have_are_refused(place: tuple[int, int], figure: float, why: str) -> None:
    changed = with_float(unpack(SumsChunk, SUMS, STATE[SUMS]), place, 0, figure)
    assert f"({why})" in refusal(SUMS, pack(SUMS, changed))


def test_extremes_that_were_never_compared_are_good() -> None:
    chunk = unpack(SumsChunk, SUMS, STATE[SUMS])
    for place in ((CPU, at.CPU_LEAST), (CPU, at.CPU_LARGEST)):
        chunk = with_float(chunk, place, 0, np.nan)
    block_of({SUMS: pack(SUMS, chunk)})


def cells(*places: tuple[int, int]) -> bytes:
    """Cells of codes and bins."""
    return np.array([code << BIN_BITS | bin_ for code, bin_ in places], "<u4").tobytes()


ORDER = "its sketch cells are out of order"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"codes": b"\2\1"}, "its codes are not those of a chunk"),
        ({"codes": b"\1\1"}, "its codes are not those of a chunk"),
        ({"codes": b"\1\x40"}, "its codes are not those of a chunk"),
        ({"count_bytes": 3}, "counts of 3 bytes"),
        ({"cells": cells((1, 9), (2, 0)), "counts": b"\1\1\1"}, ORDER),
        ({"cells": cells((1, 9), (1, 8), (2, 0)), "counts": b"\1\1\1"}, ORDER),
        ({"cells": cells((1, 9), (1, 9), (2, 0)), "counts": b"\1\1\1"}, ORDER),
        ({"cells": cells((1, 8), (1, 9), (2, 0)), "counts": b"\2\0\1"}, "a sketch cell counts nothing"),
        ({"cells": cells((1, 8), (2, 0), (64, 0)), "counts": b"\2\1\1"}, "a sketch cell is of no module of the chunk"),
        ({"cells": cells((1, 8), (2, 0), (3, 0)), "counts": b"\2\1\1"}, "a sketch of a module without a request"),
        ({"cells": cells((1, 8), (2, 0)), "counts": b"\1\2"}, COUNTS),
    ],
)
def test_a_chunk_whose_columns_or_cells_do_not_fit_is_refused(change: dict[str, Any], why: str) -> None:
    changed = replace(unpack(SumsChunk, SUMS, STATE[SUMS]), **change)
    assert why in refusal(SUMS, pack(SUMS, changed))


def meta_of(rows: dict[int, int]) -> bytes:
    meta = np.zeros((at.META_ROWS, 2), "<i8")
    for number, figure in rows.items():
        meta[number, 0] = figure
    return meta.tobytes()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"rows": 3}, "its layout of 3 rows is unknown"),
        ({"codes": np.array([2, 1], "<i4").tobytes()}, "its codes are not those of the chunk"),
        ({"codes": np.array([1, 64], "<i4").tobytes()}, "its codes are not those of the chunk"),
        ({"meta": meta_of({at.LEVEL: 3})}, "no history"),
        ({"meta": meta_of({at.REVISION: -1})}, "no history"),
        ({"meta": meta_of({at.BEFORE: 3})}, "no history"),
        ({"scores": np.array([100.5, 0.0]).tobytes()}, "no score"),
        ({"scores": np.array([-0.5, 0.0]).tobytes()}, "no score"),
        ({"scores": np.array([np.nan, 0.0]).tobytes()}, "no score"),
        ({"silent": -1}, "no score"),
    ],
)
def test_a_history_that_no_window_has_is_refused(change: dict[str, Any], why: str) -> None:
    changed = replace(unpack(MetaChunk, META, STATE[META]), **change)
    assert f"({why})" in refusal(META, pack(META, changed))


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (f"sums|2000|{START_MS}", "its key has not four parts"),
        (f"sums|2000|{START_MS}|00", "its key is not one that a window has"),
        (f"sums|-2000|{START_MS}|0", "its key is not one that a window has"),
        ("sums|2000|-2000|0", "its key is not one that a window has"),
        (f"sums|3000|{START_MS}|0", f"no window of 3000 ms starts at {START_MS}"),
        (f"sums|2000|{START_MS + 1}|0", f"no window of 2000 ms starts at {START_MS + 1}"),
        (f"sums|2000|{START_MS}|2", "no module is known in chunk 2"),
        (f"sums|2000|{START_MS}|-1", "no module is known in chunk -1"),
        (f"sums|2000|{START_MS}|x", "invalid literal"),
    ],
)
def test_a_key_that_no_window_has_is_refused_before_its_record_is_read(key: str, why: str) -> None:
    assert why in refusal(key.encode(), b"")


def test_requests_of_modules_that_are_not_known_contradict_the_registry() -> None:
    known = np.arange(CAPACITY) < 3
    check_windows(tree_of(STATE), known)
    with pytest.raises(ValueError, match=re.escape(f"the window of 2000 ms from {START_MS} holds unknown modules")):
        check_windows(tree_of(STATE), known & (np.arange(CAPACITY) != 2))


def test_records_that_counted_more_than_the_window_holds_contradict_it() -> None:
    with pytest.raises(ValueError, match=f"from {START_MS} misses requests that its records counted"):
        check_windows(tree_of({META: STATE[META]}), np.ones(CAPACITY, np.bool_))
