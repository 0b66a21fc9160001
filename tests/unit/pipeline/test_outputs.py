"""What waits to be written is counted with all its parts: the size is what makes a task flush before its time."""

import numpy as np
import pytest

from pipeline.ingest.hop import trace
from pipeline.ingest.packed import offset_of, weave
from pipeline.native import FRAME_BYTES
from pipeline.outputs import (
    PACKED_BYTES,
    RECORD_BYTES,
    Cut,
    Emitted,
    Forwarded,
    Header,
    Outbox,
    PackedRecords,
    Partial,
    RawName,
    Rejected,
    StateRecord,
    WholeBatch,
    headers_bytes,
    name_bytes,
    total_ledger,
)
from schemas.state import Ledger, Position

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


def test_a_part_of_packed_records_is_those_records_and_the_whole_is_itself() -> None:
    packed = PackedRecords("m", np.arange(6, dtype=np.uint8), np.array([1, 0, 3, 2], np.int64))
    parts = {(low, high): packed.part(low, high) for low in range(5) for high in range(low, 5)}
    assert parts.pop((0, 4)) is packed
    own = [[0], [], [1, 2, 3], [4, 5]]
    for (low, high), part in parts.items():
        assert (part.home, len(part)) == ("m", high - low)
        assert part.tails.tolist() == [octet for tail in own[low:high] for octet in tail]
        assert part.sizes.tolist() == [len(tail) for tail in own[low:high]]


def test_a_letter_of_a_whole_batch_stands_for_all_its_records() -> None:
    one = Rejected("invalid", "", *PLACE, None, None, ())
    assert (one.records, one._replace(whole=WholeBatch(5, 99, 40, "undecodable", "")).records) == (1, 40)


def test_a_cut_counts_every_record_of_its_transaction_with_the_position_and_packed_ones_each() -> None:
    box = Outbox()
    box.emit(Emitted("module_metrics", b"k", b"v" * 10, 1, 2))
    assert box.size_bytes == RECORD_BYTES + 11
    box.reject(Rejected("invalid", "", *PLACE, None, None, (), WholeBatch(0, 9, 10, "undecodable", "")))
    box.forward(Forwarded("m", b"", 1, ()))
    box.forwarded.append(PackedRecords("m", np.zeros(3, np.uint8), np.array([1, 1, 1], np.int64)))
    state = [StateRecord(b"a", None), StateRecord(b"b", b"c")]
    position = Position(sizes={}, relative_error=0.01, partitions=1, offsets={}, stream_ms=None, ledger={})
    assert Cut(box, [Partial(b"k", b"v")], state, position).records == 1 + 1 + 1 + 3 + 1 + 2 + 1
    assert Cut(Outbox(), [], [], position).records == 1


def test_the_ledgers_of_all_sources_add_up_column_by_column() -> None:
    columns = Ledger.__struct_fields__
    ledgers = {"in": Ledger(*range(1, 1 + len(columns))), "re": Ledger(*range(100, 100 + len(columns)))}
    total = total_ledger(ledgers)
    assert [getattr(total, name) for name in columns] == [101 + 2 * at for at in range(len(columns))]
    assert ledgers["in"].consumed == 1, "those that were added up stay as they are"
    assert total_ledger({}) == Ledger()
