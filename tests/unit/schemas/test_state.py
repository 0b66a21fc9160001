"""The columnar records of the changelog: packed with a checksum, read back, and refused where they are newer or damaged."""

import msgspec
import pytest
from msgspec.structs import replace

from schemas.errors import StateIncompatible
from schemas.state import STATE_VERSION, ChunkRecord, IdSegment, MetaChunk, ModulesChunk, SumsChunk, pack, unpack

KEY = b"kind|0"
RECORDS: list[ChunkRecord] = [
    SumsChunk(2, (45, 6), b"a", b"b", b"c", b"d", b"e", 4, b"f", b"\x00\x05"),
    MetaChunk(2, 4, True, b"a", b"b", b"c", 3),
    ModulesChunk(2, b"a", ["m", "n"], b"b", b"c", b"d", b"e"),
    IdSegment(2, b"a", True),
]
# As version 1 wrote them: fewer fields, without a checksum; and what is read of them.
OLD: list[tuple[list[object], ChunkRecord]] = [
    ([1, (28, 4), b"a", b"b", b"c", b"d", b"e", 4, b"f"], SumsChunk(1, (28, 4), b"a", b"b", b"c", b"d", b"e", 4, b"f")),
    ([1, 4, True, b"a", b"b", b"c"], MetaChunk(1, 4, True, b"a", b"b", b"c", 0)),
    ([1, b"a", ["m"], b"b", b"c"], ModulesChunk(1, b"a", ["m"], b"b", b"c", b"", b"")),
    ([1, b"a"], IdSegment(1, b"a", False)),
]


def read(record: ChunkRecord, key: bytes, value: bytes) -> ChunkRecord:
    """Unpack as a record of the same kind."""
    if isinstance(record, SumsChunk):
        return unpack(SumsChunk, key, value)
    if isinstance(record, MetaChunk):
        return unpack(MetaChunk, key, value)
    return unpack(ModulesChunk, key, value) if isinstance(record, ModulesChunk) else unpack(IdSegment, key, value)


def refusal(record: ChunkRecord, value: bytes, key: bytes = KEY) -> str:
    with pytest.raises(StateIncompatible) as refused:
        read(record, key, value)
    assert repr(key.decode()) in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_under_its_own_key_and_under_no_other(record: ChunkRecord) -> None:
    value = pack(KEY, record)
    assert replace(read(record, KEY, value), check=b"") == record
    assert "its checksum is wrong" in refusal(record, value, b"kind|1")


@pytest.mark.parametrize(("fields", "record"), OLD, ids=lambda part: type(part).__name__)
def test_what_version_1_wrote_is_read_without_a_checksum_and_its_version_says_so(
    fields: list[object], record: ChunkRecord
) -> None:
    assert read(record, KEY, msgspec.msgpack.encode(fields)) == record


def test_rows_of_floats_that_version_1_did_not_number_are_its_first_four() -> None:
    assert SumsChunk(1, (28, 4), b"", b"", b"", b"", b"", 1, b"").float_rows == bytes(range(4))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_of_a_newer_build_is_refused_by_its_version_whether_or_not_it_can_be_read(
    record: ChunkRecord,
) -> None:
    newest = f"is of version 3, this build reads versions 1 to {STATE_VERSION}"
    assert newest in refusal(record, pack(KEY, replace(record, v=3)))
    assert newest in refusal(record, msgspec.msgpack.encode([3, {"another": "form"}]))


@pytest.mark.parametrize(
    "value", [b"", b"\xc1", b"\x91" * 5_000, b"\x91\xa1v", b"\x92\x02\x05", b"\x91\x02", b"\x91\x00"]
)
def test_what_is_no_record_at_all_is_damaged(value: bytes) -> None:
    for record in RECORDS:
        assert "is damaged (" in refusal(record, value)


def test_a_record_without_the_checksum_that_its_version_has_is_damaged() -> None:
    for record in RECORDS:
        assert "its checksum is wrong" in refusal(record, msgspec.msgpack.encode(record))
