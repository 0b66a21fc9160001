"""Window records of the changelog back to blocks. A record that does not add up is refused, for its window would be wrong."""

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import F8, I8
from pipeline.health.hysteresis import are_states, of_version_1
from pipeline.sketch.mapping import BIN_BITS
from pipeline.windows import layout as at
from pipeline.windows.block import Block
from pipeline.windows.moments import MAX_UNCARRIED
from pipeline.windows.persist import chunk_key
from pipeline.windows.rows import FLOAT_ROWS_V1, INT_ROWS_V1, put_floats, put_ints
from pipeline.windows.sums import Sums
from pipeline.windows.tree import WindowTree
from schemas.checksum import damaged
from schemas.state import CARRIED, CHUNK_MODULES, META, STATE_VERSION, SUMS, MetaChunk, SumsChunk, unpack

KINDS = (SUMS, CARRIED, META)


def restore_window(tree: WindowTree, capacity: int, key: bytes, value: bytes) -> None:
    """Take one record of a window back in.

    Args:
        tree: of the sizes that the state was made with.
        capacity: how many columns a block has; no record may stand beyond them.
        key: the changelog key.
        value: its newest value.

    Raises:
        StateIncompatible: a newer build wrote the record, or the record is damaged.
    """
    try:
        kind, size_ms, start_ms, chunk = _place(key)
        if size_ms not in tree.sizes_ms or start_ms % size_ms:
            raise ValueError(f"no window of {size_ms} ms starts at {start_ms}")
        if not 0 <= chunk < capacity // CHUNK_MODULES:
            raise ValueError(f"no module is known in chunk {chunk}")
        if kind == META:
            meta = unpack(MetaChunk, key, value)
            _restore_meta(tree.open(tree.sizes_ms.index(size_ms), start_ms, capacity), chunk, meta)
        else:
            sums = unpack(SumsChunk, key, value)
            block = tree.open(tree.sizes_ms.index(size_ms), start_ms, capacity)
            if kind == SUMS:
                _restore_sums(block.sums, chunk, sums)
                block.stored_sums.add(chunk)
            else:
                block.carried = Sums(capacity) if block.carried is None else block.carried
                _restore_sums(block.carried, chunk, sums)
                block.stored_carried.add(chunk)
            block.touched = True
    except ValueError as error:
        raise damaged(key, error) from error


def _place(key: bytes) -> tuple[bytes, int, int, int]:
    parts = key.split(b"|")
    if len(parts) != 4:
        raise ValueError("its key has not four parts")
    kind, size_ms, start_ms, chunk = parts[0], int(parts[1]), int(parts[2]), int(parts[3])
    if chunk_key(kind, size_ms, start_ms, chunk) != key or size_ms < 1 or start_ms < 0:
        raise ValueError("its key is not one that a window has")
    return kind, size_ms, start_ms, chunk


def _require(truth: object, what: str) -> None:
    if not truth:
        raise ValueError(what)


def rising(numbers: I8) -> bool:
    """Whether numbers rise without a repeat."""
    return bool((numbers[1:] > numbers[:-1]).all())


def _restore_sums(sums: Sums, chunk: int, record: SumsChunk) -> None:
    first = chunk * CHUNK_MODULES
    offsets = np.frombuffer(record.codes, "<u1").astype(np.int64)
    _require(rising(offsets) and (offsets < CHUNK_MODULES).all(), "its codes are not those of a chunk")
    codes = offsets + first
    numbers, float_numbers = np.frombuffer(record.int_rows, "<u1"), np.frombuffer(record.float_rows, "<u1")
    if record.v < STATE_VERSION:
        _require(record.rows == (INT_ROWS_V1, FLOAT_ROWS_V1), f"its layout of {record.rows} rows is unknown")
        # Version 1 left out rows of zeros, also where zero is not what an empty window holds.
        absent = np.setdiff1d(np.arange(INT_ROWS_V1), numbers).astype(np.uint8)
        put_ints(sums, codes, absent, np.zeros((absent.size, codes.size), np.int64))
    put_ints(sums, codes, numbers, np.frombuffer(record.ints, "<i8").reshape(numbers.size, codes.size))
    put_floats(sums, codes, float_numbers, np.frombuffer(record.floats, "<f8").reshape(float_numbers.size, codes.size))
    if record.v < STATE_VERSION:
        _mark_uncollected(sums, codes)
    _restore_cells(sums, chunk, record)
    sums.uncarried = MAX_UNCARRIED
    sums.carry()
    _check_sums(sums, codes)


