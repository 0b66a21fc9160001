"""The truth of a run, computed in numpy from the input topic alone; it shares no code with the worker.

Stream time of a partition is the largest event time so far, in the order of offsets. From it follows, event by event, what
was too late; of repeated ids the first accepted one counts. Of every window this gives what its final record must say (the
events before stream time passed its end and grace) and what its last record must say (all accepted events).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import orjson
from numpy.typing import NDArray

from tests.faults.judge.reader import Record

Ints = NDArray[np.int64]
Key = tuple[str, str, int]
# Topic, partition, offset.
Place = tuple[str, int, int]
PERCENTILES = {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p999": 999}
UNDECODABLE, FUTURE, LATE, TOO_LARGE = "undecodable", "future_timestamp", "late", "too_large"
# `limits.max_record_bytes` of every run: key, value, and headers with 8 bytes for each.
RECORD_BYTES = 65_536
NEVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Windows:
    """The window settings a run was made with, ms.

    Attributes:
        sizes, grace: as configured. keep: grace and corrections.
        future: what is stamped so far ahead of its own record's arrival can only have been planted. More than the worker is
            told to accept, because it looks at the clock later.
    """

    sizes: Mapping[str, int]
    grace: int
    keep: int
    future: int = 3_600_000

    @property
    def base(self) -> int:
        return min(self.sizes.values())


@dataclass(frozen=True, slots=True)
class Letter:
    """A record that must come out untouched, with this reason."""

    record: Record
    reason: str


@dataclass(frozen=True, slots=True)
class Events:
    """One partition of the input as columns, in the order of offsets; only what is an event and not of the future."""

    partition: int
    offsets: Ints
    modules: Ints
    times: Ints
    good: NDArray[np.bool_]
    latencies: NDArray[np.float64]
    identities: Ints
    invalid: tuple[Letter, ...]
    future: tuple[Letter, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """The exact figures of one window. `values` are its latencies, rising."""

    n: int
    failed: int
    mean: float
    values: NDArray[np.float64]


@dataclass(slots=True)
class Truth:
    """What must have come out.

    Attributes:
        last: what the newest record of each key says. finals: what its final record says.
        late, dead: what must stand in that topic, by where it came in.
        ledgers: consumed, applied, late, duplicate, invalid, future, forwarded; by topic and partition.
        forwarded: the values that must stand in the repartition topic, each so many times.
        partitions: of the input.
        ordered: whether it is known in which order each task took its events. If not, `finals` and `alerts` are not known.
        alerts: (rule, module) -> its transitions, as (status, start).
        system: (window, start) -> events, failures, smallest and largest latency.
    """

    last: dict[Key, Figures] = field(default_factory=dict)
    finals: dict[Key, Figures] = field(default_factory=dict)
    late: dict[Place, Letter] = field(default_factory=dict)
    dead: dict[Place, Letter] = field(default_factory=dict)
    ledgers: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    alerts: dict[tuple[str, str], list[tuple[str, int]]] = field(default_factory=dict)
    system: dict[tuple[str, int], tuple[int, int, float, float]] = field(default_factory=dict)
    forwarded: Counter[bytes] = field(default_factory=Counter)
    partitions: int = 0
    ordered: bool = True
    events: int = 0
    duplicates: int = 0


@dataclass(frozen=True, slots=True)
class AlertRule:
    """`error_rate > threshold` and at least `least` requests, for `hold` ms, over the windows of the smallest size."""

    name: str
    threshold: float
    least: int
    hold: int


def columns(
    records: Iterable[Record],
    names: dict[str, int],
    identities: dict[tuple[str, str], int],
    bad: Mapping[bytes, str],
    future_ms: int,
) -> Events:
    """The records of one partition as columns.

    Args:
        records: of one partition, in order.
        names: module -> number, added to.
        identities: module and event id -> number, added to.
        bad: values planted as bad records, and the reason each must get.
        future_ms: see `Windows.future`.
    """
    rows: list[tuple[int, int, int, bool, float, int]] = []
    invalid: list[Letter] = []
    future: list[Letter] = []
    partition = 0
    for record in records:
        partition = record.partition
        reason = TOO_LARGE if _size(record) > RECORD_BYTES else bad.get(record.value)
        if reason is None and not record.value.startswith(b"{"):
            reason = UNDECODABLE
        if reason is not None:
            (future if reason == FUTURE else invalid).append(Letter(record, reason))
            continue
        event = orjson.loads(record.value)
        if event["timestamp"] > record.timestamp_ms + future_ms:
            future.append(Letter(record, FUTURE))
            continue
        module = event["module_id"]
        identity = event.get("event_id")
        rows.append(
            (
                record.offset,
                names.setdefault(module, len(names)),
                event["timestamp"],
                event["success"],
                event["response_time_ms"],
                identities.setdefault((module, identity), len(identities)) if identity else -1,
            )
        )
    return Events(
        partition,
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.int64),
        np.array([row[3] for row in rows], np.bool_),
        np.array([row[4] for row in rows], np.float64),
        np.array([row[5] for row in rows], np.int64),
        tuple(invalid),
        tuple(future),
    )


def _size(record: Record) -> int:
    headers = sum(8 + len(name) + len(value or b"") for name, value in record.headers)
    return len(record.key) + len(record.value) + headers


def truth(
    records: list[Record],
    windows: Windows,
    rules: Iterable[AlertRule],
    bad: Mapping[bytes, str],
    *,
    topic: str,
    closed: bool,
) -> Truth:
    """What a run over these records must have published.

    Args:
        records: the whole input topic, or the repartition topic where every event comes that way.
        windows: as the worker was configured.
        rules: as the worker was configured.
        bad: values planted as bad records, and the reason each must get.
        topic: whose records they are.
        closed: whether silence closed every window in the end; else only what stream time passed is final.
    """
    names: dict[str, int] = {}
    identities: dict[tuple[str, str], int] = {}
    result = Truth()
    rules = tuple(rules)
    for found in by_partition(records).values():
        events = columns(found, names, identities, bad, windows.future)
        late = _partition(result, events, topic, windows, rules, list(names), closed=closed)
        result.late |= {(topic, r.partition, r.offset): Letter(r, LATE) for r in found if r.offset in late}
    _system(result)
    return result


def by_partition(records: Iterable[Record]) -> dict[int, list[Record]]:
    """The records of each partition, by its number."""
    found: dict[int, list[Record]] = {}
    for record in records:
        found.setdefault(record.partition, []).append(record)
    return dict(sorted(found.items()))


def first_of_each(events: Events, accepted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of the accepted events, those whose id is new, and all without one."""
    judged = np.flatnonzero(accepted & (events.identities >= 0))
    _, first = np.unique(events.identities[judged], return_index=True)
    repeated = np.ones(judged.size, np.bool_)
    repeated[first] = False
    kept = accepted.copy()
    kept[judged[repeated]] = False
    return kept


