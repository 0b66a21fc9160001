"""Records that were encoded before: framed in one order, in full batches of bounded size."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.hop import trace
from pipeline.ingest.packed import pack_one
from pipeline.native import FRAME_BYTES, Native
from pipeline.outputs import Cut, Forwarded, Outbox
from schemas.state import Position
from tests.support.core.cores import fixed
from tests.support.records.forwarded import joined
from tests.support.records.parsed_records import parsed, wire_batch
from topology.producer.addressed import Addresses
from topology.records.packed_batches import frame_in_python, most_bytes_alone, packed_batches
from topology.settings import Settings

MIB = 1 << 20


@fixed(60)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=8), st.integers(0, 1 << 30))
def test_both_ways_of_framing_write_the_same_bytes(native: Native, values: list[bytes], first: int) -> None:
    packed = joined([Forwarded("m", value, 1, ()) for value in values])
    written = []
    for frame in (frame_in_python, native.frame):
        room = np.zeros(packed.tails.size + FRAME_BYTES * len(packed), np.uint8)
        size = frame(packed.tails, packed.sizes, first, room)
        written.append(room[:size].tobytes())
    assert written[0] == written[1]


@pytest.mark.parametrize("size", [0, 10, 100, 5_000, 70_000])
def test_a_record_says_what_its_batch_has_at_most_when_it_goes_alone(size: int) -> None:
    packed = pack_one(Forwarded("m", bytes(size), 1, tuple(trace("t", 0, 5, 1, None, "m"))))
    (batch,) = packed_batches([packed], 1)
    (most,) = most_bytes_alone(packed).tolist()
    assert 0 <= most - batch.size() <= FRAME_BYTES


def test_packed_records_go_in_order_into_full_batches_of_bounded_size() -> None:
    rng = random.Random(7)
    values = [rng.randbytes(rng.choice((10, 300, 5_000))) for _ in range(300)]
    records = [Forwarded("m", value, 1, tuple(trace("t", 0, n, 1, None, "m"))) for n, value in enumerate(values)]
    entries = [joined(records[low : low + 7]) for low in range(0, 300, 7)]
    batches = list(packed_batches(entries, 4_000))
    assert all(batch.size() <= 4_000 or batch.record_count() == 1 for batch in batches)
    found = []
    for index, batch in enumerate(batches):
        batch._set_producer_state(7, 1, 5)
        built = wire_batch(bytes(batch._build()))
        assert built.validate_crc()
        assert (built.is_transactional, built.producer_id, built.next_offset) == (True, 7, batch.record_count())
        assert batch.size() == len(batch._build())
        if index + 1 < len(batches):  # the next record would not have fitted
            following = parsed(wire_batch(bytes(batches[index + 1]._build())), None)
            assert batch.size() + len(following.values[0] or b"") > 4_000 - 200
        rows = parsed(built, None)
        found += [
            (key, value, rows.headers[n]) for n, (key, value) in enumerate(zip(rows.keys, rows.values, strict=True))
        ]
    assert found == [(b"m", record.value, tuple(record.headers)) for record in records]
    assert not list(packed_batches([], 4_000))


def test_packed_records_and_single_ones_of_one_partition_share_batches_in_one_order() -> None:
    records = [Forwarded("m", b"%d" % n, 1, tuple(trace("t", 0, n, 1, None, "m"))) for n in range(9)]
    box = Outbox(forwarded=[records[0], joined(records[1:4]), *records[4:6], joined(records[6:])])
    cut = Cut(box, [], [], Position(sizes={}, relative_error=0.01, partitions=1, offsets={}, stream_ms=None, ledger={}))
    assert cut.records == 10
    (parcel,) = Addresses(Settings()).forwarded(cut, 3)
    (batch,) = parcel.batches(MIB)
    rows = parsed(wire_batch(bytes(batch._build())), None)  # type: ignore[attr-defined]
    assert list(rows.values) == [record.value for record in records]
    assert [rows.headers[n] for n in range(9)] == [record.headers for record in records]
