"""What the guard on speed compares the worker with: a fixed amount of work of the same kind, again and again.

It has the worker's shape and none of its code, so that it becomes neither faster nor slower with the worker, and the same
neighbours on the machine hurt both alike: one thread unpacks and scans pieces of JSON events ahead, mostly without the
interpreter's lock; the main loop decodes some of them and folds all in numpy. It asks no broker, for a broker's moods are no
measure. Do not improve it: bench/reference.json holds the worker's speed in units of this program.
"""

import asyncio
import zlib
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import uvloop

from bench.report.progress import Progress, Task

_PIECES, _RECORDS, _AHEAD = 6, 8_000, 4
# So many of a piece's events are decoded one by one.
_DECODED = 2_000
_SIZES_MS = (30_000, 60_000, 300_000)
_END_MS = 1_700_000_000_000


class Event(msgspec.Struct):
    """The members that are looked at."""

    module_id: str
    timestamp: int
    success: bool
    response_time_ms: float


_decode = msgspec.json.Decoder(Event).decode
_Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]
_Ints = np.ndarray[tuple[int], np.dtype[np.int64]]


def _packed() -> list[bytes]:
    """Pieces of events, compressed; the same in every run."""
    random = np.random.default_rng(1)
    found = []
    for piece in range(_PIECES):
        modules = random.integers(0, 500, _RECORDS).tolist()
        times = (_END_MS - random.integers(0, 300_000, _RECORDS)).tolist()
        took = np.round(random.lognormal(3.0, 1.0, _RECORDS), 3).tolist()
        lines = [
            b'{"module_id":"module-%05d","timestamp":%d,"success":%b,"response_time_ms":%.3f,"event_id":"%012x-%05d",'
            b'"memory_bytes":%d,"cpu_percent":%d.5,"goroutines":%d,"db_connections":%d}'
            % (module, at_ms, b"false" if n % 50 == 0 else b"true", ms, n, module, 10**6 + n, n % 99, n % 97, n % 13)
            for n, (module, at_ms, ms) in enumerate(zip(modules, times, took, strict=True), piece * _RECORDS)
        ]
        found.append(zlib.compress(b"\n".join(lines), 1))
    return found


def _scan(packed: bytes) -> tuple[bytes, _Ints, _Bytes]:
    """Unpack a piece, find its lines, and draw one byte from each."""
    raw = zlib.decompress(packed)
    zlib.crc32(raw)
    data = np.frombuffer(raw, np.uint8)
    ends = np.flatnonzero(data == 10)
    return raw, ends, data[ends - 2]


def _fold(raw: bytes, ends: _Ints, drawn: _Bytes, sums: dict[int, _Ints]) -> None:
    """Decode some events, and group all by window and number."""
    starts = [0, *(ends[: _DECODED - 1] + 1).tolist()]
    events = [_decode(raw[start:end]) for start, end in zip(starts, ends[:_DECODED].tolist(), strict=True)]
    times = np.fromiter((event.timestamp for event in events), np.int64, len(events))
    took = np.fromiter((event.response_time_ms for event in events), np.float64, len(events))
    bins = np.ceil(np.log(np.maximum(took, 1e-3)) * 50).astype(np.int64) + 1_024
    codes = (np.arange(ends.size) * 7_919 + drawn) % 509
    for size_ms in _SIZES_MS:
        panes = times // size_ms % 16
        order = np.argsort(codes, kind="stable")
        sums[size_ms] = sums.get(size_ms, np.zeros(1, np.int64)) + int(np.bincount(codes[order]).max())
        np.unique(panes << 24 | bins, return_counts=True)


async def _main() -> None:
    progress = Progress(Task.from_environment().events, step=1)
    packed, sums = _packed(), dict[int, _Ints]()
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as thread:
        ahead = [loop.run_in_executor(thread, _scan, packed[number]) for number in range(_AHEAD)]
        number = _AHEAD
        while True:
            raw, ends, drawn = await ahead.pop(0)
            ahead.append(loop.run_in_executor(thread, _scan, packed[number % _PIECES]))
            number += 1
            _fold(raw, ends, drawn, sums)
            progress.add(_RECORDS)
            await asyncio.sleep(0)


if __name__ == "__main__":
    uvloop.run(_main())
