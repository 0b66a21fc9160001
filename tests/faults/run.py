"""One row: traffic, workers, a plan of faults, and the comparison of everything that came out with the truth."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.faults.broker import Brokers
from tests.faults.clock import WallClock
from tests.faults.crew import Application, Crew, Worker
from tests.faults.forwarded import Forwarding, truth_of_all_forwarded, truth_of_some_forwarded
from tests.faults.oracle import AlertRule, Truth, Windows, by_partition, truth
from tests.faults.outcome import Report
from tests.faults.plan import Step
from tests.faults.positions import Positions, follow, longest_run, max_time
from tests.faults.reader import read
from tests.faults.stall import Held
from tests.faults.traffic import Mix, Traffic
from tests.faults.verdict import judge
from tests.faults.watch import SETTLED_S, Watch
from topology.devbroker.process import KafkaProcess

POLL_S = 0.05
READY_S = 90.0
DRAIN_S = 150.0
CLOSE_S = 120.0
# How long traffic goes on after the last fault, so that recovery is seen under load.
AFTER_S = 3.0
# What lasts is not followed by another fault at once, however slow the machine is.
SETTLE_S = 5.0
CLOSER = 900
# What is left on a disk that fills up: a second or two of load.
ROOM_BYTES = 1 << 20
BROKER_ENDS_S = 90.0
DISK_FULL_WORDS = b"No space left on device"
LATENCY_S = 0.3
THROTTLE_BYTES_A_SECOND = 200_000.0
# A slow broker that costs less than this much of the load is none.
FELT_S = 3.0
BAD_IN_A_ROW = 1_000
SETTINGS = {
    "windows__sizes": "1s,5s",
    "windows__grace": "500ms",
    "windows__corrections": "3s",
    "windows__idle_timeout": "1h",
    "flush_interval": "250ms",
}
WINDOWS = Windows({"1s": 1_000, "5s": 5_000}, grace=500, keep=3_500)
ALERT_RULES = (AlertRule("Failing", 0.5, 3, 0), AlertRule("KeepsFailing", 0.5, 3, 1_000))

Ending = Literal["close", "flush"]


@dataclass(frozen=True, slots=True)
class Row:
    """What to do to whom.

    Attributes:
        name: in the table. about: one sentence for the page.
        steps: the faults; `seconds` is the time of the load at least.
        ending: `close` lets silence close every window in the end and compares all finals; `flush` ends at once.
        prepare: done to the topics before the workers start; answers figures for the page.
        mutant: which planted bug the workers have; such a row must not be clean. harmless: that one must be.
        forwarding: whether events are forwarded.
        expects_ends: whether workers may end by themselves (exit code 1 or 3), to be started again by the supervisor.
    """

    name: str
    about: str
    steps: tuple[Step, ...] = ()
    seconds: float = 40.0
    workers: int = 2
    partitions: int = 4
    mix: Mix = field(default_factory=Mix)
    settings: Mapping[str, str] = field(default_factory=dict)
    windows: Windows = WINDOWS
    ending: Ending = "close"
    static: bool = False
    proxied: bool = False
    mutant: str | None = None
    harmless: bool = False
    forwarding: Forwarding = "none"
    expects_ends: bool = False
    broker_late_s: float = 0.0
    prepare: Callable[[Application, int], list[str]] | None = None


@dataclass(slots=True)
class Struck:
    """A fault that was done.

    Attributes:
        at, over: when it began and when it was over (monotonic); what struck in the meantime is over with it.
        lag: records left then; None when the broker did not say. producing: whether more were coming.
        phase: what the worker was doing. tasks: the partitions it had.
    """

    step: Step
    at: float
    lag: int | None
    producing: bool
    phase: str
    tasks: set[int]
    over: float = 0.0

    @property
    def work_left(self) -> bool:
        return self.producing or bool(self.lag)


@dataclass(slots=True)
class Scene:
    """Whom faults strike, and those that did.

    Attributes:
        settings: of workers that join.
    """

    crew: Crew
    traffic: Traffic
    watch: Watch
    settings: Mapping[str, str]
    struck: list[Struck] = field(default_factory=list)


class Run:
    """Carries a row out."""

    def __init__(self, row: Row, brokers: Brokers, seed: int, directory: Path) -> None:
        self._row = row
        self._brokers = brokers
        self._seed = seed
        self._directory = directory
        self._clock = threading.Event()
        self._report = Report(row.name, row.about, row.mutant, row.harmless)
        self._wall_clock: WallClock | None = None

    def __call__(self) -> Report:
        began = time.monotonic()
        row = self._row
        settings = SETTINGS | {"topics__partitions": str(row.partitions)} | dict(row.settings)
        servers = self._brokers.workers if row.proxied else self._brokers.direct
        application = Application(self._brokers.direct, self._directory, settings, row.mutant)
        if any(step.fault == "clock-step" for step in row.steps):
            application.clock_file = application.directory / "clock"
            self._wall_clock = WallClock(application.clock_file)
        application.create_topics()
        if row.prepare is not None:
            self._report.figures += row.prepare(application, self._seed)
        # The harness looks directly, the workers perhaps through the proxy.
        worker_settings = {"kafka__bootstrap_servers": servers}
        try:
            self._work(application, worker_settings)
        except (AssertionError, TimeoutError, RuntimeError) as error:
            self._report.failure = f"{type(error).__name__}: {error}"
        self._report.seconds = time.monotonic() - began
        return self._report

    def _work(self, application: Application, worker_settings: Mapping[str, str]) -> None:
        row = self._row
        traffic = Traffic(application.servers, application.input, row.partitions, row.mix, self._seed)
        watch = self._watch(application, application.input)
        also = self._watch(application, application.repartition) if row.forwarding != "none" else None
        refused = False
        with Crew(application, static=row.static) as crew:
            try:
                if row.broker_late_s:
                    self._start_before_the_broker(crew, worker_settings)
                else:
                    for _ in range(row.workers):
                        crew.add(**worker_settings)
                self._until(lambda: self._all_joined(crew), READY_S, "every worker joined")
                watch.start()
                if also is not None:
                    also.start()
                traffic.start()
                began = time.monotonic()
                scene = Scene(crew, traffic, watch, worker_settings)
                last = began
                for step in row.steps:
                    settled = last + (SETTLE_S if step.for_s else 0.0)
                    self._wait(max(began + step.at_s, settled) - time.monotonic())
                    last = self._strike(step, scene).over
                self._wait(max(began + row.seconds, last + AFTER_S) - time.monotonic())
                traffic.end()
                ended = time.monotonic()
                try:
                    self._until(lambda: watch.caught_up(ended) or crew.refused, DRAIN_S, "everything processed")
                    # The input first: what was forwarded stands in the repartition topic by then.
                    forwarded = time.monotonic()
                    if also is not None:
                        self._until(lambda: also.caught_up(forwarded) or crew.refused, DRAIN_S, "all of it forwarded")
                    refused = crew.refused
                except TimeoutError as error:
                    self._report.failure = str(error)
            finally:
                if traffic.producing:
                    traffic.end()
                watch.end()
                if also is not None:
                    also.end()
                if row.mutant is not None and not any(worker.planted for worker in crew.workers):
                    self._report.void = f"no worker said that the bug was planted: {crew.own_ends[-1:]}"
            codes = crew.stop_all()
            self._note_ends(crew, codes)
            self._note_faults(scene.struck, watch)
            self._report.worst_lag = watch.worst_lag
            if row.proxied:
                joined = sum(worker.assignments for worker in crew.workers)
                self._report.figures.append(
                    f"{joined} assignments to {len(crew.workers)} workers; one each is the least"
                )
        closed = row.ending == "close" and not refused and self._report.failure is None
        if refused:
            self._report.failure = f"the workers refuse to go on: {crew.refusals[-1]}"
        self._report.figures += traffic.figures
        true = self._truth(application, traffic, closed=closed)
        if closed:
            self._close(application, max_time(true, row.windows))
        if any(step.fault == "bad-burst" for step in row.steps):
            letters = by_partition(letter.record for letter in true.dead.values()).values()
            self._note_run(max(longest_run(sorted(record.offset for record in found)) for found in letters))
        self._report.events, self._report.duplicates = true.events, true.duplicates
        self._report.late = len(true.late)
        self._report.findings = judge(application, true, row.windows, closed=closed)

    def _all_joined(self, crew: Crew) -> bool:
        """Whether every worker has joined.

        Raises:
            RuntimeError: the workers of a mutant end before the bug is planted.
        """
        if self._row.mutant is not None and crew.own_ends and not any(worker.planted for worker in crew.workers):
            raise RuntimeError(f"the workers of the mutant do not start: {crew.own_ends[-1]}")
        return all(worker.assigned is not None for worker in crew.workers)

    def _truth(self, application: Application, traffic: Traffic, *, closed: bool) -> Truth:
        """What must have come out, from the topics as they are."""
        row = self._row
        topics = application.input, application.repartition
        sent = read(application.servers, application.input)
        if row.forwarding == "none":
            true = truth(sent, row.windows, ALERT_RULES, traffic.bad, topic=application.input, closed=closed)
        else:
            carried = read(application.servers, application.repartition)
            self._report.figures.append(f"{len(carried):,} of {len(sent):,} events forwarded")
            if row.forwarding == "all":
                true = truth_of_all_forwarded(sent, carried, row.windows, ALERT_RULES, topics=topics, closed=closed)
            else:
                true = truth_of_some_forwarded(sent, carried, row.windows, topics=topics)
        true.partitions = row.partitions
        return true

    def _note_run(self, length: int) -> None:
        self._report.figures.append(f"{length:,} bad records in a row")
        if length < BAD_IN_A_ROW:
            self._report.void = f"no more than {length} bad records stood in a row"

    def _watch(self, application: Application, topic: str) -> Watch:
        return Watch(application.servers, application.name, topic, self._row.partitions)

    def _wait(self, seconds: float) -> None:
        self._clock.wait(max(seconds, 0.0))

    def _until(self, condition: Callable[[], bool], deadline_s: float, what: str) -> None:
        end = time.monotonic() + deadline_s
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"not within {deadline_s:g} s: {what}")
            self._clock.wait(POLL_S)

    # --- faults -----------------------------------------------------------------------------------------------------

    def _strike(self, step: Step, scene: Scene) -> Struck:
        """Do it, to its end, and what strikes in the meantime."""
        crew, traffic, watch = scene.crew, scene.traffic, scene.watch
        worker = crew.pick(step.target)
        tasks = {int(task) for task in worker.assigned or () if task.isdigit()}
        struck = Struck(step, time.monotonic(), watch.lag, traffic.producing, worker.phase, tasks)
        scene.struck.append(struck)
        if not struck.work_left:
            self._report.void = f"no work was left when {step.fault} struck at {step.at_s:g} s"
        if step.fault in ("kill", "retire"):
            struck.phase = crew.kill(worker, back=step.fault == "kill")
        elif step.fault in ("stop", "leave"):
            code = crew.stop(worker, back=step.fault == "stop")
            if code != 0:
                self._report.unexpected_ends += 1
                self._report.remarks.append(f"exit code {code} after SIGTERM in phase {struck.phase}")
        elif step.fault == "join":
            crew.add(**scene.settings)
        elif step.fault == "freeze":
            crew.freeze(worker)
            self._last(step, scene)
            crew.thaw(worker)
        elif step.fault == "stall":
            self._stall(step, traffic, watch)
            struck.tasks = {step.target}
        elif step.fault == "bad-burst":
            traffic.bad_in_a_row(step.target, BAD_IN_A_ROW)
            struck.tasks = {step.target}
        elif step.fault == "clock-step":
            assert self._wall_clock is not None
            self._wall_clock.step(step.by_s)
            self._last(step, scene)
            self._wall_clock.step(0.0)
            struck.tasks = set(range(self._row.partitions))
        else:
            self._strike_broker(step, scene)
            struck.tasks = set(range(self._row.partitions))
            if step.fault in ("latency", "throttle"):
                self._note_lag(step, watch.worst_lag_since(struck.at))
        struck.over = time.monotonic()
        return struck

    def _last(self, step: Step, scene: Scene) -> None:
        """Let it last, and strike what strikes meanwhile; that is over when this is."""
        began = time.monotonic()
        inner = []
        for other in step.during:
            self._wait(began + other.at_s - time.monotonic())
            inner.append(self._strike(other, scene))
        self._wait(began + step.for_s - time.monotonic())
        for struck in inner:
            struck.at = struck.over = time.monotonic()

    def _stall(self, step: Step, traffic: Traffic, watch: Watch) -> None:
        """Hide one partition's new records for a while; void when that partition went on or the others did not."""
        with Held(traffic.servers, traffic.topic, step.target, self._row.partitions, self._seed) as held:
            self._wait(SETTLED_S)
            before = watch.committed
            self._wait(step.for_s - SETTLED_S)
            after = watch.committed
            moved = {partition for partition, offset in after.items() if offset > before[partition]}
            if step.target in moved or len(moved) < self._row.partitions - 1:
                self._report.void = (
                    f"partition {step.target} was to stand still alone, but these moved: {sorted(moved)}"
                )
            held.behind = watch.behind(step.target)
        self._report.figures.append(f"Partition {step.target} stood still with {held.behind} records hidden")

    def _strike_broker(self, step: Step, scene: Scene) -> None:
        if step.fault in ("black-hole", "latency", "throttle"):
            self._strike_proxy(step, scene)
            return
        process = self._brokers.process
        assert process is not None
        if step.fault == "broker-kill":
            process.kill()
        elif step.fault == "disk-full":
            self._fill_disk(process)
        else:
            process.stop()
        self._last(step, scene)
        if step.fault == "disk-full":
            assert self._brokers.disk is not None
            self._brokers.disk.free()
        process.start()

    def _strike_proxy(self, step: Step, scene: Scene) -> None:
        proxy = self._brokers.proxy
        assert proxy is not None
        if step.fault == "black-hole":
            proxy.swallow()
        elif step.fault == "latency":
            proxy.slow(delay_s=LATENCY_S)
        else:
            proxy.slow(bytes_a_second=THROTTLE_BYTES_A_SECOND)
        self._last(step, scene)
        proxy.heal()

    def _note_lag(self, step: Step, lag: int) -> None:
        self._report.figures.append(f"Up to {lag:,} records left under {step.fault}")
        if lag < FELT_S * self._row.mix.rate:
            self._report.void = f"{step.fault} was not felt: {lag} records left at most"

    def _fill_disk(self, process: KafkaProcess) -> None:
        """Leave room for a moment of load, and wait until the broker has ended of it."""
        disk = self._brokers.disk
        assert disk is not None
        heard = process.log_file.stat().st_size
        disk.fill(ROOM_BYTES)
        self._until(lambda: not process.alive, BROKER_ENDS_S, "the broker ends when its disk is full")
        said = process.log_file.read_bytes()[heard:].count(DISK_FULL_WORDS)
        self._report.figures.append(
            f"The broker ended with {disk.free_bytes} bytes of room; its log says so {said} times"
        )
        if not said:
            self._report.void = "the broker ended, but not of a full disk"

    def _start_before_the_broker(self, crew: Crew, settings: Mapping[str, str]) -> None:
        process = self._brokers.process
        assert process is not None
        process.stop()
        for _ in range(self._row.workers):
            crew.add(**settings)
        self._wait(self._row.broker_late_s)
        process.start()

    # --- what is said of them ---------------------------------------------------------------------------------------

    def _note_faults(self, struck: list[Struck], watch: Watch) -> None:
        report = self._report
        report.faults = len(struck)
        kills = [one for one in struck if one.step.fault in ("kill", "retire")]
        report.kills = len(kills)
        report.phases = dict(Counter(one.phase for one in kills))
        found: list[float] = []
        for one in struck:
            # A kill is recovered from since it struck, what lasts since it was over.
            seconds = watch.recovery_s(one.over if one.step.for_s else one.at, one.tasks)
            if seconds is not None:
                found.append(seconds)
        if found:
            report.recovery_s = round(max(found), 2)
            report.typical_recovery_s = round(sorted(found)[len(found) // 2], 2)

    def _note_ends(self, crew: Crew, codes: list[int]) -> None:
        report = self._report
        report.own_ends = len(crew.own_ends)
        report.begun_again = sum(worker.begun_again for worker in crew.workers)
        for code, words in crew.own_ends[:5]:
            report.remarks.append(f"a worker ended by itself with {code}: {words}")
        if not self._row.expects_ends:
            report.unexpected_ends += len(crew.own_ends)
        else:
            report.unexpected_ends += sum(1 for code, _ in crew.own_ends if code not in (1, 3))
        bad = [code for code in codes if code != 0]
        report.unexpected_ends += len(bad)
        if bad:
            report.remarks.append(f"exit codes after the last SIGTERM: {codes}")

    # --- the end ----------------------------------------------------------------------------------------------------

    def _close(self, application: Application, until_ms: int) -> None:
        """Let silence close every window: a worker with a short idle timeout, until every partition passed this time."""
        with Crew(application, first_number=CLOSER) as crew, follow(application) as reader:
            worker = crew.add(windows__idle_timeout="1s")
            self._until_passed(reader, until_ms, worker)
            codes = crew.stop_all()
            if codes != [0] or crew.own_ends:
                self._report.unexpected_ends += 1
                self._report.remarks.append(f"the worker that closed the windows: {codes} {crew.own_ends[:1]}")

    def _until_passed(self, reader: Positions, until_ms: int, worker: Worker) -> None:
        self._until(lambda: reader.slowest_ms() >= until_ms, CLOSE_S, f"stream time {until_ms}; {worker.log}")
