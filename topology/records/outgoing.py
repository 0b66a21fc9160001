"""Records packed into batches for aiokafka's producer: in order, each batch as full as its topic allows.

aiokafka writes names of headers as text. A record with names that are not UTF-8 gets a batch of its own, made here, so that its
letter has the bytes it came with.
"""

import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from aiokafka.codec import lz4_encode
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.util import calc_crc32c

from pipeline.outputs import Header, RawName, name_bytes
from pipeline.record_wire import framed, tail_of
from topology.records.decompress import LZ4, NONE

# A Kafka batch is written and read whole; broker and topics take 1 MiB by default.
MAX_BATCH_BYTES = 900_000
# A batch's header, and the numbers in front of the parts of a record and of each of its headers, at most.
FRAME_BYTES = 61 + 36
HEADER_BYTES = 10
# BaseOffset, Length, LeaderEpoch, Magic, CRC; Attributes, LastOffsetDelta, FirstTimestamp, MaxTimestamp, ProducerId,
# ProducerEpoch, BaseSequence, Count
_HEAD, _REST = struct.Struct(">qiibI"), struct.Struct(">hiqqqhii")
_MAGIC, _TRANSACTIONAL = 2, 0x10
_LENGTH_OF = 12
# What a batch has besides its records.
BATCH_HEAD_BYTES = _HEAD.size + _REST.size


class Record(NamedTuple):
    """A record to be written. It has no timestamp of its own: retention counts from when it is written."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()

    @property
    def most_bytes(self) -> int:
        """What a batch of this record alone has at most."""
        return len(self.key or b"") + len(self.value or b"") + size_of_headers(self.headers) + FRAME_BYTES


def size_of_headers(headers: Iterable[Header]) -> int:
    """What they have at most in a batch."""
    return sum(len(name_bytes(name)) + len(value or b"") + HEADER_BYTES for name, value in headers)


class Builder(Protocol):
    """What the accumulator of aiokafka's producer wants of a batch."""

    def record_count(self) -> int:
        """How many records."""

    def size(self) -> int:
        """Bytes, without compression."""

    def close(self) -> None:
        """No more records come."""


def batches_of(records: Iterable[Record], most_bytes: int, *, codec: int = NONE) -> Iterator[Builder]:
    """Closed batches of a transaction, of at most so many bytes before compression; a larger record has one to itself.

    Args:
        records: in order.
        most_bytes: of a batch.
        codec: `NONE` or `LZ4`.
    """
    batch: BatchBuilder | None = None
    for record in records:
        raw = any(isinstance(name, RawName) for name, _ in record.headers)
        if not raw and batch is not None and _append(batch, record):
            continue
        if batch is not None:
            batch.close()
            yield batch
            batch = None
        if raw:
            yield EncodedBatch.of(framed(tail_of(*record), 0), 1, codec)
        else:
            batch = BatchBuilder(most_bytes, codec, is_transactional=1)
            _append(batch, record)
    if batch is not None:
        batch.close()
        yield batch


def _append(batch: BatchBuilder, record: Record) -> bool:
    """Whether it fitted; the first one always does."""
    key, value, headers = record
    return batch.append(key=key, value=value, headers=list(headers), timestamp=None) is not None


class EncodedBatch:
    """A batch of records that are encoded already; the methods are those of aiokafka's builder."""

    def __init__(self, data: bytearray, count: int, codec: int = NONE) -> None:
        """Close it at once.

        Args:
            data: room for the head, and records of format v2 with offsets that count up from 0 and the timestamp of the batch.
            count: how many records.
            codec: what they are compressed with.
        """
        self._data = data
        self._count = count
        self._attributes = _TRANSACTIONAL | codec
        self._stamp = time.time_ns() // 1_000_000
        self._producer = (-1, -1, -1)

    @classmethod
    def of(cls, records: bytes, count: int, codec: int = NONE) -> "EncodedBatch":
        """A batch of these records, compressed here: with `NONE` or `LZ4`."""
        return cls(bytearray(BATCH_HEAD_BYTES) + (lz4_encode(records) if codec == LZ4 else records), count, codec)

    def record_count(self) -> int:
        """How many records."""
        return self._count

    def size(self) -> int:
        """Bytes, as it is sent."""
        return len(self._data)

    def closed(self) -> bool:
        """Nothing can be added."""
        return True

    def close(self) -> None:
        """It is closed."""

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer = (producer_id, producer_epoch, base_sequence)

    def _build(self) -> bytearray:
        last, stamp = self._count - 1, self._stamp
        _REST.pack_into(self._data, _HEAD.size, self._attributes, last, stamp, stamp, *self._producer, self._count)
        crc = calc_crc32c(memoryview(self._data)[_HEAD.size :])
        _HEAD.pack_into(self._data, 0, 0, len(self._data) - _LENGTH_OF, -1, _MAGIC, crc)
        return self._data
