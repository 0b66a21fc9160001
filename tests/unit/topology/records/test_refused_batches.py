"""Batches that stand for their records: one entry each, in offset order, cut like records."""

import pytest

from pipeline.outputs import WholeBatch
from tests.support.records import wire
from topology.records.record_batch import WireBatch
from topology.records.refused_batches import RefusedBatch, RefusedBatches
from topology.records.span import Span
from topology.records.wire_batches import WireBatches


def refused(first: int, last: int, records: int, data: bytes = b"bytes") -> RefusedBatch:
    return RefusedBatch(WholeBatch(first, last, records, "undecodable", "no"), 1_000 + last, data)


@pytest.mark.parametrize(
    ("offset", "left"),
    [(0, (10, 19, 6)), (10, (10, 19, 6)), (11, (11, 19, 6)), (15, (15, 19, 5)), (19, (19, 19, 1))],
)
def test_what_is_left_of_a_batch_has_no_more_records_than_offsets(offset: int, left: tuple[int, int, int]) -> None:
    """Which records compaction took its header does not say."""
    batch = refused(10, 19, 6).since(offset)
    assert batch.place[:3] == left
    assert (batch.data, batch.timestamp_ms, batch.place.reason) == (b"bytes", 1_019, "undecodable")


def test_each_batch_is_an_entry_at_its_last_offset_without_a_key() -> None:
    joined = RefusedBatches.join([RefusedBatches([refused(0, 4, 5)]), RefusedBatches([refused(7, 9, 1, b"other")] * 1)])
    assert (len(joined), joined.offsets, joined.next_offset, joined.timestamps) == (2, [4, 9], 10, [1_004, 1_009])
    assert (joined.keys, joined.values, joined.headers[0]) == ([None, None], [b"bytes", b"other"], ())
    assert (joined.sizes.tolist(), joined.nbytes, joined.largest) == ([5, 5], 10, None)
    assert [place[:3] for place in joined.since(3).whole] == [(3, 4, 2), (7, 9, 1)]
    assert [place[:3] for place in joined.since(4).whole] == [(4, 4, 1), (7, 9, 1)]
    assert [place[:3] for place in joined.since(5).whole] == [(7, 9, 1)]


def test_refused_batches_are_cut_like_records() -> None:
    data = wire.bomb([1_000] * 10, base=5)
    batch = WireBatches(data).next_batch()
    assert isinstance(batch, WireBatch)
    refused = next(iter(Span(5, 15, [batch]).pieces(1, refuse_above=100))).records
    assert isinstance(refused, RefusedBatches)
    assert refused.since(4).whole == refused.whole
    assert [place[:3] for place in refused.since(9).whole] == [(9, 14, 6)]
    assert len(refused.since(15)) == 0
    assert refused.nbytes == len(data)
