"""The worker's metrics: a counter says what was done here, by this process, since the task opened."""

import contextlib
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from pipeline.config import CoreConfig
from pipeline.cores.module_core import ModuleCore
from pipeline.cores.task_core import TaskCore
from pipeline.system.core import SystemCore
from schemas.reasons import REASONS
from schemas.state import Ledger
from tests.support.core.cores import NOW_MS, START_MS, Event, batch_of
from tests.support.shell.scrapes import Increases, series_of
from topology.serve.registry import PROCESS_FAMILIES
from topology.worker.metrics import ENDS, METRICS, OUTCOMES, Instruments

SOURCES = ("events", "repartition")


class Here:
    """A task in one process: what is fed to it is flushed at once."""

    def __init__(self, instruments: Instruments, core: ModuleCore) -> None:
        self._instruments = instruments
        self.core = core
        instruments.opened("0", SOURCES, core)

    def feed(self, good: int, bad: int = 0) -> None:
        first = self.core.offsets.get("events", 0)
        values = [Event("m", START_MS + n).value for n in range(good)] + [b"{"] * bad
        self.core.apply(batch_of(values, [b"m"] * len(values), first=first), NOW_MS)
        self.flush()

    def flush(self) -> None:
        self._instruments.flushed("0", self.core, self.core.cut(NOW_MS), 0.01)


def page(instruments: Instruments) -> str:
    return generate_latest(instruments.registry).decode()


def counters(instruments: Instruments, task: str) -> dict[str, float]:
    """The sum of each counter over the series of a task, those of a histogram's observations among them."""
    names = {name for name, metric in METRICS.items() if metric.kind == "counter"} | {"modpulse_flush_seconds_count"}
    found: dict[str, float] = {}
    for (name, labels), value in series_of(page(instruments)).items():
        if name in names and ("task", task) in labels:
            found[name] = found.get(name, 0.0) + value
    return found


def test_a_task_that_comes_back_does_not_count_again_what_it_counted_before() -> None:
    instruments, increases = Instruments(), Increases()
    here = Here(instruments, ModuleCore(CoreConfig()))
    increases.take(page(instruments))
    here.feed(90, bad=10)
    increases.take(page(instruments))
    instruments.forget("0")
    increases.take(page(instruments))
    # Another process took 1,000 records in between: the ledger that comes back holds them.
    core = here.core
    core.ledgers["events"].consumed += 1_000
    core.ledgers["events"].applied += 1_000
    here = Here(instruments, core)
    increases.take(page(instruments))
    here.feed(5)
    increases.take(page(instruments))
    risen = {end: increases.of("modpulse_records_total", task="0", outcome=end) for end in ENDS}
    assert risen == dict.fromkeys(ENDS, 0) | {"applied": 95, "invalid": 10}
    assert increases.of("modpulse_consumed_records_total", task="0") == 105
    assert increases.of("modpulse_rejected_records_total", task="0") == 10


def test_the_ledger_gauge_says_what_the_newest_position_says() -> None:
    instruments = Instruments()
    core = ModuleCore(CoreConfig())
    core.ledgers["events"] = Ledger(consumed=1_000, applied=990, late=10)
    here = Here(instruments, core)
    assert _ledger(instruments) == (1_000, [990, 10, 0, 0, 0, 0])
    here.feed(5)
    assert _ledger(instruments) == (1_005, [995, 10, 0, 0, 0, 0])


def _ledger(instruments: Instruments) -> tuple[float | None, list[float | None]]:
    value, source = instruments.registry.get_sample_value, {"task": "0", "topic": "events"}
    return (
        value("modpulse_ledger_consumed_records", source),
        [value("modpulse_ledger_records", source | {"outcome": outcome}) for outcome in OUTCOMES],
    )


def test_a_sum_over_a_family_counts_nothing_twice() -> None:
    instruments = Instruments()
    core = ModuleCore(CoreConfig())
    core.ledgers["events"] = Ledger(consumed=7, applied=2, late=1, duplicate=1, invalid=1, future=1, forwarded=1)
    Here(instruments, core).feed(20, bad=3)
    found = series_of(page(instruments))

    def total(name: str) -> float:
        return sum(value for (found_name, _), value in found.items() if found_name == name)

    assert total("modpulse_records_total") == total("modpulse_consumed_records_total") == 23
    assert total("modpulse_ledger_records") == total("modpulse_ledger_consumed_records") == 30
    assert total("modpulse_forwarded_records_total") == 0


def test_no_series_says_when_another_was_made() -> None:
    instruments = Instruments()
    Here(instruments, ModuleCore(CoreConfig())).feed(1)
    text = page(instruments)
    assert "_created" not in text
    assert "_created" not in generate_openmetrics(instruments.registry).decode()  # type: ignore[no-untyped-call]


