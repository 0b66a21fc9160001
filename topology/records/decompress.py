"""Kafka's codecs, to at most so many bytes whatever the data makes of itself: a batch of 48 KiB may hold 1.5 GiB.

aiokafka's own functions decompress without a bound, and copy what they have made. Here a thread decompresses into a buffer of its
own, which grows until the data fits or the bound is reached; the caller copies what is to stay.
"""

import struct
import threading
from collections.abc import Callable, Iterator

import cramjam

from schemas.errors import PoisonRecord

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)

# A thread keeps a buffer of this size at most, which is enough for every usual batch; larger ones are made when needed.
KEPT_BYTES = 16 << 20
_FIRST_BYTES = 1 << 20
_GROWTH = 4
# What Rust's writer says when the output is full: the only way to tell a bomb from broken data.
_FULL = "failed to write whole buffer"
# Java's SnappyOutputStream: a header of 16 bytes, then blocks, each behind its size.
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16
_BLOCK = struct.Struct(">i")

_own = threading.local()
_INTO: dict[int, Callable[[memoryview, memoryview], int]] = {
    GZIP: cramjam.gzip.decompress_into,
    LZ4: cramjam.lz4.decompress_into,
    ZSTD: cramjam.zstd.decompress_into,
}


def decompressed(codec: int, data: memoryview, most_bytes: int) -> memoryview:
    """Decompress into this thread's buffer.

    Args:
        codec: Kafka's number of it.
        data: a whole compressed block.
        most_bytes: how many bytes may come out.

    Returns:
        A view of the buffer, good until this thread decompresses again, or for as long as it is held after `disown`.

    Raises:
        PoisonRecord: `too_large`, more comes out; `undecodable`, nothing does.
    """
    try:
        if codec == SNAPPY:
            return _snappy(data, most_bytes)
        if codec in _INTO:
            return _stream(_INTO[codec], data, most_bytes)
    except cramjam.DecompressionError as error:
        raise PoisonRecord("undecodable", f"the compressed data is broken ({error})") from error
    raise PoisonRecord("undecodable", f"the codec {codec} is not known")


def disown() -> None:
    """Let the newest view live on: this thread decompresses into another buffer from now on."""
    if hasattr(_own, "buffer"):
        del _own.buffer


def _stream(into: Callable[[memoryview, memoryview], int], data: memoryview, most_bytes: int) -> memoryview:
    """A format that does not reliably say its size: try, and try again with more room."""
    if most_bytes <= 0:
        raise _too_large(most_bytes)
    size = min(len(_kept()), most_bytes)
    while True:
        buffer = memoryview(_buffer(size))[:size]
        try:
            return buffer[: into(data, buffer)]
        except cramjam.DecompressionError as error:
            if str(error) != _FULL:
                raise
            if size == most_bytes:
                raise _too_large(most_bytes) from error
        size = min(size * _GROWTH, most_bytes)


def _snappy(data: memoryview, most_bytes: int) -> memoryview:
    """A format that says its size at the beginning, in blocks or in one."""
    blocks = list(_xerial_blocks(data)) if data[: len(_XERIAL)] == _XERIAL else [data]
    sizes = [cramjam.snappy.decompress_raw_len(block) for block in blocks]
    if sum(sizes) > most_bytes:
        raise _too_large(most_bytes)
    buffer, at = memoryview(_buffer(sum(sizes))), 0
    for block, size in zip(blocks, sizes, strict=True):
        at += cramjam.snappy.decompress_raw_into(block, buffer[at : at + size]) if size else 0
    return buffer[:at]


def _xerial_blocks(data: memoryview) -> Iterator[memoryview]:
    at = _XERIAL_HEADER_BYTES
    while at < len(data):
        if data[at : at + len(_XERIAL)] == _XERIAL:  # one stream behind another
            at += _XERIAL_HEADER_BYTES
            continue
        size = _BLOCK.unpack_from(data, at)[0] if at + _BLOCK.size <= len(data) else -1
        at += _BLOCK.size
        if not 0 < size <= len(data) - at:
            raise PoisonRecord("undecodable", "the compressed data is broken (a block of snappy ends elsewhere)")
        yield data[at : at + size]
        at += size


def _kept() -> bytearray:
    if not hasattr(_own, "buffer"):
        _own.buffer = bytearray(_FIRST_BYTES)
    buffer: bytearray = _own.buffer
    return buffer


def _buffer(size: int) -> bytearray:
    """Room for so many bytes: this thread's buffer, made larger within its bound, or one for this once."""
    if size <= len(_kept()):
        return _kept()
    made = bytearray(size)
    if size <= KEPT_BYTES:
        _own.buffer = made
    return made


def _too_large(most_bytes: int) -> PoisonRecord:
    return PoisonRecord("too_large", f"it decompresses to more than {most_bytes} bytes")
