"""Records that are forwarded together are those that go one by one, and stand among them in the order of offsets."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.batch import ColumnTimestamps, NoHeaders, RecordBatch, join_slices
from pipeline.ingest.hop import trace
from pipeline.ingest.packed import each_forwarded, offset_of, offsets_at, pack, pack_one, unpack, weave
from pipeline.native import Native
from pipeline.outputs import Forwarded, Header, Outbox, PackedRecords, RawName
from pipeline.record_wire import PlacedHeaders, header_bytes
from tests.support.core.cores import batch_of, fixed

HEADER = st.tuples(
    st.one_of(st.text(max_size=3), st.just(RawName(b"\xff"))), st.one_of(st.none(), st.binary(max_size=3))
)


def single(offset: int, stamp: int = 1, own: tuple[Header, ...] = ()) -> Forwarded:
    """A record that came in at this offset."""
    return Forwarded("home", b"v", stamp, (*own, *trace("t", 3, offset, stamp, None, "home")))


@fixed(60)
@given(st.text(max_size=4), st.binary(max_size=300), st.lists(HEADER, max_size=3), st.integers(0, 2**62))
def test_a_packed_record_is_read_back_as_it_was(home: str, value: bytes, own: list[Header], stamp: int) -> None:
    record = Forwarded(home, value, stamp, (*own, *trace("t", 0, 5, stamp, b"other", home)))
    packed = pack_one(record)
    assert list(unpack(packed)) == [record]
    assert packed.sizes.tolist() == [packed.tails.size]


KEYS: list[bytes | None] = [b"home", None, b"", b"other"]
VALUES: list[bytes | None] = [b"a", b"", None, b"d" * 300]
OWN: list[tuple[Header, ...]] = [(), (("h", b"1"), ("", None)), ((RawName(b"\xff"), b""),), ()]


def batches() -> dict[str, RecordBatch]:
    """The same records in every form a batch can have: objects, one buffer, one buffer with headers placed in it."""
    plain = batch_of(VALUES, KEYS, first=5, headers=OWN)
    bare = replace(plain, headers=NoHeaders())
    keys, values, headers = join_slices(KEYS, VALUES, [header_bytes(one) for one in OWN])
    stamps = ColumnTimestamps(np.array([12, 13, 14, 15]))
    placed = PlacedHeaders(keys.buffer, headers.starts)
    slices = RecordBatch("events", 3, range(5, 9), stamps, keys, values, placed)
    return {
        "objects": plain,
        "one buffer": slices,
        "buffers apart": replace(slices, keys=join_slices(KEYS)[0], headers=OWN),
        "buffers apart without headers": replace(slices, keys=join_slices(KEYS)[0], headers=NoHeaders()),
        "sizes known": replace(plain, sizes=np.array([5, 10, 2, 305])),
        "objects without headers": bare,
        "one buffer without headers": replace(slices, headers=NoHeaders()),
    }


@pytest.mark.parametrize("form", batches())
@pytest.mark.parametrize("rows", [[], [0], [1, 3], [0, 1, 2, 3]])
def test_what_is_packed_of_a_batch_is_what_would_be_sent_on_one_by_one(
    native: Native, form: str, rows: list[int]
) -> None:
    batch = batches()[form]
    headers = OWN if "without" not in form else [()] * 4
    expected = [
        Forwarded("home", VALUES[r] or b"", 12 + r, (*headers[r], *trace("events", 3, 5 + r, 12 + r, KEYS[r], "home")))
        for r in rows
    ]
    packed = pack(native, batch, np.array(rows, np.int64), "home")
    assert list(unpack(packed)) == expected
    assert packed.home == "home"


@fixed(200)
@given(st.sets(st.integers(0, 30), max_size=12), st.sets(st.integers(0, 30), max_size=12), st.integers(0, 2))
def test_woven_records_stand_in_the_order_of_offsets_behind_those_of_earlier_batches(
    alone: set[int], together: set[int], earlier: int
) -> None:
    together -= alone
    box = Outbox()
    for offset in [*range(100, 100 + earlier), *sorted(alone)]:
        box.forward(single(offset))
    held = box.size_bytes
    parts = [pack_one(single(offset)) for offset in sorted(together)]
    tails = np.concatenate([part.tails for part in parts]) if parts else np.empty(0, np.uint8)
    packed = PackedRecords("home", tails, np.array([part.tails.size for part in parts], np.int64))
    weave(box, earlier, packed, np.array(sorted(together), np.int64))
    assert each_forwarded(box) == [single(n) for n in [*range(100, 100 + earlier), *sorted(alone | together)]]
    assert all(len(one) for one in box.forwarded if isinstance(one, PackedRecords)), "no part is empty"
    assert box.size_bytes == held + packed.held_bytes


def test_a_record_that_goes_alone_knows_its_offset_whatever_the_sender_wrote() -> None:
    assert offset_of(single(7, own=(("modpulse.forwarded.from", b"t/3/99"),))) == 7


def test_offsets_are_the_same_from_a_range_and_from_a_list() -> None:
    batch = batch_of([b""] * 5, [None] * 5, first=40)
    for offsets in (range(40, 45), [40, 41, 42, 43, 44]):
        one = replace(batch, offsets=offsets)
        assert offsets_at(one, np.array([0, 3])).tolist() == [40, 43]
        assert offsets_at(one, slice(None)).tolist() == [40, 41, 42, 43, 44]