def test_the_page_says_which_build_runs_since_when_and_what_the_process_takes() -> None:
    instruments = Instruments()
    instruments.native(in_use=False)
    found = {name: (dict(labels), value) for (name, labels), value in series_of(page(instruments)).items()}
    labels, one = found["modpulse_build_info"]
    assert (labels["version"], labels["native"], one) == (version("modpulse"), "off", 1)
    assert time.time() - 60 < found["modpulse_start_time_seconds"][1] <= time.time()
    if Path("/proc/self/stat").exists():
        assert found.keys() >= set(PROCESS_FAMILIES)


def test_ready_is_asked_at_each_scrape() -> None:
    instruments, said = Instruments(), [False]
    instruments.ready(lambda: said[0])
    assert instruments.registry.get_sample_value("modpulse_ready") == 0
    said[0] = True
    assert instruments.registry.get_sample_value("modpulse_ready") == 1


def test_the_last_commit_is_none_before_the_first_flush_of_a_task_and_now_at_one() -> None:
    instruments = Instruments()
    here = Here(instruments, ModuleCore(CoreConfig()))
    value = instruments.registry.get_sample_value
    assert value("modpulse_last_commit_timestamp_seconds", {"task": "0"}) == 0
    here.feed(1)
    assert time.time() - 60 < (value("modpulse_last_commit_timestamp_seconds", {"task": "0"}) or 0) <= time.time()


def test_tasks_that_are_being_restored_are_counted_also_when_one_fails() -> None:
    instruments = Instruments()
    value = instruments.registry.get_sample_value
    with contextlib.suppress(ZeroDivisionError), instruments.restoring(), instruments.restoring():
        assert value("modpulse_restoring_tasks") == 2
        raise ZeroDivisionError
    assert value("modpulse_restoring_tasks") == 0


@pytest.mark.parametrize(("core", "system"), [(ModuleCore(CoreConfig()), False), (SystemCore(CoreConfig()), True)])
def test_every_counter_of_a_task_exists_at_zero_before_its_first_record(core: TaskCore, system: bool) -> None:
    instruments = Instruments()
    instruments.opened("0", SOURCES, core)
    own = {name for name, metric in METRICS.items() if metric.kind == "counter" and "task" in metric.labels}
    of_modules = {
        "modpulse_rejected_records_total",
        "modpulse_overflowed_events_total",
        "modpulse_unremembered_ids_total",
        "modpulse_one_by_one_records_total",
        "modpulse_records_total",
        "modpulse_forwarded_records_total",
    }
    of_system = {"modpulse_dropped_system_windows_total", "modpulse_ignored_partials_total"}
    # Rules may be a thousand, and most never fail: theirs begin with the first failure.
    wanted = own - (of_modules if system else of_system) - {"modpulse_rule_failures_total"}
    assert counters(instruments, "0") == dict.fromkeys(wanted | {"modpulse_flush_seconds_count"}, 0.0)
    found = series_of(page(instruments))
    ends = {dict(labels)["outcome"] for name, labels in found if name == "modpulse_records_total"}
    assert ends == (set() if system else set(ENDS))
    for topic in SOURCES:
        assert found["modpulse_consumed_records_total", frozenset({"task": "0", "topic": topic}.items())] == 0
    reasons = {dict(labels)["reason"] for name, labels in found if name == "modpulse_rejected_records_total"}
    assert reasons == (set() if system else set(REASONS))


def test_nothing_is_left_of_a_task_that_was_given_up_and_nothing_comes_after_it() -> None:
    instruments = Instruments()
    here, other = Here(instruments, ModuleCore(CoreConfig())), SystemCore(CoreConfig())
    instruments.opened("system", ("partials",), other)
    here.feed(3)
    instruments.restored("0", 10, 0.1)
    instruments.lag("0", "events", 7)
    instruments.forget("0")
    # A flush or a look at the broker that was under way may end after the task was given up.
    here.flush()
    instruments.lag("0", "events", 7)
    instruments.flushed_early("0")
    instruments.dead_letters("0", 0.5, too_many=True)
    with instruments.processing("0"):
        pass
    left = [series for series in series_of(page(instruments)) if ("task", "0") in series[1]]
    assert left == []
    assert counters(instruments, "system")["modpulse_consumed_records_total"] == 0


def test_a_task_that_stands_still_shows_it_until_it_is_opened_or_not_ours_any_more() -> None:
    instruments = Instruments()

    def parked(task: str) -> float | None:
        return instruments.registry.get_sample_value("modpulse_task_parked", {"task": task})

    Here(instruments, ModuleCore(CoreConfig()))
    assert (parked("0"), parked("1")) == (0, None)
    instruments.parked("1", stands_still=True)
    assert parked("1") == 1
    instruments.parked("1", stands_still=False)
    assert parked("1") is None, "another worker has it"
    instruments.forget("0")
    instruments.parked("0", stands_still=True)
    Here(instruments, ModuleCore(CoreConfig()))
    instruments.parked("0", stands_still=False)
    assert parked("0") == 0
