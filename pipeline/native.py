"""The compiled part, where it was built (`native/`, docs/adr/0020): positions of records, and plain events as columns.

It decides nothing. What it does not know for sure it leaves to the Python path, which is complete without it; tests hold
one against the other. Called through ctypes; reading events leaves the interpreter's lock to other threads.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import I8, Bytes, Codes

LIBRARY = Path(__file__).with_name("libmodpulse_native.so")
ABI = 5
RECORD_FIELDS = 8
PLAIN, SUCCESS, HAS_ID, KEY_DIFFERS = 1, 2, 4, 8
_FAULTS = {
    -1: "it ends inside a record",
    -2: "the size of a record is not that of its parts",
    -3: "bytes are left behind the last record",
    -5: "offsets do not rise from 0 on",
}
_TOO_MANY_HEADERS = -4
# What a record has at most in front of its tail: its size, attributes, and differences of time and offset.
FRAME_BYTES = 12
# The names of the headers that say where a record came in, and as a rule the sizes in front of all its parts.
_TRACE_BYTES = 72 + 16

# Ids by slot (0: free), and the code of the pane of each.
IdSlots = tuple[NDArray[np.uint64], Codes]


class TooManyHeadersError(ValueError):
    """The records have more headers than asked for."""


class NativeLimits(ctypes.Structure):
    """What makes an event too large to be plain."""

    _fields_ = (
        ("record_bytes", ctypes.c_int64),
        ("labels", ctypes.c_int64),
        ("label_key_chars", ctypes.c_int64),
        ("label_value_chars", ctypes.c_int64),
    )


@dataclass(frozen=True, slots=True)
class PlainEvents:
    """One row per record; a row means something only where `flags` holds `PLAIN`.

    Attributes:
        flags: `PLAIN`, `SUCCESS`, `HAS_ID`, `KEY_DIFFERS`.
        tokens: index into `modules`, the different module ids in the order they come.
        times: epoch ms. response_ms: finite, >= 0. gauges: shape (3, n), -1 where not sent. cpu: NaN where not sent.
        ids: XXH3 of the event id.
    """

    flags: NDArray[np.uint8]
    tokens: I8
    times: I8
    response_ms: NDArray[np.float64]
    gauges: I8
    cpu: NDArray[np.float64]
    ids: NDArray[np.uint64]
    modules: list[bytes]


class Native:
    """The functions of the library."""

    def __init__(self, path: Path) -> None:
        # Short calls keep the interpreter's lock: to get it back from another thread may take 5 ms.
        held = ctypes.PyDLL(str(path))
        self._records = held.modpulse_records
        self._records.restype = ctypes.c_int64
        self._records.argtypes = (
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_int64,
            ctypes.c_size_t,
            ctypes.c_uint64,
            ctypes.c_void_p,
        )
        self._events = ctypes.CDLL(str(path)).modpulse_events
        self._events.restype = ctypes.c_int64
        self._events.argtypes = (
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_size_t,
            *[ctypes.c_void_p] * 4,
            ctypes.POINTER(NativeLimits),
            *[ctypes.c_void_p] * 8,
        )

        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        self._look_up = held.modpulse_ids_look_up
        self._look_up.argtypes = (pointer, pointer, size, pointer, size, pointer, size, pointer)
        self._insert = held.modpulse_ids_insert
        self._insert.argtypes = (pointer, pointer, size, pointer, pointer, size)
        self._move = held.modpulse_ids_move
        self._move.argtypes = (pointer, pointer, size, pointer, pointer, size)
        self._pack = held.modpulse_pack
        self._pack.argtypes = (pointer, size, size, pointer, pointer, size, pointer, size, pointer, pointer, size)
        self._frame = held.modpulse_frame
        self._frame.argtypes = (pointer, size, pointer, size, ctypes.c_int64, pointer, size)
        for function in (self._look_up, self._insert, self._move, self._pack, self._frame):
            function.restype = ctypes.c_int64

    def records(self, data: memoryview | bytes, base: int, count: int, most_headers: int) -> I8:
        """Where the records of an uncompressed batch lie (Kafka's record format v2).

        Args:
            data: the records, without the header of the batch.
            base: added to every position.
            count: how many there must be; a record has at least 7 bytes.
            most_headers: how many headers all of them may have together.

        Returns:
            Shape (`RECORD_FIELDS`, count): offset delta, timestamp delta, key, key size, value, value size, headers, size.
            A key or value of size -1 is a null. The size of a record is that of its key, its value, and its headers with 8
            bytes for each.

        Raises:
            TooManyHeadersError: there are more headers.
            ValueError: the bytes are not so many records, with offset deltas that rise from 0 on.
        """
        if not 0 <= count <= len(data):
            raise ValueError(f"{count} records in {len(data)} bytes")
        rows = np.empty((RECORD_FIELDS, count), np.int64)
        start = np.frombuffer(data, np.uint8).ctypes.data
        found = self._records(start, len(data), base, count, max(most_headers, 0), rows.ctypes.data)
        if found == _TOO_MANY_HEADERS:
            raise TooManyHeadersError(f"more than {most_headers} headers")
        if found != count:
            raise ValueError(_FAULTS.get(found, f"code {found}"))
        return rows

    def events(self, data: bytes, values: tuple[I8, I8], keys: tuple[I8, I8], limits: NativeLimits) -> PlainEvents:
        """Read the plain events among records.

        Args:
            data: what holds values and keys.
            values: starts and sizes; a size of -1 is a null.
            keys: likewise, of the same length.
            limits: what is larger is not plain.

        Raises:
            RuntimeError: the library failed; a bug.
        """
        spans = [np.ascontiguousarray(column, np.int64) for column in (*values, *keys)]
        count = spans[0].size
        if any(column.shape != (count,) for column in spans):
            raise ValueError("starts and sizes differ in length")
        flags, tokens, times = np.empty(count, np.uint8), np.empty(count, np.int64), np.empty(count, np.int64)
        response_ms, gauges, cpu = np.empty(count), np.empty((3, count), np.int64), np.empty(count)
        ids, modules = np.empty(count, np.uint64), np.empty((2, count), np.int64)
        columns: tuple[NDArray[Any], ...] = (flags, tokens, times, response_ms, gauges, cpu, ids, modules)
        found = self._events(
            data,
            len(data),
            count,
            *(column.ctypes.data for column in spans),
            ctypes.byref(limits),
            *(column.ctypes.data for column in columns),
        )
        _check(found)
        names = [data[start : start + size] for start, size in modules[:, :found].T.tolist()]
        return PlainEvents(flags, tokens, times, response_ms, gauges, cpu, ids, names)

    def look_up(self, table: IdSlots, panes: I8, ids: NDArray[np.uint64]) -> I8:
        """The pane end (ms) of each id in a table (`pipeline.ingest.dedup.IdTable`), -1 where it is not there.

        Args:
            table: the slots.
            panes: pane ends by code; every code in the table is below its length.
            ids: to be found.
        """
        ids, panes = np.ascontiguousarray(ids, np.uint64), np.ascontiguousarray(panes, np.int64)
        found = np.empty(ids.size, np.int64)
        wanted = ids.ctypes.data, ids.size, found.ctypes.data
        _check(self._look_up(*_slots_of(table), panes.ctypes.data, panes.size, *wanted))
        return found

    def insert(self, table: IdSlots, ids: NDArray[np.uint64], codes: Codes) -> int:
        """Put ids into a table that has room for them; answers how many were new. The last of equal ones stays."""
        ids, codes = np.ascontiguousarray(ids, np.uint64), np.ascontiguousarray(codes, np.uint32)
        if ids.shape != codes.shape:
            raise ValueError("ids and codes differ in length")
        return _check(self._insert(*_slots_of(table), ids.ctypes.data, codes.ctypes.data, ids.size))

    def move_ids(self, old: IdSlots, new: IdSlots) -> None:
        """Put everything of a table into another one that has room for it."""
        _check(self._move(*_slots_of(old), *_slots_of(new)))

    def pack(self, data: bytes, columns: I8, home: bytes, place: bytes, header_bytes: int = 0) -> tuple[Bytes, I8]:
        """Encode records for another partition (`pipeline.ingest.packed` says how).

        Args:
            data: what the positions are in.
            columns: shape (7, n): value, value size, key, key size, headers (-1: none), offset, timestamp.
            home: the key that the records get.
            place: the topic and partition they came from, with the slash before the offset.
            header_bytes: what their own headers have together, about.

        Returns:
            The tails, one after the other, and the size of each.

        Raises:
            RuntimeError: a position lies outside the data; a bug.
        """
        columns = np.ascontiguousarray(columns, np.int64)
        count = columns.shape[1]
        sizes = np.empty(count, np.int64)
        # Nearly always enough, and hardly more. Where it is not, the second call knows.
        digits = sum(len(str(int(column.max()))) for column in columns[5:]) if count else 0
        room = int(np.maximum(columns[[1, 3]], 0).sum()) + header_bytes
        room += count * (len(home) + len(place) + digits + _TRACE_BYTES)
        while True:
            tails = np.empty(room, np.uint8)
            wanted = sizes.ctypes.data, tails.ctypes.data, room
            found = _check(
                self._pack(data, len(data), count, columns.ctypes.data, home, len(home), place, len(place), *wanted)
            )
            if found <= room:
                return tails[:found], sizes
            room = found

    def frame(self, tails: Bytes, sizes: I8, first: int, records: Bytes) -> int:
        """Write what `pack` gave as records of one batch: all timestamps are that of the batch.

        Args:
            tails: one after the other.
            sizes: of each.
            first: the offset of the first one in its batch.
            records: where to write; `FRAME_BYTES` more than the tails are enough for each.

        Returns:
            How many bytes were written.

        Raises:
            RuntimeError: the sizes are not those of the tails, or there is not room enough; a bug.
        """
        tails, sizes = np.ascontiguousarray(tails, np.uint8), np.ascontiguousarray(sizes, np.int64)
        if records.dtype != np.uint8 or not records.flags.c_contiguous:
            raise ValueError("records are not written here")
        room = records.ctypes.data, records.size
        return _check(self._frame(tails.ctypes.data, tails.size, sizes.ctypes.data, sizes.size, first, *room))


def _slots_of(table: IdSlots) -> tuple[int, int, int]:
    ids, codes = table
    if ids.dtype != np.uint64 or codes.dtype != np.uint32 or ids.shape != codes.shape or ids.size & (ids.size - 1):
        raise ValueError("the arrays are no table of ids")
    if not (ids.flags.c_contiguous and codes.flags.c_contiguous and ids.size):
        raise ValueError("the arrays are no table of ids")
    return ids.ctypes.data, codes.ctypes.data, ids.size


def _check(answer: int) -> int:
    if answer < 0:
        raise RuntimeError(f"{LIBRARY.name} failed with code {answer}; go on with `native = off` and report it")
    return answer


@cache
def load_native(path: Path = LIBRARY) -> Native | None:
    """The library, or None where it was not built, or was built from other sources than these."""
    if not path.exists():
        return None
    return Native(path) if ctypes.CDLL(str(path)).modpulse_abi() == ABI else None
