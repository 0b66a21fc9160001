"""Batches of records that were encoded before: only what depends on a record's place in its batch is added."""

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.native import FRAME_BYTES, I8, load_native
from pipeline.outputs import PackedRecords
from pipeline.record_wire import framed
from topology.outgoing import BATCH_HEAD_BYTES, EncodedBatch


def packed_batches(entries: Sequence[PackedRecords], most_bytes: int) -> Iterator[EncodedBatch]:
    """Closed batches of a transaction, of at most so many bytes; a larger record has one to itself.

    Args:
        entries: in order.
        most_bytes: of a batch.
    """
    tails: list[memoryview] = []
    sizes: list[I8] = []
    held = BATCH_HEAD_BYTES
    for entry in entries:
        ends = np.concatenate(([0], np.cumsum(entry.sizes)))
        view, low = memoryview(entry.tails), 0
        framed_ends = ends + FRAME_BYTES * np.arange(ends.size)
        while low < len(entry):
            room = int(framed_ends[low]) + most_bytes - held
            high = int(np.searchsorted(framed_ends, room, side="right")) - 1
            if high <= low and tails:
                yield _batch(tails, sizes)
                tails, sizes, held = [], [], BATCH_HEAD_BYTES
                continue
            high = max(high, low + 1)
            tails.append(view[int(ends[low]) : int(ends[high])])
            sizes.append(entry.sizes[low:high])
            held += int(framed_ends[high] - framed_ends[low])
            low = high
    if tails:
        yield _batch(tails, sizes)


def most_bytes_alone(entry: PackedRecords) -> I8:
    """What a batch of each record alone has at most."""
    return entry.sizes + (BATCH_HEAD_BYTES + FRAME_BYTES)


def _batch(tails: Sequence[memoryview], sizes: Sequence[I8]) -> EncodedBatch:
    joined, all_sizes = b"".join(tails), np.concatenate(sizes)
    native = load_native()
    records = frame_in_python(joined, all_sizes) if native is None else native.frame(joined, all_sizes)
    return EncodedBatch(records, all_sizes.size)


def frame_in_python(tails: bytes, sizes: I8) -> bytes:
    """What `Native.frame` does."""
    ends = np.cumsum(sizes).tolist()
    places = zip([0, *ends], ends, strict=False)
    return b"".join([framed(tails[low:high], index) for index, (low, high) in enumerate(places)])