def _mark_uncollected(sums: Sums, codes: I8) -> None:
    """Say of each gauge that version 1 knows the last value of that its mean and maximum were never collected."""
    for rows in sums.gauges:
        if rows is not None:
            rows[at.READINGS, codes[rows[at.AT, codes] >= 0]] = at.UNKNOWN_READINGS
    if sums.cpu_ints is not None and sums.cpu_floats is not None:
        sent = codes[sums.cpu_ints[at.CPU_AT, codes] >= 0]
        sums.cpu_floats[at.CPU_LEAST, sent] = sums.cpu_floats[at.CPU_LARGEST, sent] = np.nan
    _drop_unsent(sums)


def _drop_unsent(sums: Sums) -> None:
    """Version 1 held the rows of every gauge; those that no module sent cost nothing here."""
    for gauge, rows in enumerate(sums.gauges):
        if rows is not None and (rows[at.AT] < 0).all():
            sums.gauges[gauge] = None
    if sums.cpu_ints is not None and (sums.cpu_ints[at.CPU_AT] < 0).all():
        sums.cpu_ints = sums.cpu_floats = None


def _restore_cells(sums: Sums, chunk: int, record: SumsChunk) -> None:
    first = chunk * CHUNK_MODULES
    _require(record.count_bytes in (1, 2, 4, 8), f"counts of {record.count_bytes} bytes")
    new_keys = np.frombuffer(record.cells, "<u4").astype(np.int64)
    new_counts = np.frombuffer(record.counts, f"<u{record.count_bytes}").astype(np.int64)
    _require(new_keys.size == new_counts.size and rising(new_keys), "its sketch cells are out of order")
    _require((new_counts > 0).all(), "a sketch cell counts nothing")
    _require((new_keys < CHUNK_MODULES << BIN_BITS).all(), "a sketch cell is of no module of the chunk")
    new_keys += first << BIN_BITS
    keys, counts = sums.cells.folded()
    at_place = np.searchsorted(keys, first << BIN_BITS)
    joined = np.concatenate((keys[:at_place], new_keys, keys[at_place:]))
    sums.cells.replace(joined, np.concatenate((counts[:at_place], new_counts, counts[at_place:])))


