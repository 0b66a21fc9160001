"""Where the records of a batch lie, in numpy: what `Native.records` does, for machines where it was not built.

Only the sizes of records are read one by one, for each tells where the next one begins. Their parts are then read together: the
timestamps of all, the keys of all, the first headers of all, and so on.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import I8
from pipeline.ingest.batch import HEADER_BYTES
from pipeline.native import RECORD_FIELDS, TooManyHeadersError

Octets = NDArray[np.uint8]
Mask = NDArray[np.bool_]
# Records with more headers are read by themselves: to go through all records for the sake of one costs more.
_TOGETHER = 64
_LAST_SHIFT = 63
_BEFORE_FIRST: I8 = np.array([-1], np.int64)
_BROKEN = "it ends inside a record, or the size of a record is not that of its parts"


class _Fields(NamedTuple):
    """A nullable field of several records: where it starts, its size (-1 is a null), where it ends, and which are broken."""

    start: I8
    size: I8
    end: I8
    broken: Mask


def find_records(data: memoryview | bytes, base: int, count: int, most_headers: int) -> I8:
    """See `Native.records`.

    Raises:
        TooManyHeadersError: there are more headers.
        ValueError: the bytes are not so many records.
    """
    if not 0 <= count <= len(data):
        raise ValueError(f"{count} records in {len(data)} bytes")
    octets = np.frombuffer(data, np.uint8)
    starts, ends = _records(data, count)
    # In front of the numbers stands an octet of attributes, none of which is in use.
    timestamps, at, broken = _numbers(octets, starts + 1)
    offsets, at, also = _numbers(octets, at)
    key = _fields(octets, at)
    value = _fields(octets, key.end)
    own, at, last = _numbers(octets, value.end)
    broken |= offsets <= np.concatenate((_BEFORE_FIRST, offsets[:-1]))
    broken |= also | key.broken | value.broken | last | (own < 0)
    # A count that lies must not overflow the sum.
    so_far = np.cumsum(np.where(broken, 0, np.minimum(own, max(len(data), most_headers + 1))))
    good, over = _first(broken), _first(so_far > max(most_headers, 0))
    until = min(good, over)
    header_bytes, at, broken = _headers(octets, at[:until], own[:until])
    if _first(broken | (at != ends[:until])) < until:
        raise ValueError(_BROKEN)
    if over < good:
        raise TooManyHeadersError(f"more than {most_headers} headers")
    if good < count:
        raise ValueError(_BROKEN)
    if (int(ends[-1]) if count else 0) != len(data):
        raise ValueError("bytes are left behind the last record")
    sizes = np.maximum(key.size, 0) + np.maximum(value.size, 0) + header_bytes
    columns = (offsets, timestamps, key.start + base, key.size, value.start + base, value.size, value.end + base, sizes)
    return np.stack(columns) if count else np.empty((RECORD_FIELDS, 0), np.int64)


def _records(data: memoryview | bytes, count: int) -> tuple[I8, I8]:
    """Where records begin, behind their sizes, and where they end; up to the first that does not lie within the bytes."""
    starts: list[int] = []
    ends: list[int] = []
    at, end = 0, len(data)
    for _ in range(count):
        size = shift = 0
        while at < end and shift <= _LAST_SHIFT:
            octet = data[at]
            at += 1
            size |= (octet & 0x7F) << shift
            if octet < 0x80:
                break
            shift += 7
        else:
            break
        start = at
        at += size >> 1
        if size & 1 or at > end:  # less than nothing, or more than there is
            break
        starts.append(start)
        ends.append(at)
    return np.array(starts, np.int64), np.array(ends, np.int64)


def largest_record(data: memoryview | bytes, count: int) -> int | None:
    """How many bytes the largest of these records has, if aiokafka may be asked for them.

    It takes the attributes of a record, which are an octet, for a number: None where that makes a difference, or where the sizes
    are not those of records.
    """
    at = largest = 0
    try:
        for _ in range(count):
            size = data[at]
            at += 1
            if size >= 0x80:
                octet = data[at]
                at += 1
                size = size & 0x7F | octet << 7
                if octet >= 0x80:  # 8 KiB and more
                    octet = data[at]
                    at += 1
                    size = size & 0x3FFF | octet << 14
                    if octet >= 0x80:
                        return None
            if data[at] >= 0x80:
                return None
            at += size >> 1
            if size > largest:
                largest = size
    except IndexError:
        return None
    return largest >> 1


def _numbers(octets: Octets, at: I8) -> tuple[I8, I8, Mask]:
    """Zigzag numbers at these places (https://protobuf.dev/programming-guides/encoding/#varints).

    Returns:
        The numbers, where each ends, and which are cut off or too long.
    """
    read = octets.take(at, mode="clip")
    broken = at >= octets.size
    value = (read & 0x7F).astype(np.uint64)
    end = at + 1
    more = np.flatnonzero(read & 0x80)
    for shift in range(7, _LAST_SHIFT + 1, 7):
        if not more.size:
            break
        read = octets.take(end[more], mode="clip")
        broken[more] |= end[more] >= octets.size
        value[more] |= (read & 0x7F).astype(np.uint64) << np.uint64(shift)
        end[more] += 1
        if shift == _LAST_SHIFT:
            broken[more] |= read > 1
        more = more[read >= 0x80]
    return (value >> np.uint64(1)).view(np.int64) ^ -(value & np.uint64(1)).view(np.int64), end, broken


def _fields(octets: Octets, at: I8) -> _Fields:
    size, start, broken = _numbers(octets, at)
    size = np.maximum(size, -1)
    broken |= size > octets.size - start
    return _Fields(start, size, start + np.where(broken, 0, np.maximum(size, 0)), broken)


def _headers(octets: Octets, at: I8, own: I8) -> tuple[I8, I8, Mask]:
    """The size of all headers of each record, where they end, and which are broken."""
    size, at, broken = own * HEADER_BYTES, at.copy(), np.zeros(own.size, np.bool_)
    for record in np.flatnonzero(own > _TOGETHER).tolist():
        size[record], at[record], broken[record] = _many_headers(octets, int(at[record]), int(own[record]))
    some = np.flatnonzero((own > 0) & (own <= _TOGETHER))
    for number in range(1, _TOGETHER + 1):
        if not some.size:
            break
        name = _fields(octets, at[some])
        value = _fields(octets, name.end)
        bad = name.broken | (name.size < 0) | value.broken
        size[some] += name.size + np.maximum(value.size, 0)
        at[some] = value.end
        broken[some] = bad
        some = some[~bad & (own[some] > number)]
    return size, at, broken


def _many_headers(octets: Octets, at: int, own: int) -> tuple[int, int, bool]:
    """The same of one record. Names and values take turns, so the sizes of all are found in one go through its bytes."""
    data, end = octets.data, octets.size
    total = own * HEADER_BYTES
    for field in range(2 * own):
        size = shift = 0
        while True:
            if at >= end or shift > _LAST_SHIFT:
                return total, at, True
            octet = data[at]
            at += 1
            size |= (octet & 0x7F) << shift
            if octet < 0x80:
                break
            shift += 7
        null = size & 1
        if size >> 64 or (null and not field & 1):  # a name is never null
            return total, at, True
        if not null:
            total += size >> 1
            at += size >> 1
            if at > end:
                return total, at, True
    return total, at, False


def _first(mask: Mask) -> int:
    """The index of the first that is true, or the length."""
    return int(mask.argmax()) if mask.any() else mask.size
