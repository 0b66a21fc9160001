"""Carries the faults of a plan out, and notes of each what was going on."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.faults.broker import Brokers
from tests.faults.crew import Crew, Worker
from tests.faults.outcome import Report
from tests.faults.plan import Step
from tests.faults.strikes.clock import WallClock
from tests.faults.strikes.stall import Held
from tests.faults.strikes.waiting import until
from tests.faults.strikes.watch import SETTLED_S, Watch
from tests.faults.traffic import Traffic
from topology.devbroker.process import KafkaProcess

# What is left on a disk that fills up: a second or two of load.
ROOM_BYTES = 1 << 20
BROKER_ENDS_S = 90.0
DISK_FULL_WORDS = b"No space left on device"
LATENCY_S = 0.3
THROTTLE_BYTES_A_SECOND = 200_000.0
# A slow broker that costs less than this much of the load is none.
FELT_S = 3.0
BAD_IN_A_ROW = 1_000
# What lasts is not followed by another fault at once, however slow the machine is.
SETTLE_S = 5.0


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


@dataclass(frozen=True, slots=True)
class Scene:
    """Whom faults strike.

    Attributes:
        settings: of workers that join. rate: of the load, events a second. wait: a pause of so many seconds.
    """

    crew: Crew
    traffic: Traffic
    watch: Watch
    brokers: Brokers
    partitions: int
    rate: float
    seed: int
    settings: Mapping[str, str]
    wait: Callable[[float], None]
    wall_clock: WallClock | None = None


@dataclass(slots=True)
class Striker:
    """Strikes, and says in the report what came of it."""

    scene: Scene
    report: Report
    struck: list[Struck] = field(default_factory=list)

    def carry_out(self, steps: tuple[Step, ...]) -> float:
        """All steps at their times from now on; answers when the last one was over."""
        began = last = time.monotonic()
        for step in steps:
            settled = last + (SETTLE_S if step.for_s else 0.0)
            self.scene.wait(max(began + step.at_s, settled) - time.monotonic())
            last = self.strike(step).over
        return last

    def strike(self, step: Step) -> Struck:
        """Do it, to its end, and what strikes in the meantime."""
        scene = self.scene
        worker = scene.crew.pick(step.target)
        tasks = {int(task) for task in worker.assigned or () if task.isdigit()}
        lag, producing = scene.watch.lag, scene.traffic.producing
        struck = Struck(step, time.monotonic(), lag, producing, worker.phase, tasks)
        self.struck.append(struck)
        if not struck.work_left:
            self.report.void = f"no work was left when {step.fault} struck at {step.at_s:g} s"
        if not self._strike_worker(step, worker, struck) and not self._strike_partition(step, struck):
            struck.tasks = set(range(scene.partitions))
            if step.fault == "clock-step":
                self._step_clock(step)
            elif step.fault in ("black-hole", "latency", "throttle"):
                self._strike_proxy(step, struck)
            elif step.fault in ("broker-kill", "broker-stop", "broker-down", "disk-full"):
                self._strike_broker(step)
            else:
                raise AssertionError(f"nobody knows how to strike {step.fault}")
        struck.over = time.monotonic()
        return struck

    def _strike_worker(self, step: Step, worker: Worker, struck: Struck) -> bool:
        """Do it, if it is one of these."""
        crew = self.scene.crew
        if step.fault in ("kill", "retire"):
            struck.phase = crew.kill(worker, back=step.fault == "kill")
        elif step.fault in ("stop", "leave"):
            code = crew.stop(worker, back=step.fault == "stop")
            if code != 0:
                self.report.unexpected_ends += 1
                self.report.remarks.append(f"exit code {code} after SIGTERM in phase {struck.phase}")
        elif step.fault == "join":
            crew.add(**self.scene.settings)
        elif step.fault == "freeze":
            crew.freeze(worker)
            self._last(step)
            crew.thaw(worker)
        else:
            return False
        return True

    def _strike_partition(self, step: Step, struck: Struck) -> bool:
        """Do it, if it is one of these."""
        if step.fault == "stall":
            self._stall(step)
        elif step.fault == "bad-burst":
            self.scene.traffic.bad_in_a_row(step.target, BAD_IN_A_ROW)
        else:
            return False
        struck.tasks = {step.target}
        return True

    def _last(self, step: Step) -> None:
        """Let it last, and strike what strikes meanwhile; that is over when this is."""
        began = time.monotonic()
        inner = []
        for other in step.during:
            self.scene.wait(began + other.at_s - time.monotonic())
            inner.append(self.strike(other))
        self.scene.wait(began + step.for_s - time.monotonic())
        for struck in inner:
            struck.at = struck.over = time.monotonic()

    def _step_clock(self, step: Step) -> None:
        clock = self.scene.wall_clock
        assert clock is not None
        clock.step(step.by_s)
        self._last(step)
        clock.step(0.0)

    def _stall(self, step: Step) -> None:
        """Hide one partition's new records for a while; void when that partition went on or the others did not."""
        scene = self.scene
        with Held(scene.traffic.servers, scene.traffic.topic, step.target, scene.partitions, scene.seed) as held:
            scene.wait(SETTLED_S)
            before = scene.watch.committed
            scene.wait(step.for_s - SETTLED_S)
            after = scene.watch.committed
            moved = {partition for partition, offset in after.items() if offset > before[partition]}
            if step.target in moved or len(moved) < scene.partitions - 1:
                self.report.void = f"partition {step.target} was to stand still alone, but these moved: {sorted(moved)}"
            held.behind = scene.watch.behind(step.target)
        self.report.figures.append(f"Partition {step.target} stood still with {held.behind} records hidden")

    def _strike_broker(self, step: Step) -> None:
        process = self.scene.brokers.process
        assert process is not None
        if step.fault == "broker-kill":
            process.kill()
        elif step.fault == "disk-full":
            self._fill_disk(process)
        else:
            process.stop()
        self._last(step)
        if step.fault == "disk-full":
            assert self.scene.brokers.disk is not None
            self.scene.brokers.disk.free()
        process.start()

    def _strike_proxy(self, step: Step, struck: Struck) -> None:
        proxy = self.scene.brokers.proxy
        assert proxy is not None
        if step.fault == "black-hole":
            proxy.swallow()
        elif step.fault == "latency":
            proxy.slow(delay_s=LATENCY_S)
        else:
            proxy.slow(bytes_a_second=THROTTLE_BYTES_A_SECOND)
        self._last(step)
        proxy.heal()
        if step.fault != "black-hole":
            self._note_lag(step, self.scene.watch.worst_lag_since(struck.at))

    def _note_lag(self, step: Step, lag: int) -> None:
        self.report.figures.append(f"Up to {lag:,} records left under {step.fault}")
        if lag < FELT_S * self.scene.rate:
            self.report.void = f"{step.fault} was not felt: {lag} records left at most"

    def _fill_disk(self, process: KafkaProcess) -> None:
        """Leave room for a moment of load, and wait until the broker has ended of it."""
        disk = self.scene.brokers.disk
        assert disk is not None
        heard = process.log_file.stat().st_size
        disk.fill(ROOM_BYTES)
        until(lambda: not process.alive, "the broker ends when its disk is full", BROKER_ENDS_S)
        said = process.log_file.read_bytes()[heard:].count(DISK_FULL_WORDS)
        self.report.figures.append(
            f"The broker ended with {disk.free_bytes} bytes of room; its log says so {said} times"
        )
        if not said:
            self.report.void = "the broker ended, but not of a full disk"

    def note(self) -> None:
        """How many there were, whom they met in which phase, and how long they were felt."""
        report = self.report
        report.faults = len(self.struck)
        kills = [one for one in self.struck if one.step.fault in ("kill", "retire")]
        report.kills = len(kills)
        report.phases = dict(Counter(one.phase for one in kills))
        found: list[float] = []
        for one in self.struck:
            # A kill is recovered from since it struck, what lasts since it was over.
            seconds = self.scene.watch.recovery_s(one.over if one.step.for_s else one.at, one.tasks)
            if seconds is not None:
                found.append(seconds)
        if found:
            report.recovery_s = round(max(found), 2)
            report.typical_recovery_s = round(sorted(found)[len(found) // 2], 2)
