"""Record batches and message sets made by hand, byte by byte: what no client would write, and what must be written exactly so.

Shares no code with the product or with aiokafka's builders, but for the codecs and the checksum.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from zlib import crc32

import cramjam
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.record.util import calc_crc32c

RawHeaders = Sequence[tuple[bytes, bytes | None]]
NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
CODECS = {"none": NONE, "gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}
HEADER_BYTES = 61
LOG_APPEND_TIME, TRANSACTIONAL, CONTROL = 8, 16, 32
_HEADER = struct.Struct(">qiibIhiqqqhii")
_CRC_AT, _CRC_OF = 17, 21
ABORT, COMMIT = 0, 1
_ENCODERS = {GZIP: gzip_encode, SNAPPY: snappy_encode, LZ4: lz4_encode, ZSTD: zstd_encode}


class Rec(NamedTuple):
    """What a record holds; offset and timestamp are absolute."""

    offset: int
    stamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[bytes, bytes | None], ...] = ()

    @property
    def size(self) -> int:
        """Key, value, and headers with 8 bytes for each."""
        own = sum(8 + len(name) + len(value or b"") for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + own


def varint(number: int) -> bytes:
    """A zigzag number; one beyond 64 bits comes around at the other end, as it does in Java."""
    number = (number + (1 << 63)) % (1 << 64) - (1 << 63)
    value = (number << 1) ^ (number >> 63)
    value &= (1 << 64) - 1
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def nullable(data: bytes | None) -> bytes:
    """A field behind its size."""
    return varint(-1) if data is None else varint(len(data)) + data


def record(delta: int, stamp_delta: int, key: bytes | None, value: bytes | None, headers: RawHeaders = ()) -> bytes:
    """One record of format v2."""
    body = b"\0" + varint(stamp_delta) + varint(delta) + nullable(key) + nullable(value) + varint(len(headers))
    body += b"".join(nullable(name) + nullable(content) for name, content in headers)
    return varint(len(body)) + body


def compressed(codec: int, data: bytes) -> bytes:
    """The data as a batch of this codec holds it."""
    return bytes(_ENCODERS[codec](data)) if codec else data


def sealed(data: bytes) -> bytes:
    """A batch with length and checksum as its bytes are now."""
    data = data[:8] + struct.pack(">i", len(data) - 12) + data[12:]
    return data[:_CRC_AT] + struct.pack(">I", calc_crc32c(data[_CRC_OF:])) + data[_CRC_OF:]


def framed(
    body: bytes,
    *,
    base: int,
    count: int,
    last_delta: int,
    first_stamp: int = 0,
    max_stamp: int = 0,
    attributes: int = 0,
    producer_id: int = -1,
) -> bytes:
    """A batch of format v2 around its records, whatever they are."""
    head = _HEADER.pack(
        base,
        0,
        -1,
        2,
        0,
        attributes,
        last_delta,
        first_stamp,
        max_stamp,
        producer_id,
        0,
        0 if producer_id >= 0 else -1,
        count,
    )
    return sealed(head + body)


def batch(
    records: Sequence[Rec],
    codec: int = NONE,
    *,
    base: int | None = None,
    last: int | None = None,
    attributes: int = 0,
    producer_id: int = -1,
) -> bytes:
    """A batch of format v2 of these records.

    Args:
        records: at least one.
        codec: of the records.
        base, last: its first and last offset where they are not those of the records, as compaction leaves it.
        attributes: more bits of them.
        producer_id: of a transaction, or none.
    """
    base = records[0].offset if base is None else base
    first_stamp = records[0].stamp
    body = b"".join(
        record(one.offset - base, one.stamp - first_stamp, one.key, one.value, one.headers) for one in records
    )
    return framed(
        compressed(codec, body),
        base=base,
        count=len(records),
        last_delta=(records[-1].offset if last is None else last) - base,
        first_stamp=first_stamp,
        max_stamp=max(one.stamp for one in records),
        attributes=attributes | codec,
        producer_id=producer_id,
    )


def marker(offset: int, producer_id: int, kind: int) -> bytes:
    """What the broker writes at the end of a transaction."""
    ends = Rec(offset, 0, struct.pack(">hh", 0, kind), struct.pack(">hi", 0, 0))
    return batch([ends], attributes=CONTROL | TRANSACTIONAL, producer_id=producer_id)


def message(one: Rec, magic: int, attributes: int = 0) -> bytes:
    """One message of format v0 or v1, which knows no headers."""
    sizes = [
        b"\xff\xff\xff\xff" if data is None else struct.pack(">i", len(data)) + data for data in (one.key, one.value)
    ]
    body = struct.pack(">bb", magic, attributes) + (struct.pack(">q", one.stamp) if magic else b"") + b"".join(sizes)
    body = struct.pack(">I", crc32(body)) + body
    return struct.pack(">qi", one.offset, len(body)) + body


def message_set(records: Sequence[Rec], magic: int, codec: int = NONE, attributes: int = 0) -> bytes:
    """These records in format v0 or v1; compressed, they are in the value of one message."""
    if not codec:
        return b"".join(message(one, magic, attributes) for one in records)
    # Offsets within a v1 set count from 0.
    base = records[0].offset if magic else 0
    inner = b"".join(message(one._replace(offset=one.offset - base), magic) for one in records)
    outer = Rec(records[-1].offset, max(one.stamp for one in records), None, compressed(codec, inner))
    return message(outer, magic, codec | attributes)


def zstd_bomb(parts: Iterable[bytes]) -> bytes:
    """Compressed as they come: what they make together is nowhere in memory."""
    compressor = cramjam.zstd.Compressor(level=3)
    for part in parts:
        compressor.compress(part)
    return bytes(compressor.finish())


def bomb(sizes: Sequence[int], *, base: int = 0, at_ms: int = 0) -> bytes:
    """A zstd batch of records with values of so many zeros."""

    def parts() -> Iterable[bytes]:
        chunk = bytes(1 << 20)
        for delta, size in enumerate(sizes):
            head = b"\0" + varint(0) + varint(delta) + nullable(b"m") + varint(size)
            yield varint(len(head) + size + 1) + head
            for left in range(size, 0, -len(chunk)):
                yield chunk[:left]
            yield varint(0)

    n = len(sizes)
    return framed(
        zstd_bomb(parts()), base=base, count=n, last_delta=n - 1, first_stamp=at_ms, max_stamp=at_ms, attributes=ZSTD
    )
