"""An independent truth: exact figures of every window, computed from a file of events, against published records.

    python tests/truth.py EVENTS.jsonl[.gz] METRICS.jsonl[.gz] [--partitions N] [--windows 30s,1m] [--grace 10s] [...]

It shares no code with the worker: plain loops, exact sums and sorted values. Without `--partitions` no event is taken
for late; with it, the stream time of each partition is followed in the order of the file, the partition being the one
Kafka's default partitioner gives the module's id. Exit code 1 on any difference, or when nothing was compared.
"""

import argparse
import gzip
import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
WINDOWS = "30s,1m,5m,15m,1h,1d"
PER_MILLE = {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p999": 999}
GAUGES = ("memory_bytes", "cpu_percent", "goroutines", "db_connections")
PERCENTILE_ERROR = 0.01
# Values, their logarithms and powers are rounded: a bin's edge may be missed by this much.
ROUNDING = 1e-9

Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it stands in the file."""

    module_id: str
    timestamp: int
    success: bool
    response_time_ms: float
    event_id: str | None
    gauges: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Lateness:
    """When an event is too late: its pane's end plus the allowance is not after the partition's stream time."""

    partitions: int
    pane_ms: int
    allowance_ms: int


@dataclass(slots=True)
class Kept:
    """The events that count, and how many do not."""

    events: list[Event] = field(default_factory=list)
    duplicates: int = 0
    late: int = 0


@dataclass(slots=True)
class Comparison:
    """What the comparison of truth and records found."""

    windows: int = 0
    worst_percentile_error: float = 0.0
    mismatches: list[str] = field(default_factory=list)


def duration_ms(text: str) -> int:
    """Return a duration such as `30s`, `10m` or `0` in milliseconds."""
    digits = text.rstrip("hmsd")
    return int(digits) * UNITS_MS[text[len(digits) :] or "ms"]


def murmur2(data: bytes) -> int:
    """Return the 32-bit hash Kafka's producers take of a record key."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        h = h * m & mask ^ (k ^ k >> 24) * m & mask
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def partition_of(module_id: str, partitions: int) -> int:
    """Return the partition of a module's events when the record key is its id."""
    return (murmur2(module_id.encode()) & 0x7FFFFFFF) % partitions


def read_lines(path: str) -> Iterator[Any]:
    """Yield the JSON documents of a file, one a line."""
    with gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else Path(path).open(encoding="utf-8") as file:
        yield from (json.loads(line) for line in file if line.strip())


def event_of(record: dict[str, Any]) -> Event:
    """Return one line of the events file as an event."""
    when = record["timestamp"]
    if isinstance(when, str):
        when = (datetime.fromisoformat(when.upper()) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    gauges = tuple(record.get(name) for name in GAUGES)
    identity = record.get("event_id")
    return Event(record["module_id"], when, record["success"], float(record["response_time_ms"]), identity, gauges)


def keep(events: Iterable[Event], lateness: Lateness | None = None) -> Kept:
    """Leave out late events and repeated event ids of a module; the first in the order of the events stays."""
    kept = Kept()
    seen: set[tuple[str, str]] = set()
    stream_time: dict[int, int] = {}
    for event in events:
        if lateness is not None:
            partition = partition_of(event.module_id, lateness.partitions)
            now = stream_time[partition] = max(stream_time.get(partition, 0), event.timestamp)
            pane_end = event.timestamp - event.timestamp % lateness.pane_ms + lateness.pane_ms
            if pane_end + lateness.allowance_ms <= now:
                kept.late += 1
                continue
        if event.event_id:  # an empty id is none
            if (event.module_id, event.event_id) in seen:
                kept.duplicates += 1
                continue
            seen.add((event.module_id, event.event_id))
        kept.events.append(event)
    return kept


def windows_of(events: Iterable[Event], sizes: Iterable[str]) -> Iterator[tuple[Key, list[Event]]]:
    """Yield the events of every module, window size and window start, in their order."""
    for size in sizes:
        size_ms = duration_ms(size)
        groups: dict[Key, list[Event]] = defaultdict(list)
        for event in events:
            groups[event.module_id, size, event.timestamp - event.timestamp % size_ms].append(event)
        yield from groups.items()


def figures(events: list[Event], size_ms: int, start: int) -> dict[str, Any]:
    """Return every figure of one window that the contract defines exactly, under the record's field names."""
    total, good = len(events), sum(event.success for event in events)
    values = np.sort(np.array([event.response_time_ms for event in events]))
    mean = math.fsum(values) / total
    exact: dict[str, Any] = {
        "window_end": start + size_ms,
        "total_requests": total,
        "successful_requests": good,
        "failed_requests": total - good,
        "success_rate": good / total,
        "error_rate": (total - good) / total,
        "throughput_rps": total * 1000 / size_ms,
        "min": float(values[0]),
        "max": float(values[-1]),
        "avg": mean,
        "stddev": float(np.sqrt(np.mean((values - mean) ** 2))),
    }
    exact |= {name: float(values[q * (total - 1) // 1000]) for name, q in PER_MILLE.items()}
    by_time = sorted(events, key=lambda event: event.timestamp)  # stable: of equal times the later in the file is last
    for at, name in enumerate(GAUGES):
        sent = [event.gauges[at] for event in by_time if event.gauges[at] is not None]
        exact[name] = sent[-1] if sent else None
        if name == "cpu_percent":
            exact["cpu_percent_avg"] = math.fsum(value or 0.0 for value in sent) / len(sent) if sent else None
    return exact


def percentile_error(found: float, true: float) -> float:
    """Return the relative error of a percentile."""
    return abs(found - true) / true if true else (0.0 if found == 0 else math.inf)


def differs(name: str, found: Any, true: Any) -> bool:
    """Tell whether a record's figure is not the true one, within what the contract allows for it."""
    if found is None or true is None:
        return found is not true
    if name in PER_MILLE:
        return not percentile_error(found, true) <= PERCENTILE_ERROR + ROUNDING
    if name == "stddev":
        return not math.isclose(found, true, rel_tol=1e-6, abs_tol=1e-6)
    if name in {"avg", "cpu_percent_avg", "throughput_rps", "success_rate", "error_rate"}:
        return not math.isclose(found, true, rel_tol=1e-9, abs_tol=1e-12)
    return bool(found != true)


def compare(events: list[Event], records: Iterable[dict[str, Any]], sizes: list[str]) -> Comparison:
    """Compare the last record of every key with the truth: no window missing, none too many, no figure wrong."""
    last = {(record["module_id"], record["window"], record["window_start"]): record for record in records}
    result = Comparison()
    for key, members in windows_of(events, sizes):
        record = last.pop(key, None)
        if record is None:
            result.mismatches.append(f"{key}: no record, {len(members)} events")
            continue
        result.windows += 1
        found = record | record["response_time_ms"]
        for name, true in figures(members, duration_ms(key[1]), key[2]).items():
            if differs(name, found[name], true):
                result.mismatches.append(f"{key}: {name} is {found[name]}, truly {true}")
            elif name in PER_MILLE:
                error = percentile_error(found[name], true)
                result.worst_percentile_error = max(result.worst_percentile_error, error)
    result.mismatches += [f"{key}: a record without events" for key in last]
    return result


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison of two files, print what it found, and return the exit code."""
    parser = argparse.ArgumentParser(description="Compare published module metrics with the truth of the events.")
    parser.add_argument("events", help="JSON lines of ModuleLogEvents, plain or .gz, in the order they were published")
    parser.add_argument("metrics", help="JSON lines of ModuleMetrics, in the order of their offsets")
    parser.add_argument("--windows", default=WINDOWS, help="window sizes, the smallest first (default: %(default)s)")
    parser.add_argument("--partitions", type=int, help="model late events over this many partitions (default: none)")
    parser.add_argument("--grace", default="10s", help="default: %(default)s")
    parser.add_argument("--corrections", default="10m", help="default: %(default)s")
    parser.add_argument("--show", type=int, default=20, help="differences to print (default: %(default)s)")
    options = parser.parse_args(arguments)
    sizes = options.windows.split(",")
    allowance = duration_ms(options.grace) + duration_ms(options.corrections)
    lateness = Lateness(options.partitions, duration_ms(sizes[0]), allowance) if options.partitions else None
    kept = keep(map(event_of, read_lines(options.events)), lateness)
    result = compare(kept.events, read_lines(options.metrics), sizes)
    print(f"events {len(kept.events)} counted, {kept.duplicates} duplicate, {kept.late} late")
    print(f"windows compared {result.windows}, worst percentile error {result.worst_percentile_error:.6%}")
    print(f"mismatches {len(result.mismatches)}")
    print(*result.mismatches[: options.show], sep="\n", end="\n" if result.mismatches else "")
    return 1 if result.mismatches or not result.windows else 0


if __name__ == "__main__":
    sys.exit(main())