def _check_sums(sums: Sums, codes: I8) -> None:
    """Refuse figures that no events can have."""
    ints, floats = sums.ints[:, codes], sums.floats[:, codes]
    counts = ints[at.COUNT]
    _require((counts > 0).all(), "a module without a request")
    _require(((ints[at.SUCCESSES] >= 0) & (ints[at.SUCCESSES] <= counts)).all(), "more successes than requests")
    _require((ints[[at.SUM, at.SQUARES]] >= 0).all(), "a sum below zero")
    least, largest = floats[at.MINIMUM], floats[at.MAXIMUM]
    _require(((least >= 0) & (least <= largest) & (largest < np.inf)).all(), "no minimum and maximum")
    _require(((floats[at.PEAK_ERRORS] >= 0) & (floats[at.PEAK_ERRORS] <= 1)).all(), "no share of errors")
    low, high = (int(codes[0]), int(codes[-1]) + 1) if codes.size else (0, 0)
    keys, cells = sums.cells.between(low // CHUNK_MODULES * CHUNK_MODULES, -(-high // CHUNK_MODULES) * CHUNK_MODULES)
    owners = np.searchsorted(codes, keys >> BIN_BITS)
    _require(np.isin(keys >> BIN_BITS, codes).all(), "a sketch of a module without a request")
    sketched = np.bincount(owners, cells.astype(np.float64), minlength=codes.size)[: codes.size]
    _require((sketched == counts).all(), "a sketch that does not count the requests")
    for rows in sums.gauges:
        if rows is not None:
            _check_gauge(rows[:, codes])
    if sums.cpu_ints is not None and sums.cpu_floats is not None:
        _check_cpu(sums.cpu_ints[:, codes], sums.cpu_floats[:, codes])


def _check_gauge(rows: I8) -> None:
    sent, readings = rows[at.AT] >= 0, rows[at.READINGS]
    _require((rows[at.AT] >= -1).all() and (rows[at.LAST] >= 0).all(), "a gauge below zero")
    _require(
        ((readings != 0) == sent).all() and (readings >= 2 * at.UNKNOWN_READINGS * (1 << 15)).all(), "lost readings"
    )
    _require((rows[at.TOTAL] >= 0).all(), "a sum of readings below zero")
    known = readings > 0
    _require((rows[at.LARGEST, known] >= rows[at.LAST, known]).all(), "a gauge above its maximum")


def _check_cpu(ints: I8, floats: F8) -> None:
    sent, readings = ints[at.CPU_AT] >= 0, ints[at.CPU_READINGS]
    last, least, largest = floats[at.CPU_LAST], floats[at.CPU_LEAST], floats[at.CPU_LARGEST]
    _require(
        (ints[at.CPU_AT] >= -1).all() and ((readings > 0) == sent).all() and (readings >= 0).all(), "lost readings"
    )
    _require((ints[at.CPU_SUM] >= 0).all(), "a sum of readings below zero")
    _require(((last >= 0) & (last < np.inf)).all(), "no CPU percentage")
    inside = np.isnan(least) | np.isnan(largest) | ((least <= last) & (last <= largest)) | ~sent
    _require(inside.all(), "a CPU percentage beyond its extremes")


def _restore_meta(block: Block, chunk: int, record: MetaChunk) -> None:
    codes = np.frombuffer(record.codes, "<i4").astype(np.int64)
    _require(record.rows == at.META_ROWS, f"its layout of {record.rows} rows is unknown")
    _require(rising(codes) and (codes // CHUNK_MODULES == chunk).all(), "its codes are not those of the chunk")
    meta = np.frombuffer(record.meta, "<i8").reshape(at.META_ROWS, codes.size).copy()
    scores = np.frombuffer(record.scores, "<f8").reshape(codes.size)
    if record.v < STATE_VERSION:
        meta[at.BEFORE] = of_version_1(meta[at.BEFORE])
    _require((meta >= 0).all() and (meta[at.LEVEL] <= 2).all() and are_states(meta[at.BEFORE]).all(), "no history")
    _require(((scores >= 0) & (scores <= 100)).all() and record.silent >= 0, "no score")
    block.meta[:, codes] = meta
    block.scores[codes] = scores
    block.final = record.final
    block.silent = record.silent
    # Whether its newest record is still right is seen from the counts, at the next cut.
    block.touched = True
    block.stored_meta.add(chunk)


def check_windows(tree: WindowTree, known: NDArray[np.bool_]) -> None:
    """Refuse windows that contradict each other or the registry.

    Args:
        tree: all windows, restored.
        known: by code, whether a module has it.

    Raises:
        ValueError: requests of a module that is not known, or records that counted more requests than the window holds.
    """
    for block in tree:
        counts = tree.counts(block, known.size)
        _require(
            not counts[~known[: counts.size]].any(),
            f"the window of {block.size_ms} ms from {block.start_ms} holds unknown modules",
        )
        _require(
            (block.meta[at.EMITTED] <= counts).all(),
            f"the window of {block.size_ms} ms from {block.start_ms} misses requests that its records counted",
        )
