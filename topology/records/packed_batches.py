"""Batches of records that were encoded before: only what depends on a record's place in its batch is added."""

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.arrays import I8, Bytes
from pipeline.native import FRAME_BYTES, load_native
from pipeline.outputs import PackedRecords
from pipeline.record_wire import framed
from topology.records.outgoing import BATCH_HEAD_BYTES, EncodedBatch


def packed_batches(entries: Sequence[PackedRecords], most_bytes: int) -> Iterator[EncodedBatch]:
    """Closed batches of a transaction, of at most so many bytes; a larger record has one to itself.

    Args:
        entries: in order.
        most_bytes: of a batch.
    """
    taken: list[PackedRecords] = []
    held = BATCH_HEAD_BYTES
    for entry in entries:
        ends = np.concatenate(([0], np.cumsum(entry.sizes + FRAME_BYTES)))
        low = 0
        while low < len(entry):
            high = int(np.searchsorted(ends, int(ends[low]) + most_bytes - held, side="right")) - 1
            if high <= low and taken:
                yield _batch(taken, held)
                taken, held = [], BATCH_HEAD_BYTES
                continue
            high = max(high, low + 1)
            taken.append(entry.part(low, high))
            held += int(ends[high] - ends[low])
            low = high
    if taken:
        yield _batch(taken, held)


def most_bytes_alone(entry: PackedRecords) -> I8:
    """What a batch of each record alone has at most."""
    return entry.sizes + (BATCH_HEAD_BYTES + FRAME_BYTES)


def _batch(parts: Sequence[PackedRecords], most_bytes: int) -> EncodedBatch:
    data = bytearray(most_bytes)
    records = np.frombuffer(data, np.uint8)
    native = load_native()
    frame = frame_in_python if native is None else native.frame
    at, count = BATCH_HEAD_BYTES, 0
    for part in parts:
        at += frame(part.tails, part.sizes, count, records[at:])
        count += len(part)
    del records
    del data[at:]
    return EncodedBatch(data, count)


def frame_in_python(tails: Bytes, sizes: I8, first: int, records: Bytes) -> int:
    """What `Native.frame` does."""
    ends = np.cumsum(sizes).tolist()
    places = enumerate(zip([0, *ends], ends, strict=False), first)
    framed_tails = b"".join([framed(tails[low:high].tobytes(), offset) for offset, (low, high) in places])
    records[: len(framed_tails)] = np.frombuffer(framed_tails, np.uint8)
    return len(framed_tails)
