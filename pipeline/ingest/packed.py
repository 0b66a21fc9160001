"""Records of one batch that go to one home, encoded together: no object for each of them, and nothing of their fetch is held.

What comes out of it are the records that `Forwarded` describes one by one, to the byte.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.arrays import I8
from pipeline.ingest.batch import ColumnTimestamps, NoHeaders, RecordBatch, Slices, join_slices
from pipeline.ingest.hop import first_place, first_timestamp
from pipeline.native import Native
from pipeline.outputs import Forwarded, Outbox, PackedRecords
from pipeline.record_wire import NO_HEADERS, FieldReader, PlacedHeaders, header_bytes, tail_of


def pack(native: Native, batch: RecordBatch, rows: I8, home: str) -> PackedRecords:
    """Encode records that came in here first.

    Args:
        native: the compiled part.
        batch: what the records are in; no batch of the repartition topic, whose records say themselves where they came in.
        rows: which, rising.
        home: the key they get.
    """
    data, placed = _placed(batch, rows)
    stamps = batch.timestamps
    times = stamps.column[rows] if isinstance(stamps, ColumnTimestamps) else [stamps[row] for row in rows.tolist()]
    columns = np.array([*placed, offsets_at(batch, rows), times], np.int64)
    own = 0 if batch.sizes is None else int((batch.sizes[rows] - np.maximum(columns[[1, 3]], 0).sum(axis=0)).sum())
    place = f"{batch.topic}/{batch.partition}/".encode()
    return PackedRecords(home, *native.pack(data, columns, home.encode(), place, own))


def pack_one(record: Forwarded) -> PackedRecords:
    """One record, encoded here."""
    tail = tail_of(record.module_id.encode(), record.value, record.headers)
    return PackedRecords(record.module_id, np.frombuffer(tail, np.uint8), np.array([len(tail)], np.int64))


def unpack(packed: PackedRecords) -> Iterator[Forwarded]:
    """The same records, one by one."""
    at = 0
    for size in packed.sizes.tolist():
        reader = FieldReader(packed.tails[at : at + size].tobytes())
        at += size
        reader.field()  # the home
        value, headers = reader.field() or b"", reader.headers()
        yield Forwarded(packed.home, value, first_timestamp(headers, 0), headers)


def each_forwarded(outbox: Outbox) -> list[Forwarded]:
    """All forwarded records of an outbox, in order."""
    return [
        record for one in outbox.forwarded for record in (unpack(one) if isinstance(one, PackedRecords) else (one,))
    ]


def weave(outbox: Outbox, since: int, packed: PackedRecords, offsets: I8) -> None:
    """Put records among those that went one by one from the same batch, in the order of offsets.

    Args:
        outbox: its entries from `since` on are of that batch, in the order of offsets.
        since: see above.
        packed: the records.
        offsets: theirs.
    """
    singles = outbox.forwarded[since:]
    places = np.searchsorted(offsets, [offset_of(single) for single in singles]).tolist()
    woven: list[Forwarded | PackedRecords] = []
    for low, high, single in zip([0, *places], places, singles, strict=False):
        woven += [packed.part(low, high), single] if high > low else [single]
    last = places[-1] if places else 0
    woven += [packed.part(last, len(packed))] if last < len(packed) else []
    outbox.forwarded[since:] = woven
    outbox.size_bytes += packed.held_bytes


def offset_of(single: Forwarded | PackedRecords) -> int:
    """Where a record that went by itself came in."""
    assert isinstance(single, Forwarded)
    place = first_place(single.headers)
    assert place is not None, "what the core forwards says where it came in"
    return place.offset


def offsets_at(batch: RecordBatch, rows: I8 | slice) -> I8:
    """The offsets of some records."""
    every = batch.offsets
    offsets = np.arange(every.start, every.stop) if isinstance(every, range) else np.array(every, np.int64)
    return offsets[rows]


def _placed(batch: RecordBatch, rows: I8) -> tuple[bytes, list[I8]]:
    """One buffer, and in it: values, their sizes, keys, their sizes, headers."""
    keys, values, headers = batch.keys, batch.values, batch.headers
    none = np.full(rows.size, NO_HEADERS, np.int64)
    if isinstance(keys, Slices) and isinstance(values, Slices) and keys.buffer is values.buffer:
        spans = [values.starts[rows], values.sizes[rows], keys.starts[rows], keys.sizes[rows]]
        if isinstance(headers, NoHeaders):
            return keys.buffer, [*spans, none]
        if isinstance(headers, PlacedHeaders) and headers.data is keys.buffer:
            return keys.buffer, [*spans, headers.places[rows]]
    some = rows.tolist()
    columns: list[Sequence[bytes | None]] = [[values[row] for row in some], [keys[row] for row in some]]
    columns.append([header_bytes(headers[row]) for row in some])
    value, key, header = join_slices(*columns)
    return value.buffer, [value.starts, value.sizes, key.starts, key.sizes, header.starts]
