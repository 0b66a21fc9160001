"""Seeded synthetic traffic as a pure iterator: no clock, no broker. Same plan and start, same bytes.

Everything random is drawn for a chunk of events at once, always all of it, so that two plans which differ in one option
differ in nothing else.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson

from schemas.errors import ConfigError
from topology.traffic.bad_events import BAD_KINDS

EVENT, DUPLICATE, BAD = "event", "duplicate", "bad"

_CHUNK = 4_096
_BASE_ERROR_RATE = 0.004
_SLOW_SHARE, _SLOW_FACTOR = 0.01, 4.0
# A repetition follows its event within 64 events and 2 s, as a client's retry does: no window has closed in between.
_REPEAT_EVENTS, _REPEAT_S = 64, 2.0
_NAMES = (
    "checkout", "payments", "search", "catalog", "cart", "auth", "shipping", "inventory", "pricing", "mail",
    "gateway", "reports", "billing", "media", "reviews", "orders",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ErrorBurst:
    """Some modules fail for a while; times count from the start of the traffic, shares and rates are 0..1."""

    start_s: float
    duration_s: float
    module_share: float
    error_rate: float


@dataclass(frozen=True, slots=True)
class LatencyShift:
    """Some modules (all by default) get slower by a factor for a while."""

    start_s: float
    duration_s: float
    factor: float
    module_share: float = 1.0


@dataclass(frozen=True, slots=True)
class TrafficPlan:
    """What the traffic looks like.

    Attributes:
        rate: records per second of due time.
        modules: how many; the first ones have the most traffic.
        seed: of everything random.
        error_burst: when modules fail.
        latency_shift: when modules are slow.
        disorder_ms: an event's time lies up to this much before the moment it is due to be sent.
        duplicates: share of records that repeat an earlier event, byte for byte.
        bad: share of records that the worker must refuse.
        gauges: share of events that carry memory, CPU, goroutines and connections.
    """

    rate: float = 5_000.0
    modules: int = 40
    seed: int = 1
    error_burst: ErrorBurst | None = None
    latency_shift: LatencyShift | None = None
    disorder_ms: int = 0
    duplicates: float = 0.0
    bad: float = 0.0
    gauges: float = 0.1

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ConfigError(f"a traffic rate of {self.rate:g} events/s never gets anywhere; make it more than 0")
        if self.modules < 1 or self.disorder_ms < 0 or self.seed < 0:
            raise ConfigError("traffic needs at least 1 module, and neither disorder nor seed may be negative")
        shares = [self.duplicates, self.bad, self.duplicates + self.bad, self.gauges]
        shares += [self.error_burst.module_share, self.error_burst.error_rate] if self.error_burst else []
        shares += [self.latency_shift.module_share] if self.latency_shift else []
        if not all(0 <= share <= 1 for share in shares):
            raise ConfigError("traffic shares and rates lie between 0 and 1, duplicates and bad records together too")


class Traffic(NamedTuple):
    """One record to be sent.

    Attributes:
        key: the record key, the module's id.
        value: the payload.
        due_ms: when to send it, on the clock of `start_ms`.
        kind: `event`, `duplicate`, or `bad/<name>` of `topology.traffic.bad_events`.
    """

    key: bytes
    value: bytes
    due_ms: int
    kind: str


def module_names(count: int) -> list[str]:
    """The ids of the modules, the busiest first."""
    return [f"{_NAMES[i % len(_NAMES)]}-{i // len(_NAMES) + 1}" for i in range(count)]


def events(plan: TrafficPlan, start_ms: int) -> Iterator[Traffic]:
    """Endless traffic in the order it is due.

    Args:
        plan: what it looks like.
        start_ms: when the first record is due, epoch ms. Event ids are made from it too, so that the same plan run twice
            on one topic is not taken for repetitions.
    """
    rng = np.random.default_rng(plan.seed)
    names = module_names(plan.modules)
    keys = [name.encode() for name in names]
    shares = np.cumsum((np.arange(plan.modules) + 1.0) ** -0.6)
    profile = _Profile(shares / shares[-1], 40.0 * np.exp(0.5 * rng.standard_normal(plan.modules)))
    prefix = f"{start_ms:x}-{plan.seed:x}-"
    reach = max(1, min(_REPEAT_EVENTS, int(plan.rate * _REPEAT_S)))
    recent: deque[tuple[bytes, bytes]] = deque(maxlen=reach)
    bad_names = [f"{BAD}/{kind.name}" for kind in BAD_KINDS]
    dumps = orjson.dumps
    base = 0
    while True:
        columns = _chunk(plan, profile, rng, base, start_ms)
        for i, (module, due, time, success, response, fate, pick, gauges) in enumerate(columns, start=base):
            if fate == 2 and recent:
                yield Traffic(*recent[int(pick * len(recent))], due, DUPLICATE)
                continue
            event: dict[str, Any] = {
                "event_id": f"{prefix}{i}",
                "module_id": names[module],
                "timestamp": time,
                "success": success,
                "response_time_ms": response,
            }
            if gauges is not None:
                event.update(gauges)
            value = dumps(event)
            if fate == 1:
                which = int(pick * len(BAD_KINDS))
                yield Traffic(keys[module], BAD_KINDS[which].make(value), due, bad_names[which])
                continue
            record = (keys[module], value)
            recent.append(record)
            yield Traffic(*record, due, EVENT)
        base += _CHUNK


class _Profile(NamedTuple):
    """What stays the same of every module: its share of the traffic (cumulated) and its usual response time."""

    shares: np.ndarray[Any, np.dtype[np.float64]]
    median_ms: np.ndarray[Any, np.dtype[np.float64]]


_Row = tuple[int, int, int, bool, float, int, float, dict[str, Any] | None]


def _chunk(plan: TrafficPlan, profile: _Profile, rng: np.random.Generator, base: int, start_ms: int) -> Iterator[_Row]:
    """Module, due time, event time, success, response time, fate (0 good, 1 bad, 2 repeated), pick and gauges of each."""
    index = np.arange(base, base + _CHUNK)
    seconds = index / plan.rate
    due = start_ms + np.floor(seconds * 1000).astype(np.int64)
    module = np.minimum(np.searchsorted(profile.shares, rng.random(_CHUNK), side="right"), plan.modules - 1)
    response = profile.median_ms[module] * np.exp(0.35 * rng.standard_normal(_CHUNK))
    response[rng.random(_CHUNK) < _SLOW_SHARE] *= _SLOW_FACTOR
    error_rate = np.full(_CHUNK, _BASE_ERROR_RATE)
    if (shift := plan.latency_shift) is not None:
        hit = _during(seconds, shift.start_s, shift.duration_s) & _among(module, shift.module_share, plan.modules)
        response[hit] *= shift.factor
    if (burst := plan.error_burst) is not None:
        hit = _during(seconds, burst.start_s, burst.duration_s) & _among(module, burst.module_share, plan.modules)
        error_rate[hit] = burst.error_rate
    success = rng.random(_CHUNK) >= error_rate
    time = due - np.floor(rng.random(_CHUNK) * (plan.disorder_ms + 1)).astype(np.int64)
    draw = rng.random(_CHUNK)
    fate = np.where(draw < plan.bad, 1, np.where(draw < plan.bad + plan.duplicates, 2, 0))
    pick = rng.random(_CHUNK)
    gauges = _gauges(plan, module, seconds, rng)
    columns = (module, due, time, success, response.round(3), fate, pick)
    return zip(*(column.tolist() for column in columns), gauges, strict=True)


def _during(seconds: Any, start_s: float, duration_s: float) -> Any:
    return (seconds >= start_s) & (seconds < start_s + duration_s)


def _among(module: Any, share: float, modules: int) -> Any:
    return module < np.ceil(share * modules)


def _gauges(plan: TrafficPlan, module: Any, seconds: Any, rng: np.random.Generator) -> list[dict[str, Any] | None]:
    sent = rng.random(_CHUNK) < plan.gauges
    swing = np.sin(seconds / 60.0 + module)
    cpu = (np.clip(35.0 + 15.0 * swing + 5.0 * rng.standard_normal(_CHUNK), 0.0, 100.0)).round(1).tolist()
    memory = ((256 + 32 * (module % 8) + (64 * swing).astype(np.int64)) << 20).tolist()
    routines = (40 + module % 50 + (20 * rng.random(_CHUNK)).astype(np.int64)).tolist()
    connections = (2 + module % 10 + (4 * rng.random(_CHUNK)).astype(np.int64)).tolist()
    found: list[dict[str, Any] | None] = [None] * _CHUNK
    for i in np.flatnonzero(sent).tolist():
        found[i] = {
            "memory_bytes": memory[i],
            "cpu_percent": cpu[i],
            "goroutines": routines[i],
            "db_connections": connections[i],
        }
    return found
