"""Batches sent as they are, and headers read as they are: what no client would write, and what other clients cannot read.

Clients hold header names as text, check what they send, and choose its compression; Kafka itself takes any bytes.
"""

import socket
import struct

from topology.devbroker.handshake import read_exactly, split_address

# The first version that takes zstd.
_PRODUCE, _VERSION = 0, 7
_FETCH, _FETCH_VERSION = 1, 4
_TIMEOUT_S = 60
_RECORDS_AT = 61


def produce(servers: str, topic: str, partition: int, built: bytes) -> int:
    """Append a batch to a partition, acknowledged; answers its first offset.

    Raises:
        RuntimeError: the broker refused it.
    """
    name = topic.encode()
    body = (
        struct.pack(">hhihh", _PRODUCE, _VERSION, 1, -1, -1)
        + struct.pack(">hi", -1, _TIMEOUT_S * 1_000)
        + struct.pack(">ih", 1, len(name))
        + name
        + struct.pack(">iii", 1, partition, len(built))
        + built
    )
    with socket.create_connection(split_address(servers.split(",", maxsplit=1)[0]), timeout=_TIMEOUT_S) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        answer = read_exactly(connection, struct.unpack(">i", read_exactly(connection, 4))[0])
    # Correlation id, one topic by its name, one partition: its number, the error, the base offset.
    at = 4 + 4 + 2 + len(name) + 4 + 4
    error, offset = struct.unpack_from(">hq", answer, at)
    if error:
        raise RuntimeError(f"the broker refused the batch with error {error}")
    return int(offset)


def headers(servers: str, topic: str, partition: int, offset: int) -> tuple[tuple[bytes, bytes | None], ...]:
    """The headers of one record of an uncompressed batch, their names as the bytes they are."""
    name = topic.encode()
    body = (
        struct.pack(">hhih", _FETCH, _FETCH_VERSION, 1, -1)
        # No replica, wait at most so long for one byte, at most so many bytes, uncommitted ones too.
        + struct.pack(">iiiib", -1, 1_000, 1, 1 << 24, 0)
        + struct.pack(">ih", 1, len(name))
        + name
        + struct.pack(">iiqi", 1, partition, offset, 1 << 24)
    )
    with socket.create_connection(split_address(servers.split(",", maxsplit=1)[0]), timeout=_TIMEOUT_S) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        answer = read_exactly(connection, struct.unpack(">i", read_exactly(connection, 4))[0])
    # Correlation id, throttle time, one topic by its name, one partition: its number, the error, two offsets, aborted ones.
    at = 4 + 4 + 4 + 2 + len(name) + 4 + 4
    error, _, _, aborted = struct.unpack_from(">hqqi", answer, at)
    if error:
        raise RuntimeError(f"the broker refused the fetch with error {error}")
    at += 22 + 16 * max(aborted, 0) + 4
    base, records = struct.unpack_from(">q", answer, at)[0], answer[at + _RECORDS_AT :]
    return _Records(records).headers_of(offset - base)


class _Records:
    """The records part of a batch, read from its beginning."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def headers_of(self, delta: int) -> tuple[tuple[bytes, bytes | None], ...]:
        while True:
            length = self._number()
            end = self._at + length
            self._at += 1  # attributes
            self._number()  # the timestamp's delta
            if self._number() == delta:
                self._text(), self._text()
                return tuple((self._text() or b"", self._text()) for _ in range(self._number()))
            self._at = end

    def _number(self) -> int:
        """A zigzag varint."""
        found = shift = 0
        while True:
            byte = self._data[self._at]
            self._at += 1
            found |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return (found >> 1) ^ -(found & 1)
            shift += 7

    def _text(self) -> bytes | None:
        length = self._number()
        if length < 0:
            return None
        self._at += length
        return self._data[self._at - length : self._at]
