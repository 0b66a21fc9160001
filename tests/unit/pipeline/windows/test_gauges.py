"""Figures at the ends of what the contract allows: records come out, and are right."""

import json
import math
import random
from fractions import Fraction

import msgspec
import numpy as np
import pytest

from pipeline.config import CoreConfig
from pipeline.cores.module_core import ModuleCore
from pipeline.system.core import SystemCore
from pipeline.windows import layout as at
from pipeline.windows.gauges import cpu_figures, gauge_figures
from pipeline.windows.rows import INT_ROWS
from pipeline.windows.sums import Sums, empty_gauge
from schemas.metrics import AggregatedMetrics, ModuleMetrics
from schemas.state import POSITION_KEY, SumsChunk, pack, unpack
from tests.support.core.cores import NOW_MS, START_MS, Event, Run, batch_of, config_of, last_of_each
from tests.support.core.folded import sums_of

pytestmark = pytest.mark.slow

CONFIG = config_of((1,), 0, 60_000)
LARGE = 1e308


def system_record(*runs: Run) -> AggregatedMetrics:
    """The newest record of the system over these partitions."""
    core = SystemCore(CONFIG)
    values: list[bytes | None] = [p.value for run in runs for cut in run.cuts for p in cut.partials]
    core.apply(batch_of(values, [None] * len(values)), NOW_MS)
    emitted = core.cut(NOW_MS, everything=True).outbox.emitted
    return msgspec.json.decode(emitted[-1].value, type=AggregatedMetrics)


def spoken(module: str, *cpu: float, partition: int = 0, partitions: int = 1) -> Run:
    """A task with one module."""
    run = Run(CONFIG, partition=partition, partitions=partitions)
    run.apply([Event(module, START_MS, cpu=value) for value in cpu])
    run.cut(everything=True)
    return run


def test_the_average_of_two_modules_at_the_largest_double_is_that_double_within_a_partition_and_across() -> None:
    run = Run(CONFIG)
    run.apply([Event("a", START_MS, cpu=LARGE), Event("b", START_MS, cpu=LARGE)])
    run.cut(everything=True)
    assert system_record(run).average_cpu_percent == LARGE
    apart = [spoken(f"m{number}", LARGE, partition=number, partitions=2) for number in (0, 1)]
    assert system_record(*apart).average_cpu_percent == LARGE
    half = [spoken(f"m{number}", cpu, partition=number, partitions=2) for number, cpu in enumerate((LARGE, 0.0))]
    assert system_record(*half).average_cpu_percent == LARGE / 2


@pytest.mark.parametrize("cpu", [(1e300,), (LARGE, LARGE), (1e300, 2e300), (0.1, 0.1, 0.1), (5e-324,), (0.0, LARGE)])
def test_the_mean_of_cpu_readings_lies_between_the_least_and_the_largest(cpu: tuple[float, ...]) -> None:
    (record,) = last_of_each(spoken("m", *cpu).metrics).values()
    assert record.cpu_percent_avg is not None
    assert min(cpu) <= record.cpu_percent_avg <= max(cpu)
    assert record.cpu_percent_max == max(cpu)


