"""State records of builds that knew fewer fields are read, and damage is still seen."""

import msgspec
import pytest

from schemas.checksum import NO_CHECK, PLACE_OF_CHECK, with_checksum
from schemas.errors import StateIncompatible
from schemas.state import STATE_VERSION, ModulesChunk, pack, unpack

KEY = b"modules|0"
RECORD = ModulesChunk(
    v=STATE_VERSION,
    codes=bytes(4 * 8),
    ids=[f"m{n}" for n in range(8)],
    last_ms=b"",
    chains=b"",
    runs=bytes(8),
    silent_ms=b"",
    stated=b"12345678",
)


def written_before(record: ModulesChunk) -> bytes:
    """As the build wrote it that did not know `stated`; the checksum has as many bytes as the column of eight modules."""
    fields = [getattr(record, name) for name in record.__struct_fields__ if name not in ("stated", "check")]
    return with_checksum(KEY, msgspec.msgpack.encode([*fields, PLACE_OF_CHECK]))


def test_a_record_without_a_newer_field_is_read_with_its_default() -> None:
    read = unpack(ModulesChunk, KEY, written_before(RECORD))
    assert msgspec.structs.replace(read, check=NO_CHECK) == msgspec.structs.replace(RECORD, stated=b"")
    read = unpack(ModulesChunk, KEY, pack(KEY, RECORD))
    assert read.stated == b"12345678"


def test_a_damaged_record_without_a_newer_field_is_refused() -> None:
    value = bytearray(written_before(RECORD))
    value[10] ^= 1
    with pytest.raises(StateIncompatible, match="damaged"):
        unpack(ModulesChunk, KEY, bytes(value))
