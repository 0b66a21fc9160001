"""Blocks to changelog records and back, in chunks of 64 modules: whole columns, never row by row."""

from collections.abc import Iterable

import numpy as np

from pipeline.arrays import I8
from pipeline.outputs import StateRecord
from pipeline.sketch.mapping import BIN_BITS
from pipeline.windows import layout as at
from pipeline.windows.block import Block
from pipeline.windows.rows import FLOAT_ROWS, INT_ROWS, float_rows_of, int_rows_of
from pipeline.windows.sums import Sums
from schemas.state import CARRIED, CHUNK_MODULES, META, STATE_VERSION, SUMS, MetaChunk, SumsChunk, pack


def chunk_key(kind: bytes, size_ms: int, start_ms: int, chunk: int) -> bytes:
    """The changelog key of one chunk of a window."""
    return b"%s|%d|%d|%d" % (kind, size_ms, start_ms, chunk)


def _key(kind: bytes, block: Block, chunk: int) -> bytes:
    return chunk_key(kind, block.size_ms, block.start_ms, chunk)


def chunks_of(codes: I8) -> set[int]:
    """The chunks that codes stand in."""
    chunks: list[int] = np.unique(codes // CHUNK_MODULES).tolist()
    return set(chunks)


def _chunk_codes(figures: I8, chunk: int) -> I8:
    """The codes of a chunk that have any non-zero figure; `figures` has one column per code."""
    low = chunk * CHUNK_MODULES
    return np.flatnonzero(figures[:, low : low + CHUNK_MODULES].any(axis=0)) + low


def _sums_record(sums: Sums, chunk: int) -> SumsChunk:
    first = chunk * CHUNK_MODULES
    codes = _chunk_codes(sums.ints[at.COUNT : at.COUNT + 1], chunk)
    int_numbers, ints = int_rows_of(sums, codes)
    float_numbers, floats = float_rows_of(sums, codes)
    keys, counts = sums.cells.between(first, first + CHUNK_MODULES)
    count_bytes = next(width for width in (1, 2, 4, 8) if not counts.size or int(counts.max()) < 1 << 8 * width)
    return SumsChunk(
        v=STATE_VERSION,
        rows=(len(INT_ROWS), len(FLOAT_ROWS)),
        codes=(codes - first).astype("<u1").tobytes(),
        int_rows=int_numbers.tobytes(),
        ints=ints.astype("<i8").tobytes(),
        floats=floats.astype("<f8").tobytes(),
        cells=(keys - (first << BIN_BITS)).astype("<u4").tobytes(),
        count_bytes=count_bytes,
        counts=counts.astype(f"<u{count_bytes}").tobytes(),
        float_rows=float_numbers.tobytes(),
    )


def _meta_record(block: Block, chunk: int) -> MetaChunk:
    codes = _chunk_codes(block.meta, chunk)
    return MetaChunk(
        v=STATE_VERSION,
        rows=at.META_ROWS,
        final=block.final,
        codes=codes.astype("<i4").tobytes(),
        meta=block.meta[:, codes].astype("<i8").tobytes(),
        scores=block.scores[codes].astype("<f8").tobytes(),
        silent=block.silent,
    )


def changes(block: Block) -> list[StateRecord]:
    """The records of every chunk that changed since the last call."""
    records = _sums_changes(block, SUMS, block.sums, block.dirty_sums)
    if block.carried is not None:
        records += _sums_changes(block, CARRIED, block.carried, block.dirty_carried)
    for chunk in sorted(block.dirty_meta):
        key = _key(META, block, chunk)
        records.append(StateRecord(key, pack(key, _meta_record(block, chunk))))
    block.stored_sums |= block.dirty_sums
    block.stored_carried |= block.dirty_carried
    block.stored_meta |= block.dirty_meta
    for dirty in (block.dirty_sums, block.dirty_carried, block.dirty_meta):
        dirty.clear()
    return records


def _sums_changes(block: Block, kind: bytes, sums: Sums, chunks: Iterable[int]) -> list[StateRecord]:
    chunks = sorted(chunks)
    if chunks:
        sums.carry()  # so that equal sums are equal records, and a reader may add as much again
    keys = [_key(kind, block, chunk) for chunk in chunks]
    return [StateRecord(key, pack(key, _sums_record(sums, chunk))) for key, chunk in zip(keys, chunks, strict=True)]


def dirty_keys(block: Block) -> list[bytes]:
    """The keys that the next `changes` of a block will write."""
    dirty = ((SUMS, block.dirty_sums), (CARRIED, block.dirty_carried), (META, block.dirty_meta))
    return [_key(kind, block, chunk) for kind, chunks in dirty for chunk in sorted(chunks)]


def tombstones(block: Block) -> list[StateRecord]:
    """What ends a block's records in the changelog."""
    stored = ((SUMS, block.stored_sums), (CARRIED, block.stored_carried), (META, block.stored_meta))
    return [StateRecord(_key(kind, block, chunk), None) for kind, chunks in stored for chunk in sorted(chunks)]