def _partition(
    result: Truth,
    events: Events,
    topic: str,
    windows: Windows,
    rules: tuple[AlertRule, ...],
    names: list[str],
    *,
    closed: bool,
) -> set[int]:
    """Add what one partition must have given; answers the offsets of its late events."""
    streams = np.maximum.accumulate(events.times) if events.times.size else events.times
    late = events.times - events.times % windows.base + windows.base + windows.keep <= streams
    accepted = first_of_each(events, ~late)
    letters = (*events.invalid, *events.future)
    result.dead |= {(topic, events.partition, letter.record.offset): letter for letter in letters}
    applied, dropped = int(np.count_nonzero(accepted)), int(np.count_nonzero(late))
    duplicates = len(events.times) - applied - dropped
    total = len(events.times) + len(letters)
    result.ledgers[topic, events.partition] = [
        *(total, applied, dropped, duplicates, len(events.invalid), len(events.future), 0)
    ]
    result.events += total
    result.duplicates += duplicates
    end = NEVER if closed or not streams.size else int(streams[-1])
    for name, size in windows.sizes.items():
        ends = events.times - events.times % size + size
        result.last.update(figures(events, accepted, name, size, names))
        in_time = accepted & (streams < ends + windows.grace)
        finals = figures(events, in_time, name, size, names)
        result.finals.update((key, said) for key, said in finals.items() if key[2] + size + windows.grace <= end)
        if size == windows.base:
            until = int(streams[-1]) + windows.keep if closed and streams.size else end - windows.grace
            for rule in rules:
                result.alerts.update(_transitions(rule, finals, size, until))
    return set(events.offsets[late].tolist())


def figures(events: Events, chosen: NDArray[np.bool_], name: str, size: int, names: list[str]) -> dict[Key, Figures]:
    """The exact figures of every window of one size over the chosen events."""
    modules, latencies, good = events.modules[chosen], events.latencies[chosen], events.good[chosen]
    if not modules.size:
        return {}
    starts = events.times[chosen]
    starts -= starts % size
    order = np.lexsort((latencies, starts, modules))
    modules, starts, latencies, good = modules[order], starts[order], latencies[order], good[order]
    changes = np.flatnonzero((np.diff(modules) != 0) | (np.diff(starts) != 0)) + 1
    lows = np.concatenate(([0], changes))
    highs = np.concatenate((changes, [modules.size]))
    failures = np.add.reduceat(~good, lows, dtype=np.int64)
    found: dict[Key, Figures] = {}
    for low, high, failed in zip(lows.tolist(), highs.tolist(), failures.tolist(), strict=True):
        values = latencies[low:high]
        key = names[int(modules[low])], name, int(starts[low])
        found[key] = Figures(high - low, failed, float(values.mean()), values)
    return found


def _transitions(
    rule: AlertRule, finals: Mapping[Key, Figures], size: int, until: int
) -> Iterator[tuple[tuple[str, str], list[tuple[str, int]]]]:
    """What the rule must publish for each module: a window without a record is one in which it does not hold.

    A transition says the start of the first window in which the condition held.
    """
    by_module: dict[str, dict[int, Figures]] = {}
    for (module, _, start), said_of in finals.items():
        by_module.setdefault(module, {})[start + size] = said_of
    for module, ticks in by_module.items():
        said: list[tuple[str, int]] = []
        since, status = 0, "resolved"
        for tick in sorted({*ticks, *(tick + size for tick in ticks)}):
            if tick > until:
                break
            seen = ticks.get(tick)
            holds = seen is not None and seen.n >= rule.least and seen.failed / seen.n > rule.threshold
            if holds and status == "resolved":
                since, status = tick, "firing" if rule.hold == 0 else "pending"
                said.append((status, since - size))
            elif holds and status == "pending" and tick - since >= rule.hold:
                status = "firing"
                said.append((status, since - size))
            elif not holds and status != "resolved":
                status = "resolved"
                said.append((status, since - size))
        if said:
            yield (rule.name, module), said


def _system(result: Truth) -> None:
    for (_, window, start), said in result.last.items():
        n, failed, low, high = result.system.get((window, start), (0, 0, np.inf, -np.inf))
        result.system[window, start] = (
            n + said.n,
            failed + said.failed,
            min(low, float(said.values[0])),
            max(high, float(said.values[-1])),
        )
