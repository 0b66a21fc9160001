"""What waits to be written is counted with all its parts: the size is what makes a task flush before its time."""

import numpy as np
import pytest

from pipeline.ingest.hop import trace
from pipeline.ingest.packed import offset_of, weave
from pipeline.native import FRAME_BYTES
from pipeline.outputs import (
    PACKED_BYTES,
    RECORD_BYTES,
    Forwarded,
    Header,
    Outbox,
    PackedRecords,
    RawName,
    Rejected,
    headers_bytes,
    name_bytes,
)

PLACE = ("in", 0, 1, 2)


LARGE = b"x" * 9_000
HEADERS: dict[str, tuple[Header, ...]] = {
    "a value": (("h", LARGE),),
    "a name": (("h" * 9_000, None),),
    "a name that is no text": ((RawName(b"\xff" * 9_000), None),),
    # Two bytes each on the wire, and a hundred and more each in memory.
    "many": (("", None),) * 100,
}


def rejected(key: bytes | None = None, value: bytes | None = None, headers: tuple[Header, ...] = ()) -> int:
    box = Outbox()
    box.reject(Rejected("invalid", "", *PLACE, key, value, headers))
    return box.size_bytes


def forwarded(value: bytes = b"", headers: tuple[Header, ...] = ()) -> int:
    box = Outbox()
    box.forward(Forwarded("m", value, 1, headers))
    return box.size_bytes


def test_a_key_counts_as_a_value_does() -> None:
    assert rejected(key=LARGE) == rejected(value=LARGE) == forwarded(LARGE) == RECORD_BYTES + 9_000


@pytest.mark.parametrize("headers", HEADERS.values(), ids=list(HEADERS))
def test_headers_count_by_their_bytes_and_by_their_number(headers: tuple[Header, ...]) -> None:
    assert rejected(headers=headers) == forwarded(headers=headers) >= RECORD_BYTES + 9_000


def test_a_name_that_is_no_text_keeps_its_bytes() -> None:
    raw = RawName(b"a\xff")
    assert (raw, name_bytes(raw), name_bytes("ü")) == ("a\\xff", b"a\xff", "ü".encode())
    assert headers_bytes([(raw, b"1"), ("ü", None)]) == 5


def test_packed_records_count_with_the_batches_that_are_made_of_them() -> None:
    box = Outbox()
    packed = PackedRecords("m", np.zeros(9_000, np.uint8), np.array([4_000, 5_000], np.int64))
    weave(box, 0, packed, np.array([1, 2], np.int64))
    assert box.size_bytes == 2 * 9_000 + 2 * PACKED_BYTES
    assert packed.sizes.nbytes + 2 * FRAME_BYTES <= 2 * PACKED_BYTES


def test_packed_records_stand_among_single_ones_in_the_order_of_offsets() -> None:
    def single(offset: int) -> Forwarded:
        return Forwarded("m", b"", 1, tuple(trace("t", 0, offset, 1, None, "m")))

    box = Outbox()
    earlier = single(50)
    for one in (earlier, single(3), single(4), single(9), single(20)):
        box.forward(one)
    packed = PackedRecords("m", np.arange(6, dtype=np.uint8), np.array([1, 1, 2, 1, 1], np.int64))
    weave(box, 1, packed, np.array([1, 2, 5, 10, 11], np.int64))
    assert [one.tails.tolist() if isinstance(one, PackedRecords) else offset_of(one) for one in box.forwarded] == [
        50, [0, 1], 3, 4, [2, 3], 9, [4, 5], 20,
    ]  # fmt: skip
