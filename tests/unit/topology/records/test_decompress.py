"""Every codec, bounded: what fits comes out whole, what does not is told from what is broken, and nothing hangs."""

import random
import struct

import pytest
from aiokafka.codec import snappy_encode

from schemas.errors import PoisonRecord
from tests.support.records import wire
from tests.support.records.wire import CODECS, GZIP, LZ4, NONE, SNAPPY, ZSTD
from topology.records.decompress import KEPT_BYTES, decompressed, disown

REAL = [codec for codec in CODECS.values() if codec != NONE]
NAMES = [name for name, codec in CODECS.items() if codec != NONE]
XERIAL = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)


def reason_of(codec: int, data: bytes, most_bytes: int = 1 << 20) -> str:
    with pytest.raises(PoisonRecord) as caught:
        decompressed(codec, memoryview(data), most_bytes)
    return caught.value.reason


@pytest.mark.parametrize("codec", REAL, ids=NAMES)
@pytest.mark.parametrize("size", [0, 1, 100, 1_000_000, 5_000_000])
def test_what_fits_comes_out_whole(codec: int, size: int) -> None:
    data = random.Random(size).randbytes(min(size, 1_000)) * (size // 1_000 or 1) if size else b""
    assert decompressed(codec, memoryview(wire.compressed(codec, data)), len(data) or 1) == data


@pytest.mark.parametrize("codec", REAL, ids=NAMES)
@pytest.mark.parametrize("size", [2, 1_000, (1 << 20) + 1, 10_000_000])
def test_a_byte_too_many_is_too_large_and_not_broken(codec: int, size: int) -> None:
    data = wire.compressed(codec, bytes(size))
    for most in (size - 1, size // 2, 1, 0, -5):
        assert reason_of(codec, data, most) == "too_large"


@pytest.mark.parametrize("codec", REAL, ids=NAMES)
def test_data_that_is_cut_off_or_goes_on_is_broken(codec: int) -> None:
    data = wire.compressed(codec, random.Random(1).randbytes(5_000))
    for broken in (data[:-1], data[: len(data) // 2], data[:3], data + b"garbage behind"):
        assert reason_of(codec, broken) == "undecodable"


@pytest.mark.parametrize("codec", REAL, ids=NAMES)
def test_flipped_bytes_never_do_worse_than_break_the_data(codec: int) -> None:
    rng = random.Random(codec)
    whole = wire.compressed(codec, rng.randbytes(200) + b'{"a":1},' * 300)
    for _ in range(2_000):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 3))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            found = len(decompressed(codec, memoryview(data), 10_000))
        except PoisonRecord:
            found = 0
        assert found <= 10_000


def test_snappy_is_read_in_one_block_in_several_and_in_streams_behind_each_other() -> None:
    data = random.Random(2).randbytes(100_000)
    one, several = bytes(snappy_encode(data, False)), bytes(snappy_encode(data))
    assert several.startswith(XERIAL)
    assert decompressed(SNAPPY, memoryview(one), 100_000) == data
    assert decompressed(SNAPPY, memoryview(several), 100_000) == data
    assert decompressed(SNAPPY, memoryview(several + several), 200_000) == data + data
    assert len(decompressed(SNAPPY, memoryview(XERIAL), 0)) == 0


@pytest.mark.parametrize("size", [-4, -1, 0, 1, 1 << 30, -(1 << 31)])
def test_blocks_of_snappy_whose_sizes_lie_are_broken(size: int) -> None:
    """A size of -4 leads back to itself: aiokafka's own reader would never come to an end."""
    assert reason_of(SNAPPY, XERIAL + struct.pack(">i", size)) == "undecodable"
    assert reason_of(SNAPPY, XERIAL + b"\0\0") == "undecodable"


def test_a_size_that_snappy_claims_is_not_believed() -> None:
    assert reason_of(SNAPPY, b"\xff\xff\xff\xff\x0f" + b"x" * 20) == "too_large"
    assert reason_of(SNAPPY, b"\xff" * 20) == "undecodable"


@pytest.mark.parametrize("codec", [NONE, 5, 6, 7])
def test_a_codec_nobody_knows_is_undecodable(codec: int) -> None:
    assert reason_of(codec, b"abc") == "undecodable"


@pytest.mark.parametrize("codec", [GZIP, LZ4, ZSTD])
def test_a_view_lives_on_when_it_is_disowned(codec: int) -> None:
    first = decompressed(codec, memoryview(wire.compressed(codec, b"a" * 100)), 100)
    disown()
    second = decompressed(codec, memoryview(wire.compressed(codec, b"b" * 100)), 100)
    assert (bytes(first), bytes(second)) == (b"a" * 100, b"b" * 100)


def test_a_large_view_needs_no_disowning() -> None:
    large = decompressed(ZSTD, memoryview(wire.compressed(ZSTD, b"a" * (KEPT_BYTES + 1))), 1 << 30)
    decompressed(ZSTD, memoryview(wire.compressed(ZSTD, b"b" * 100)), 100)
    assert large[:100] == b"a" * 100
