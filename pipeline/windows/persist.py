"""Blocks to changelog records and back, in chunks of 64 modules: whole columns, never row by row."""

import numpy as np

from pipeline.outputs import StateRecord
from pipeline.sketch.mapping import BIN_BITS, I8
from pipeline.windows import layout as at
from pipeline.windows.block import Block
from pipeline.windows.tree import WindowTree
from schemas.errors import StateIncompatible
from schemas.state import CHUNK_MODULES, MetaChunk, SumsChunk, decoder, pack

VERSION = 1
SUMS, META = b"sums", b"meta"
_decode_sums = decoder(SumsChunk).decode
_decode_meta = decoder(MetaChunk).decode


def _key(kind: bytes, block: Block, chunk: int) -> bytes:
    return b"%s|%d|%d|%d" % (kind, block.size_ms, block.start_ms, chunk)


def _chunk_codes(figures: I8, chunk: int) -> I8:
    """The codes of a chunk that have any non-zero figure; `figures` has one column per code."""
    low = chunk * CHUNK_MODULES
    return np.flatnonzero(figures[:, low : low + CHUNK_MODULES].any(axis=0)) + low


def _sums_record(block: Block, chunk: int) -> SumsChunk:
    sums, first = block.sums, chunk * CHUNK_MODULES
    codes = _chunk_codes(sums.ints[at.COUNT : at.COUNT + 1], chunk)
    ints = sums.ints[:, codes]
    used = np.flatnonzero(ints.any(axis=1))
    keys, counts = sums.cells.between(first, first + CHUNK_MODULES)
    count_bytes = next(width for width in (1, 2, 4, 8) if not counts.size or int(counts.max()) < 1 << 8 * width)
    return SumsChunk(
        VERSION,
        (at.INT_ROWS, at.FLOAT_ROWS),
        (codes - first).astype("<u1").tobytes(),
        used.astype("<u1").tobytes(),
        ints[used].astype("<i8").tobytes(),
        sums.floats[:, codes].astype("<f8").tobytes(),
        (keys - (first << BIN_BITS)).astype("<u4").tobytes(),
        count_bytes,
        counts.astype(f"<u{count_bytes}").tobytes(),
    )


def _meta_record(block: Block, chunk: int) -> MetaChunk:
    codes = _chunk_codes(block.meta, chunk)
    return MetaChunk(
        VERSION,
        at.META_ROWS,
        block.final,
        codes.astype("<i4").tobytes(),
        block.meta[:, codes].astype("<i8").tobytes(),
        block.scores[codes].astype("<f8").tobytes(),
    )


def changes(block: Block) -> list[StateRecord]:
    """The records of every chunk that changed since the last call."""
    records = [
        *(
            StateRecord(_key(SUMS, block, chunk), pack(_sums_record(block, chunk)))
            for chunk in sorted(block.dirty_sums)
        ),
        *(
            StateRecord(_key(META, block, chunk), pack(_meta_record(block, chunk)))
            for chunk in sorted(block.dirty_meta)
        ),
    ]
    block.stored_sums |= block.dirty_sums
    block.stored_meta |= block.dirty_meta
    block.dirty_sums.clear()
    block.dirty_meta.clear()
    return records


def tombstones(block: Block) -> list[StateRecord]:
    """What ends a sealed block's records in the changelog."""
    sums = [StateRecord(_key(SUMS, block, chunk), None) for chunk in sorted(block.stored_sums)]
    return sums + [StateRecord(_key(META, block, chunk), None) for chunk in sorted(block.stored_meta)]


def restore(tree: WindowTree, key: bytes, value: bytes) -> None:
    """Take one `sums` or `meta` record back in.

    Raises:
        StateIncompatible: written by another version, or for a window size that is not configured.
    """
    kind, size, start, chunk_text = key.split(b"|")
    if int(size) not in tree.sizes_ms:
        raise StateIncompatible(f"the changelog holds windows of {int(size)} ms, windows.sizes does not")
    level, chunk = tree.sizes_ms.index(int(size)), int(chunk_text)
    block = tree.open(level, int(start), (chunk + 1) * CHUNK_MODULES)
    if kind == SUMS:
        _restore_sums(block, chunk, value)
    else:
        _restore_meta(block, chunk, value)


def _restore_sums(block: Block, chunk: int, value: bytes) -> None:
    record = _decode_sums(value)
    if record.v != VERSION or record.rows != (at.INT_ROWS, at.FLOAT_ROWS):
        raise StateIncompatible(f"window state of version {record.v}, this build reads version {VERSION}")
    first = chunk * CHUNK_MODULES
    codes = np.frombuffer(record.codes, "<u1").astype(np.int64) + first
    used = np.frombuffer(record.int_rows, "<u1").astype(np.int64)
    sums = block.sums
    sums.ints[:, codes] = 0
    sums.ints[used[:, None], codes[None, :]] = np.frombuffer(record.ints, "<i8").reshape(used.size, codes.size)
    sums.floats[:, codes] = np.frombuffer(record.floats, "<f8").reshape(at.FLOAT_ROWS, codes.size)
    new_keys = np.frombuffer(record.cells, "<u4").astype(np.int64) + (first << BIN_BITS)
    new_counts = np.frombuffer(record.counts, f"<u{record.count_bytes}").astype(np.int64)
    low, _ = sums.cells.between(0, chunk * CHUNK_MODULES)
    keys, counts = sums.cells.folded()
    after = low.size + sums.cells.between(chunk * CHUNK_MODULES, (chunk + 1) * CHUNK_MODULES)[0].size
    if not keys.size:
        sums.cells.replace(new_keys, new_counts)
    else:
        # The newer record replaces the older one of its chunk, whose cells stand in one run.
        joined = np.concatenate((keys[: low.size], new_keys, keys[after:]))
        sums.cells.replace(joined, np.concatenate((counts[: low.size], new_counts, counts[after:])))
    block.stored_sums.add(chunk)


def _restore_meta(block: Block, chunk: int, value: bytes) -> None:
    record = _decode_meta(value)
    if record.v != VERSION or record.rows != at.META_ROWS:
        raise StateIncompatible(f"window state of version {record.v}, this build reads version {VERSION}")
    codes = np.frombuffer(record.codes, "<i4").astype(np.int64)
    block.meta[:, codes] = np.frombuffer(record.meta, "<i8").reshape(at.META_ROWS, codes.size)
    block.scores[codes] = np.frombuffer(record.scores, "<f8")
    block.final = record.final
    # Whether its newest record is still right is seen from the counts, at the next cut.
    block.touched = True
    block.stored_meta.add(chunk)
