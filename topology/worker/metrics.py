"""The worker's own metrics. `METRICS` is the one table of names; docs/metrics.md is generated from it."""

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal, get_args

from prometheus_client import Counter, Gauge, Histogram

from pipeline.cores.module_core import ModuleCore
from pipeline.cores.task_core import TaskCore
from pipeline.outputs import Cut
from pipeline.system.core import SystemCore
from schemas.reasons import REASONS
from schemas.state import Ledger
from topology.serve.registry import new_registry

Name = Literal[
    "modpulse_build_info",
    "modpulse_start_time_seconds",
    "modpulse_ready",
    "modpulse_records_total",
    "modpulse_consumed_records_total",
    "modpulse_forwarded_records_total",
    "modpulse_ledger_records",
    "modpulse_ledger_consumed_records",
    "modpulse_batches_total",
    "modpulse_processing_seconds_total",
    "modpulse_last_commit_timestamp_seconds",
    "modpulse_flush_seconds",
    "modpulse_flush_records_total",
    "modpulse_early_flushes_total",
    "modpulse_restoring_tasks",
    "modpulse_restore_seconds",
    "modpulse_restore_records",
    "modpulse_lag_records",
    "modpulse_stream_time_seconds",
    "modpulse_open_windows",
    "modpulse_modules",
    "modpulse_silent_modules",
    "modpulse_split_modules",
    "modpulse_dropped_system_windows_total",
    "modpulse_ignored_partials_total",
    "modpulse_overflowed_events_total",
    "modpulse_remembered_ids",
    "modpulse_unremembered_ids_total",
    "modpulse_buffered_bytes",
    "modpulse_idle",
    "modpulse_active_alerts",
    "modpulse_rule_failures_total",
    "modpulse_refused_alerts_total",
    "modpulse_rebalances_total",
    "modpulse_tasks",
    "modpulse_input_partitions",
    "modpulse_task_parked",
    "modpulse_input_lost_records_total",
    "modpulse_rejected_records_total",
    "modpulse_dead_letter_ratio",
    "modpulse_dead_letter_alert",
    "modpulse_native",
    "modpulse_one_by_one_records_total",
]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: what it counts, by what, and what to do when it moves."""

    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    remedy: str


METRICS: dict[Name, Metric] = {
    "modpulse_build_info": Metric(
        "gauge",
        ("version", "native", "python"),
        "1; its labels say which build this is, and whether the compiled part is in use (`native`: `on` or `off`).",
        "More than one `version` over the fleet: an upgrade is under way, or was left half done.",
    ),
    "modpulse_start_time_seconds": Metric(
        "gauge",
        (),
        "When the worker began, seconds since 1970. One that begins again after trouble with the broker stays the same process, "
        "so `process_start_time_seconds` does not tell.",
        "Changes often: the log says why, just before.",
    ),
    "modpulse_ready": Metric("gauge", (), "1 where `/readyz` says yes.", "0: `/readyz` says why."),
    "modpulse_records_total": Metric(
        "counter",
        ("task", "topic", "outcome"),
        "Events by where each one ended, since the task opened here. The sum over everything counts each event once.",
        "`invalid`, `late` or `future` rising: look at the dead letters and their headers.",
    ),
    "modpulse_consumed_records_total": Metric(
        "counter",
        ("task", "topic"),
        "Records read and committed, of each source: input, forwarded events, partials of the system.",
        "Flat while the lag grows: the worker is stuck, see `/readyz`.",
    ),
    "modpulse_forwarded_records_total": Metric(
        "counter",
        ("task", "topic"),
        "Events handed on to the partition of their module; where they end is counted there.",
        "Many: producers hash keys differently, and each such event is written and read once more.",
    ),
    "modpulse_ledger_records": Metric(
        "gauge",
        ("task", "topic", "outcome"),
        "The ledger of the newest committed position: where the records of a source went since the application began.",
        "Their sum for a source is `modpulse_ledger_consumed_records`; anything else is a bug to report.",
    ),
    "modpulse_ledger_consumed_records": Metric(
        "gauge", ("task", "topic"), "Records of a source read since the application began.", "See the ledger."
    ),
    "modpulse_batches_total": Metric(
        "counter", ("task",), "Fetched batches applied.", "Flat while lag grows: the worker is stuck, see the logs."
    ),
    "modpulse_processing_seconds_total": Metric(
        "counter", ("task",), "Time spent in the core.", "Near one second a second: add workers."
    ),
    "modpulse_last_commit_timestamp_seconds": Metric(
        "gauge",
        ("task",),
        "When the task last committed a transaction here, seconds since 1970; 0 before its first one.",
        "Old while there is lag: the task cannot write. A task without input has nothing to commit.",
    ),
    "modpulse_flush_seconds": Metric(
        "histogram",
        ("task",),
        "Duration of a flush: cut, transaction, commit.",
        "Above flush_interval: the broker is slow, or flush_interval too short.",
    ),
    "modpulse_flush_records_total": Metric(
        "counter", ("task",), "Records written by flushes.", "For capacity planning."
    ),
    "modpulse_early_flushes_total": Metric(
        "counter", ("task",), "Flushes forced by limits.max_buffered_bytes.", "Rising: shorten flush_interval."
    ),
    "modpulse_restoring_tasks": Metric(
        "gauge",
        (),
        "Tasks that are being opened: fenced, read from their changelog, checked.",
        "Above 0 for long: see restore.",
    ),
    "modpulse_restore_seconds": Metric(
        "gauge", ("task",), "Duration of the newest restore.", "Long: check the changelog's compaction."
    ),
    "modpulse_restore_records": Metric(
        "gauge", ("task",), "Changelog records read by the newest restore.", "Many more than keys: compaction lags."
    ),
    "modpulse_lag_records": Metric(
        "gauge",
        ("task", "topic"),
        "Records between the position and the end of the input.",
        "Growing: add workers (up to the partition count), or look for a slow broker.",
    ),
    "modpulse_stream_time_seconds": Metric(
        "gauge", ("task",), "Stream time, seconds since 1970.", "Behind the wall clock while lag is 0: senders' clocks."
    ),
    "modpulse_open_windows": Metric(
        "gauge", ("task",), "Windows that can still change.", "Bounded by the configuration."
    ),
    "modpulse_modules": Metric(
        "gauge", ("task",), "Modules tracked.", "At limits.max_modules new ones are counted under __other__."
    ),
    "modpulse_silent_modules": Metric(
        "gauge",
        ("task",),
        "Modules that are silent: a base window without events after three with events, until the next event.",
        "Look for dead services, and for senders that lost the broker.",
    ),
    "modpulse_split_modules": Metric(
        "gauge",
        ("task",),
        "Modules whose events come in on more than one partition.",
        'Producers hash keys differently: set repartition = "always".',
    ),
    "modpulse_dropped_system_windows_total": Metric(
        "counter",
        ("task",),
        "System windows dropped before their time: more than limits.max_open_windows were open.",
        "A partition stands still far behind the others: look at modpulse_stream_time_seconds.",
    ),
    "modpulse_ignored_partials_total": Metric(
        "counter", ("task",), "Partials that came for system windows dropped before.", "See dropped system windows."
    ),
    "modpulse_overflowed_events_total": Metric(
        "counter",
        ("task",),
        "Events counted under __other__.",
        "Find the sender of ever new module ids (it is in the log).",
    ),
    "modpulse_remembered_ids": Metric(
        "gauge", ("task",), "Event ids held for duplicate suppression.", "16 to 64 bytes each."
    ),
    "modpulse_unremembered_ids_total": Metric(
        "counter",
        ("task",),
        "Event ids over dedup.max_ids_per_pane.",
        "Duplicates of these are not found: raise the limit.",
    ),
    "modpulse_buffered_bytes": Metric("gauge", ("task",), "Outputs waiting for the next flush.", "See early flushes."),
    "modpulse_idle": Metric("gauge", ("task",), "1 while stream time follows the wall clock.", "The input is silent."),
    "modpulse_active_alerts": Metric("gauge", ("task",), "Alerts pending or firing.", "See module-alerts."),
    "modpulse_rule_failures_total": Metric(
        "counter", ("task", "rule", "reason"), "Conditions that could not be evaluated.", "`failed`: mend the rule."
    ),
    "modpulse_refused_alerts_total": Metric(
        "counter", ("task",), "Alerts not raised: too many were active.", "A rule matches everything: narrow it."
    ),
    "modpulse_rebalances_total": Metric(
        "counter", (), "Rebalances taken part in.", "Often: set kafka.group_instance_id."
    ),
    "modpulse_tasks": Metric("gauge", (), "Tasks open here.", "0 on a ready worker: more workers than partitions."),
    "modpulse_input_partitions": Metric(
        "gauge",
        (),
        "Partitions of the input, each of them a task; the system task comes to it. 0 before the topics are known.",
        "More than the tasks of all workers together: nobody works on some of them.",
    ),
    "modpulse_task_parked": Metric(
        "gauge",
        ("task",),
        "1 while a task stands still because it cannot be opened.",
        "The log says why once a minute, and the way out; SIGHUP tries it again at once.",
    ),
    "modpulse_input_lost_records_total": Metric(
        "counter", ("task",), "Records deleted by retention before they were read.", "Raise the input's retention."
    ),
    "modpulse_rejected_records_total": Metric(
        "counter",
        ("task", "reason"),
        "Records that became late or dead letters, by reason; of a letter for a whole batch, all of its records.",
        "Look at the records on the dlq and late topics.",
    ),
    "modpulse_dead_letter_ratio": Metric(
        "gauge",
        ("task",),
        "Share of dead letters among the records processed within limits.dead_letter_window.",
        "See docs/dead-letters.md.",
    ),
    "modpulse_dead_letter_alert": Metric(
        "gauge",
        ("task",),
        "1 while that share is above limits.dead_letter_alert_ratio, of at least limits.dead_letter_min_records records.",
        "`modpulse dlq list` says why: mend the sender, or the setting that refuses its events; then `modpulse dlq replay`.",
    ),
    "modpulse_native": Metric(
        "gauge", (), "1 where the compiled part is in use.", "0: half as fast; build it, see docs/adr/0020-native.md."
    ),
    "modpulse_one_by_one_records_total": Metric(
        "counter",
        ("task",),
        "Records the compiled part left to the Python path: new modules, bad or unusual records.",
        "Near all records: producers write JSON in an unusual way (escapes, exponents); it costs most of the throughput.",
    ),
}


class Instruments:
    """All metrics of one worker in a registry of its own."""

    def __init__(self) -> None:
        self.registry = new_registry(process=True)
        self._counters: dict[Name, Counter] = {}
        self._gauges: dict[Name, Gauge] = {}
        self._histograms: dict[Name, Histogram] = {}
        for name in get_args(Name):
            metric = METRICS[name]
            if metric.kind == "counter":
                self._counters[name] = Counter(name, metric.help, metric.labels, registry=self.registry)
            elif metric.kind == "gauge":
                self._gauges[name] = Gauge(name, metric.help, metric.labels, registry=self.registry)
            else:
                self._histograms[name] = Histogram(name, metric.help, metric.labels, registry=self.registry)
        self._seen: dict[tuple[str, ...], int] = {}
        self._open: set[str] = set()
        self._gone: set[str] = set()
        self._gauges["modpulse_start_time_seconds"].set(time.time())

    def ready(self, is_ready: Callable[[], bool]) -> None:
        """How to find out, at each scrape, whether the worker is ready."""
        self._gauges["modpulse_ready"].set_function(is_ready)

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """A task is being opened."""
        with self._gauges["modpulse_restoring_tasks"].track_inprogress():
            yield

    @contextmanager
    def processing(self, task: str) -> Iterator[None]:
        """Time one batch."""
        began = time.monotonic()
        yield
        if task in self._gone:
            return
        self._counters["modpulse_processing_seconds_total"].labels(task).inc(time.monotonic() - began)
        self._counters["modpulse_batches_total"].labels(task).inc()

    def opened(self, task: str, sources: Iterable[str], core: TaskCore) -> None:
        """A task opens here: each of its counters exists from now on and begins at zero, whatever the restored totals say.

        A counter that began at a restored total would show the work of every former owner as work of one moment; one that
        began with its first event would hide that event from `increase()`.
        """
        self._open.add(task)
        self._gone.discard(task)
        for name in _STARTED:
            self._counters[name].labels(task)
        self._histograms["modpulse_flush_seconds"].labels(task)
        self._gauges["modpulse_task_parked"].labels(task)
        self._gauges["modpulse_last_commit_timestamp_seconds"].labels(task)
        if isinstance(core, ModuleCore):
            for reason in REASONS:
                self._counters["modpulse_rejected_records_total"].labels(task, reason)
        ledgers = {topic: core.ledgers.get(topic, Ledger()) for topic in sources}
        for name, labels, total in (*_ledger_totals(ledgers, core), *_core_totals(core)):
            self._seen[name, task, *labels] = total
            self._counters[name].labels(task, *labels)
        self._show_ledger(task, ledgers)
        self._observe(task, core)

    def flushed(self, task: str, core: TaskCore, cut: Cut, seconds: float) -> None:
        """A flush was committed: everything it says is true now."""
        if task in self._gone:
            return
        self._gauges["modpulse_last_commit_timestamp_seconds"].labels(task).set(time.time())
        self._histograms["modpulse_flush_seconds"].labels(task).observe(seconds)
        self._counters["modpulse_flush_records_total"].labels(task).inc(cut.records)
        for record in cut.outbox.rejected:
            self._counters["modpulse_rejected_records_total"].labels(task, record.reason).inc(record.records)
        for name, labels, total in (*_ledger_totals(cut.position.ledger, core), *_core_totals(core)):
            self._raise_to(name, total, task, *labels)
        self._show_ledger(task, cut.position.ledger)
        self._observe(task, core)

    def _show_ledger(self, task: str, ledgers: Mapping[str, Ledger]) -> None:
        for topic, ledger in ledgers.items():
            self._gauges["modpulse_ledger_consumed_records"].labels(task, topic).set(ledger.consumed)
            for outcome in OUTCOMES:
                self._gauges["modpulse_ledger_records"].labels(task, topic, outcome).set(getattr(ledger, outcome))

    def _observe(self, task: str, core: TaskCore) -> None:
        if core.stream_ms is not None:
            self._gauges["modpulse_stream_time_seconds"].labels(task).set(core.stream_ms / 1000)
        self._gauges["modpulse_open_windows"].labels(task).set(core.open_windows)
        self._gauges["modpulse_buffered_bytes"].labels(task).set(core.buffered_bytes)
        self._gauges["modpulse_idle"].labels(task).set(core.idle)
        self._gauges["modpulse_active_alerts"].labels(task).set(core.alerts.active_count)
        if isinstance(core, SystemCore):
            self._gauges["modpulse_split_modules"].labels(task).set(len(core.homes.split))
        if isinstance(core, ModuleCore):
            self._gauges["modpulse_modules"].labels(task).set(core.modules.tracked)
            self._gauges["modpulse_silent_modules"].labels(task).set(core.modules.silent)
            self._gauges["modpulse_remembered_ids"].labels(task).set(core.dedup.remembered)

    def _raise_to(self, name: Name, value: int, *labels: str) -> None:
        """Bring a counter up to a total that is kept elsewhere; a total that restarted counts from there."""
        key = (name, *labels)
        before = self._seen.get(key, 0)
        self._seen[key] = value
        self._counters[name].labels(*labels).inc(value - before if value >= before else value)

    def restored(self, task: str, records: int, seconds: float) -> None:
        """A task was restored."""
        self._gauges["modpulse_restore_records"].labels(task).set(records)
        self._gauges["modpulse_restore_seconds"].labels(task).set(seconds)

    def flushed_early(self, task: str) -> None:
        """A flush was forced by the size of the outputs."""
        if task not in self._gone:
            self._counters["modpulse_early_flushes_total"].labels(task).inc()

    def input_lost(self, task: str, records: int) -> None:
        """Records were deleted before they were read."""
        self._counters["modpulse_input_lost_records_total"].labels(task).inc(records)

    def lag(self, task: str, topic: str, records: int) -> None:
        """How far a task is behind."""
        if task not in self._gone:
            self._gauges["modpulse_lag_records"].labels(task, topic).set(records)

    def dead_letters(self, task: str, ratio: float, *, too_many: bool) -> None:
        """The share of dead letters in the newest window."""
        if task not in self._gone:
            self._gauges["modpulse_dead_letter_ratio"].labels(task).set(ratio)
            self._gauges["modpulse_dead_letter_alert"].labels(task).set(too_many)

    def rebalanced(self) -> None:
        """Partitions were assigned."""
        self._counters["modpulse_rebalances_total"].inc()

    def tasks(self, count: int) -> None:
        """How many tasks are open."""
        self._gauges["modpulse_tasks"].set(count)

    def input_partitions(self, count: int) -> None:
        """How many partitions the input has."""
        self._gauges["modpulse_input_partitions"].set(count)

    def parked(self, task: str, stands_still: bool) -> None:
        """Whether a task stands still because it cannot be opened."""
        gauge = self._gauges["modpulse_task_parked"]
        if stands_still or task in self._open:
            gauge.labels(task).set(stands_still)
        else:  # it was never opened here, and is not ours any more
            gauge.remove_by_labels({"task": task})

    def native(self, *, in_use: bool) -> None:
        """Whether the compiled part reads the input."""
        self._gauges["modpulse_native"].set(in_use)
        labels = version("modpulse"), "on" if in_use else "off", platform.python_version()
        self._gauges["modpulse_build_info"].labels(*labels).set(1)

    def forget(self, task: str) -> None:
        """A task is not ours any more: every series of it ends, and what is still said of it is not heard.

        A counter that stayed would stand still here and, when the task comes back, continue as if nobody else had worked
        meanwhile. A series that ends and begins again at zero is what `rate()` and `increase()` understand.
        """
        self._open.discard(task)
        self._gone.add(task)
        every: dict[Name, Counter | Gauge | Histogram] = {**self._counters, **self._gauges, **self._histograms}
        for name, metric in every.items():
            if "task" in METRICS[name].labels:
                metric.remove_by_labels({"task": task})
        for key in [key for key in self._seen if key[1] == task]:
            del self._seen[key]


# The columns of a ledger that make up `consumed`, and those of them in which an event ends.
OUTCOMES = tuple(column for column in Ledger.__struct_fields__ if column != "consumed")
ENDS = tuple(column for column in OUTCOMES if column != "forwarded")
# Counters of every task whose only label is the task.
_STARTED: tuple[Name, ...] = (
    "modpulse_batches_total",
    "modpulse_processing_seconds_total",
    "modpulse_flush_records_total",
    "modpulse_early_flushes_total",
    "modpulse_input_lost_records_total",
)
_Total = tuple[Name, tuple[str, ...], int]


def _ledger_totals(ledgers: Mapping[str, Ledger], core: TaskCore) -> Iterator[_Total]:
    """The ledger by its labels, without the task. No count is in two series of one family: people write `sum` over it."""
    for topic, ledger in ledgers.items():
        yield "modpulse_consumed_records_total", (topic,), ledger.consumed
        if isinstance(core, ModuleCore):
            yield "modpulse_forwarded_records_total", (topic,), ledger.forwarded
            for outcome in ENDS:
                yield "modpulse_records_total", (topic, outcome), getattr(ledger, outcome)


def _core_totals(core: TaskCore) -> Iterator[_Total]:
    """What a core has counted since it was made or restored, by its labels without the task."""
    for (rule, reason), count in core.alerts.counters.failures.items():
        yield "modpulse_rule_failures_total", (rule, reason), count
    yield "modpulse_refused_alerts_total", (), core.alerts.counters.refused
    if isinstance(core, SystemCore):
        yield "modpulse_dropped_system_windows_total", (), core.dropped_open
        yield "modpulse_ignored_partials_total", (), core.ignored_partials
    if isinstance(core, ModuleCore):
        yield "modpulse_overflowed_events_total", (), core.modules.overflowed
        yield "modpulse_unremembered_ids_total", (), core.dedup.skipped
        yield "modpulse_one_by_one_records_total", (), core.one_by_one