@pytest.mark.parametrize("panes", [100, 572, 2_880])
def test_a_day_of_a_quarter_million_events_a_second_is_added_up_exactly(panes: int) -> None:
    """Panes of 7.5 million events each, put in as state: real events, every column of sums times 7,500."""
    rng = random.Random(1)
    values = [rng.lognormvariate(3, 1) for _ in range(1_000)]
    config = CoreConfig()
    begin_ms = START_MS // 86_400_000 * 86_400_000
    run = Run(config)
    run.apply([Event("m", begin_ms, value) for value in values])
    run.cut(everything=True)
    key = next(key for key in run.log if key.startswith(b"sums|30000|"))
    chunk = unpack(SumsChunk, key, run.log[key])
    numbers = np.frombuffer(chunk.int_rows, "<u1")
    ints = np.frombuffer(chunk.ints, "<i8").reshape(numbers.size, -1).copy()
    ints *= 7_500
    counts = np.frombuffer(chunk.counts, f"<u{chunk.count_bytes}").astype("<u4") * 7_500
    many = msgspec.structs.replace(chunk, ints=ints.tobytes(), count_bytes=4, counts=counts.astype("<u4").tobytes())
    assert len(INT_ROWS) > int(numbers.max())
    state = {k: v for k, v in run.log.items() if k.startswith(b"modules") or k == POSITION_KEY}
    for pane in range(panes):
        pane_key = b"sums|30000|%d|0" % (begin_ms + pane * 30_000)
        state[pane_key] = pack(pane_key, many)
    core = ModuleCore(config)
    core.restore(state)
    emitted = core.cut(NOW_MS, everything=True).outbox.emitted
    (day,) = [r for e in emitted if (r := msgspec.json.decode(e.value, type=ModuleMetrics)).window == "1d"]
    mean = sum(map(Fraction, values), Fraction()) / len(values)
    variance = sum(((Fraction(value) - mean) ** 2 for value in values), Fraction()) / len(values)
    assert day.total_requests == panes * 7_500_000
    assert day.response_time_ms.avg == float(mean)
    assert math.isclose(day.response_time_ms.stddev, math.sqrt(variance), rel_tol=1e-14)


def test_a_record_shows_plain_json_numbers_at_the_extremes() -> None:
    run = spoken("m", LARGE)
    text = json.loads(run.emitted[-1].value)
    assert text["cpu_percent"] == LARGE


@pytest.mark.parametrize(
    ("total", "readings"),
    [
        (0, 1),
        (1, 3),
        (2**52 - 1, 7),
        (2**52, 1),
        (2**53 - 1, 2),
        (2**53 + 1, 1),
        (2**53 + 1, 3),
        (2**64 + 1, 3),
        (2**90 + 5, 11),
    ],
)
def test_the_mean_of_a_gauge_is_correctly_rounded_whatever_the_total(total: int, readings: int) -> None:
    rows = empty_gauge(2)
    rows[at.AT], rows[at.READINGS, 0] = 0, readings
    rows[at.TOTAL :, 0] = [total >> 64, total >> 32 & 0xFFFFFFFF, total & 0xFFFFFFFF]
    assert gauge_figures(rows, np.array([0])).mean == [float(Fraction(total, readings))]


def test_a_gauge_that_a_module_never_sent_has_no_figures_also_where_another_one_sent_it() -> None:
    sums, codes = sums_of([Event("b", 0, memory=0, cpu=0.0), Event("a", 0)]), np.array([1, 0])
    for figures in (gauge_figures(sums.gauges[at.MEMORY], codes), cpu_figures(sums, codes)):
        assert (figures.last, figures.mean, figures.largest) == ([0, None], [0.0, None], [0, None])
    for figures in (gauge_figures(None, codes), cpu_figures(Sums(2), codes)):
        assert (figures.last, figures.mean, figures.largest) == ([None, None],) * 3


def test_readings_that_were_never_counted_leave_a_gauge_its_last_one_and_the_cpu_its_mean_too() -> None:
    """A state of version 1 knew the last reading only; later readings do not make the rest known."""
    old, codes = sums_of([Event("a", 0, memory=5, cpu=5.0)]), np.array([0])
    rows, floats = old.gauge(at.MEMORY), old.cpu()[1]
    rows[at.READINGS, 0] = at.UNKNOWN_READINGS
    floats[[at.CPU_LEAST, at.CPU_LARGEST], 0] = np.nan
    later = sums_of([Event("a", 1, memory=7, cpu=7.0)] * 3, first=1)
    later.merge([old])
    later.carry()
    memory, cpu = gauge_figures(later.gauges[at.MEMORY], codes), cpu_figures(later, codes)
    assert (memory.last, memory.mean, memory.largest) == ([7], [None], [None])
    assert (cpu.last, cpu.mean, cpu.largest) == ([7.0], [6.5], [None])
    assert at.UNKNOWN_READINGS * 2**15 > -(2**63), "so many windows of unknown readings may be merged"
