"""What a record must show of the events of its window, by brute force, and what the records of a run must be.

Nothing of the core is used but the thresholds' types: no sketches, no arrays. Percentiles are the only figures that a record is
not predicted exactly for; health is judged on the percentiles that the record shows. Which events a window has is
`WindowModel`'s.
"""

import base64
import math
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

import msgspec
from ddsketch.mapping import LogarithmicMapping

from pipeline.config import SIGNALS, HealthProfile
from schemas.metrics import ModuleMetrics
from tests.support.core.window_model import Applied, Key, WindowModel

LEVELS = ("healthy", "degraded", "critical")
QUANTILES = {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p999": 999}
_mapping = LogarithmicMapping(0.01)


@dataclass(slots=True)
class Streak:
    """The class in force of one module in one size, and the windows in a row that speak against it."""

    level: int = 0
    against: list[int] = field(default_factory=list)
    since: int | None = None

    def then(self, raw: int, profile: HealthProfile, start: int) -> "Streak":
        """After one more window, which begins at `start`."""
        since = start if self.since is None else self.since
        if raw == self.level:
            return Streak(self.level, since=since)
        worse = raw > self.level
        same_way = bool(self.against) and (self.against[-1] > self.level) == worse
        against = [*self.against, raw] if same_way else [raw]
        if len(against) < (profile.worsen_windows if worse else profile.improve_windows):
            return Streak(self.level, against, since)
        level = min(against) if worse else max(against)
        return Streak(level, since=start if level != self.level else since)


def judge(record: ModuleMetrics, peak_errors: float, profile: HealthProfile) -> tuple[int, float, dict[str, float]]:
    """Class by itself, score and points lost by signal."""
    few = record.total_requests < profile.min_requests
    times = record.response_time_ms
    figures: dict[str, float | None] = {
        "success_rate": None if few else record.successful_requests / record.total_requests,
        "p95": None if few else times.p95,
        "p99": None if few else times.p99,
        "cpu": record.cpu_percent,
        "memory": record.memory_bytes,
        "error_burst": None if few else peak_errors,
    }
    total = sum(threshold.weight for threshold in profile.thresholds.values())
    level = 0
    lost: dict[str, float] = {}
    for signal in SIGNALS:
        value, threshold = figures[signal], profile.thresholds[signal]
        if value is None or threshold.degraded is None or threshold.critical is None:
            continue
        low, high = threshold.degraded, threshold.critical
        if signal == "success_rate":
            value, low, high = -value, -low, -high
        if value > low:
            level = max(level, 2 if value > high else 1)
            share = min((value - low) / (high - low), 1.0) if high > low else 1.0
            lost[signal] = threshold.weight * 100.0 / total * share
    score = min(max(100.0 - sum(lost.values()), 0.0), 100.0)
    shown = record.health.score  # a class that hangs on the rounding of the score is judged by the score shown
    level = max(level, (shown < profile.degraded_score) + (shown < profile.critical_score))
    return level, score, lost


@lru_cache
def exactly(value: float) -> Fraction:
    """The value of a double."""
    return Fraction(value)


@lru_cache
def grid(value: float) -> Fraction:
    """A term of a sum, cut at 2^-64 (pipeline/windows/moments.py)."""
    return Fraction(int(Fraction(value) * 2**64), 2**64)


def quantile_of(values: Sequence[float], per_mille: int) -> float:
    """The order statistic of rank floor(q * (n - 1))."""
    return sorted(values)[per_mille * (len(values) - 1) // 1000]


def near(value: float, truth: float) -> bool:
    """Within 1 %, but for the rounding of the last place."""
    return abs(value - truth) <= truth * 0.01 * (1 + 1e-9)


def last_gauge(members: Sequence[Applied], name: str) -> int | float | None:
    """By event time, of equal times the higher offset."""
    sent = [(m.event.time, m.offset, getattr(m.event, name)) for m in members if getattr(m.event, name) is not None]
    value: int | float | None = max(sent)[2] if sent else None
    return value


def peak_errors(members: Sequence[Applied], base_ms: int, min_requests: int) -> float:
    """The highest error rate of a base pane with enough requests."""
    panes: dict[int, list[bool]] = {}
    for member in members:
        panes.setdefault(member.event.time // base_ms, []).append(not member.event.success)
    return max((sum(pane) / len(pane) for pane in panes.values() if len(pane) >= max(min_requests, 1)), default=0.0)


def sketch_of(text: str) -> Counter[int | None]:
    """Counts by bin of a published sketch (None: the value zero), read as its documentation says."""
    data = base64.b64decode(text)
    version, bin_bytes, count_bytes, _, size, zeros = struct.unpack_from("<BBBBIQ", data)
    assert version == 1
    forms = {1: "B", 2: "H", 4: "I", 8: "Q"}
    bins = struct.unpack_from(f"<{size}{forms[bin_bytes].lower()}", data, 16)
    counts = struct.unpack_from(f"<{size}{forms[count_bytes]}", data, 16 + size * bin_bytes)
    assert len(data) == 16 + size * (bin_bytes + count_bytes)
    assert list(bins) == sorted(set(bins))
    return Counter(dict(zip(bins, counts, strict=True)) | ({None: zeros} if zeros else {}))


def doubles_of(record: ModuleMetrics) -> list[float]:
    """The figures of a record that come from doubles in the events."""
    cpu = [record.cpu_percent, record.cpu_percent_avg]
    return [*msgspec.structs.astuple(record.response_time_ms), *(value for value in cpu if value is not None)]


def check_figures(record: ModuleMetrics, members: Sequence[Applied], size_ms: int) -> None:
    """Everything in a record but its health, revision and status."""
    values = [member.event.ms for member in members]
    assert not any(math.copysign(1.0, float(shown)) < 0 for shown in doubles_of(record)), "no record shows -0.0"
    n, good = len(members), sum(member.event.success for member in members)
    assert (record.total_requests, record.successful_requests, record.failed_requests) == (n, good, n - good)
    assert (record.success_rate, record.error_rate) == (good / n, (n - good) / n)
    assert record.throughput_rps == n / (size_ms / 1000)
    assert record.window_end - record.window_start == size_ms
    times = record.response_time_ms
    assert (times.min, times.max) == (min(values), max(values))
    mean = sum(map(grid, values), Fraction()) / n
    assert times.avg == min(max(float(mean), min(values)), max(values))
    exact = [exactly(value) for value in values]
    total = sum(exact, Fraction())
    variance = (sum((v * v for v in exact), Fraction()) * n - total * total) / (n * n)
    # Terms below 2^-11 are cut at 2^-64.
    assert abs(Fraction(times.stddev) ** 2 - variance) <= variance / 10**12 + Fraction(4, 2**64)
    assert times.min < times.max or times.stddev == 0.0
    for name, per_mille in QUANTILES.items():
        assert near(getattr(times, name), quantile_of(values, per_mille)), name
    assert record.memory_bytes == last_gauge(members, "memory")
    assert record.goroutines == last_gauge(members, "goroutines")
    assert record.db_connections == last_gauge(members, "connections")
    assert record.cpu_percent == last_gauge(members, "cpu")
    check_gauges(record, members)
    assert sketch_of(record.sketch) == Counter(_mapping.key(v) if v else None for v in values)


def check_gauges(record: ModuleMetrics, members: Sequence[Applied]) -> None:
    """Means and maxima of the gauges."""
    for name, field_name in (
        ("memory", "memory_bytes"),
        ("goroutines", "goroutines"),
        ("connections", "db_connections"),
    ):
        sent = [value for m in members if (value := getattr(m.event, name)) is not None]
        assert getattr(record, f"{field_name}_avg") == (sum(sent) / len(sent) if sent else None)
        assert getattr(record, f"{field_name}_max") == max(sent, default=None)
    cpu = [member.event.cpu for member in members if member.event.cpu is not None]
    mean = float(sum(map(grid, cpu), Fraction()) / len(cpu)) if cpu else None
    assert record.cpu_percent_avg == (None if mean is None else min(max(mean, min(cpu)), max(cpu)))
    assert record.cpu_percent_max == max(cpu, default=None)


def check_health(
    record: ModuleMetrics, members: Sequence[Applied], before: Streak, profile: HealthProfile, base_ms: int
) -> Streak:
    """The health of a record, given the streak before its window; returns the streak after it."""
    raw, score, lost = judge(record, peak_errors(members, base_ms, profile.min_requests), profile)
    after = before.then(raw, profile, record.window_start)
    assert record.health.since == after.since
    assert record.health.status == LEVELS[after.level]
    assert abs(record.health.score - score) < 0.00501
    named = {reason.split(" ")[0] for reason in record.health.reasons}
    assert set(lost) <= named, "every lost point has its reason"
    return after


def window_of(record: ModuleMetrics) -> Key:
    """Module, size and start."""
    return Key(record.module_id, record.window_end - record.window_start, record.window_start)


def check_run(
    records: Sequence[ModuleMetrics], model: WindowModel, *, revision_base: int = 0, health: bool = True
) -> None:
    """Finals, last records, statuses, revisions and health of everything that came out, once all of it is out.

    Args:
        records: all of a run, in order.
        model: what the run must have said. Of windows whose size was removed while they were open, only the order is known.
        revision_base: revisions begin above it.
        health: judge classes too; the health settings and the base window must never have changed then.
    """
    histories: dict[Key, list[ModuleMetrics]] = {}
    for record in records:
        histories.setdefault(window_of(record), []).append(record)
    finals: dict[Key, ModuleMetrics] = {}
    for key, history in histories.items():
        numbers = [record.revision for record in history]
        assert numbers == list(range(revision_base + 1, revision_base + 1 + len(history)))
        rank = [("provisional", "final", "corrected").index(record.status) for record in history]
        assert rank == sorted(rank)
        assert rank.count(1) <= 1, "a window closes once"
        assert [r.total_requests for r in history] == sorted(r.total_requests for r in history)
        if 1 in rank:
            finals[key] = history[rank.index(1)]
        if key not in model.dropped:
            assert (rank[-1] > 0) == (key[1:] in model.place)
    lasts = {key: history[-1] for key, history in histories.items()}
    assert set(finals) - set(model.dropped) == set(model.finals)
    assert set(lasts) - set(model.dropped) == set(model.members)
    for key, record in finals.items():
        if key not in model.dropped:
            check_figures(record, model.finals[key], key.size)
    for key, record in lasts.items():
        if key in model.dropped:
            assert record.total_requests <= len(model.dropped[key])
        else:
            check_figures(record, model.members[key], key.size)
    if health:
        check_classes(finals, lasts, model)


def check_classes(finals: dict[Key, ModuleMetrics], lasts: dict[Key, ModuleMetrics], model: WindowModel) -> None:
    """The health of each module in each size, window after window."""
    base_ms, profile = model.base, model.config.health.default
    for module, size in sorted({key[:2] for key in model.members}):
        streaks = [Streak()]  # by the number of steps
        for step in model.steps:
            now = streaks[-1]
            if step in (("afresh", module), ("expired", module), ("removed", size)):
                now = Streak()
            elif step[0] == "close" and step[1] == size:
                key = Key(module, size, step[2])
                if key in model.finals:
                    now = check_health(finals[key], model.finals[key], now, profile, base_ms)
            streaks.append(now)
        now = streaks[-1]
        for key in sorted(key for key in model.members if key[:2] == (module, size)):
            place = model.place.get(key[1:])
            before = now if place is None else streaks[place]
            if place is not None and ("expired", module) in model.steps[place : model.first[key]]:
                before = Streak()  # what a window remembers of a module goes with the module
            after = check_health(lasts[key], model.members[key], before, profile, base_ms)
            now = after if place is None else now
