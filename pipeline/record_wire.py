"""Kafka's record format v2 in Python: the parts of a record, read where they lie and written one behind the other."""

from collections.abc import Sequence

from pipeline.arrays import I8
from pipeline.outputs import Header, RawName, name_bytes

# Where the headers of a record stand whose format knows none.
NO_HEADERS = -1


class PlacedHeaders:
    """Headers by index, read from the bytes of their records only where somebody asks.

    Attributes:
        data: what the places are in.
        places: where the number of each record's headers stands, and the headers behind it; `NO_HEADERS` where it has none.
    """

    __slots__ = ("data", "places")

    def __init__(self, data: bytes, places: I8) -> None:
        self.data = data
        self.places = places

    def __getitem__(self, index: int, /) -> tuple[Header, ...]:
        place = int(self.places[index])
        return () if place == NO_HEADERS else FieldReader(self.data, place).headers()


class FieldReader:
    """A position in the bytes of a record whose parts are known to be right."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        """Begin at a position."""
        self._data = data
        self._at = at

    def varint(self) -> int:
        """A zigzag number."""
        value = shift = 0
        while True:
            octet = self._data[self._at]
            self._at += 1
            value |= (octet & 0x7F) << shift
            shift += 7
            if octet < 0x80:
                return (value >> 1) ^ -(value & 1)

    def field(self) -> bytes | None:
        """A nullable field."""
        size, start = self.varint(), self._at
        self._at += max(size, 0)
        return None if size < 0 else self._data[start : self._at]

    def headers(self) -> tuple[Header, ...]:
        """The number of headers, and so many of them."""
        return tuple((_name(self.field() or b""), self.field()) for _ in range(self.varint()))


def _name(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:  # it must not stop a worker
        return RawName(raw)


def varint(number: int) -> bytes:
    """A zigzag number of at most 64 bits."""
    value = (number << 1) ^ (number >> 63)
    if value < len(_SMALL):
        return _SMALL[value]
    body = bytearray()
    while value > 0x7F:
        body.append(value & 0x7F | 0x80)
        value >>= 7
    body.append(value)
    return bytes(body)


_SMALL = [bytes((value,)) for value in range(0x80)]


def header_bytes(headers: Sequence[Header]) -> bytes:
    """Headers, with their number in front."""
    parts = [varint(len(headers))]
    for name, value in headers:
        parts += _field(name_bytes(name))
        parts += _field(value)
    return b"".join(parts)


def tail_of(key: bytes | None, value: bytes | None, headers: Sequence[Header]) -> bytes:
    """A record without what depends on its place in a batch."""
    return b"".join((*_field(key), *_field(value), header_bytes(headers)))


def framed(tail: bytes, offset_delta: int) -> bytes:
    """A record with the timestamp of its batch, at a place in the batch."""
    delta = varint(offset_delta)
    return b"".join((varint(2 + len(delta) + len(tail)), b"\0\0", delta, tail))


def _field(field: bytes | None) -> tuple[bytes, bytes]:
    return (varint(len(field)), field) if field is not None else (varint(-1), b"")
