"""Run one program on the preloaded topic and measure it, the same way for all.

The clock runs from the first processed event to the last one, so starting up, joining a group and warming up before the
first event count for nobody, and neither does the last commit after the last event. What a virtual machine compiles while it
works does count; the rate of the second half of the events shows what it is like when it is warm. CPU is that of the
program's processes over the same time; the broker's is not in it.
"""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report.progress import Task, heard
from bench.rig.builds import ROOT
from bench.rig.processes import Usage, usage

# A program that is paused, or never ends by itself, must not outlive a benchmark that is killed.
_PARENT_DEATH = ROOT / "topology" / "runtime" / "parent_death.py"
_LOOK_S = 0.1
_END_S = 40.0


class VoidError(Exception):
    """A run that proves nothing; the text says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run.

    Attributes:
        processed: all events, also those of the first report, with which the clock starts.
        events: processed between the first report and the last. seconds: in between.
        cpu_s: of the program's processes in that time. peak_mib: resident, at most.
        warm_rate: events per second over the second half of the events.
    """

    processed: int
    events: int
    seconds: float
    cpu_s: float
    peak_mib: float
    warm_rate: float

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds

    @property
    def cpu_per_million(self) -> float:
        """CPU seconds per million events."""
        return self.cpu_s / self.events * 1e6


class Running:
    """A started program and what it has said so far."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(_PARENT_DEATH), str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=log.parent,
                env={**_surroundings(), "PYTHONPATH": str(ROOT), **_temporary(log.parent), **environment},
                start_new_session=True,
            )
        self._lines: queue.SimpleQueue[dict[str, float]] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._points: list[tuple[float, int]] = []
        self.verified: int | None = None
        self.waiting = False
        self._began: Usage | None = None
        self._ended: Usage | None = None
        self._peak_mib = 0.0

    @property
    def pid(self) -> int:
        """Of the program."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    @property
    def first(self) -> tuple[float, int] | None:
        """When it reported first, and how many events."""
        return self._points[0] if self._points else None

    @property
    def last(self) -> tuple[float, int] | None:
        """When it reported last, and how many events."""
        return self._points[-1] if self._points else None

    def count(self) -> int:
        """Events processed as far as it has said; unlike `listen` this looks at nothing else and takes no time."""
        while True:
            try:
                values = self._lines.get_nowait()
            except queue.Empty:
                return self.last[1] if self.last else 0
            if "events" in values:
                self._points.append((values["t"], int(values["events"])))
            self.waiting = self.waiting or "waiting" in values

    def listen(self, seconds: float = _LOOK_S) -> None:
        """Take in what it says for at most so long, and look at its memory."""
        try:
            values: dict[str, float] | None = self._lines.get(timeout=seconds)
        except queue.Empty:
            values = None
        now = usage(self.pid)
        self._peak_mib = max(self._peak_mib, now.peak_mib)
        while values is not None:
            if "events" in values:
                self._points.append((values["t"], int(values["events"])))
                self._began, self._ended = self._began or now, now
            self.verified = int(values["verified"]) if "verified" in values else self.verified
            try:
                values = self._lines.get_nowait()
            except queue.Empty:
                values = None

    def stop(self) -> int:
        """Let it end (SIGTERM), or end it when it does not; takes in what it says meanwhile."""
        if self.alive:
            self._process.terminate()
        deadline = time.monotonic() + _END_S
        while self.alive and time.monotonic() < deadline:
            self.listen()
        self.kill()
        self._reader.join(5)
        self.listen(0.01)
        return self._process.wait()

    def kill(self) -> None:
        """End it and whatever it started."""
        if self.alive:
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def outcome(self) -> Outcome:
        """What it did.

        Raises:
            VoidError: it reported too little.
        """
        if self.first is None or self.last is None or self._began is None or self._ended is None:
            raise VoidError(f"reported nothing; the end of its log: {self.tail()}")
        (begin, before), (end, after) = self.first, self.last
        if after <= before or end <= begin:
            raise VoidError("reported only once")
        middle, half = next(point for point in self._points if point[1] >= (before + after) // 2)
        warm = (after - half) / (end - middle) if end > middle else (after - before) / (end - begin)
        cpu_s = self._ended.cpu_s - self._began.cpu_s
        return Outcome(after, after - before, end - begin, cpu_s, self._peak_mib, warm)

    def tail(self) -> str:
        """The last lines of its log."""
        return " / ".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-4:])[-800:]

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                values = heard(line)
                if values is not None:
                    self._lines.put(values)


def _surroundings() -> dict[str, str]:
    """Our environment without the caller's own settings of the worker."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MODPULSE_", "BENCH_"))}


def _temporary(home: Path) -> dict[str, str]:
    """Keep what a program leaves in temporary files with its log, so that it goes with it."""
    directory = home / "tmp"
    directory.mkdir(exist_ok=True)
    return {"TMPDIR": str(directory), "JAVA_TOOL_OPTIONS": f"-Djava.io.tmpdir={directory}"}


def measure(
    command: Sequence[str],
    task: Task,
    environment: Mapping[str, str],
    log: Path,
    *,
    whole: bool,
    verifies: bool,
    deadline_s: float,
) -> Outcome:
    """Run it to the last event and end it.

    Args:
        command: the program.
        task: what it is asked to do.
        environment: more variables for it.
        log: where its standard error goes.
        whole: the task is the whole topic, so one event more than asked for is an error too.
        verifies: it tells at its end how many events its own books hold; that must be all of them.
        deadline_s: for all of it.

    Raises:
        VoidError: not every event was processed.
    """
    running = Running(command, {**task.environment(), **environment}, log)
    try:
        deadline = time.monotonic() + deadline_s
        while running.alive and time.monotonic() < deadline:
            running.listen()
            if running.last is not None and running.last[1] >= task.events:
                break
        outcome = None
        if running.last is not None and running.last[1] >= task.events:
            outcome = running.outcome()
        running.stop()
    finally:
        running.kill()
    processed = running.last[1] if running.last else 0
    if outcome is None or (whole and processed != task.events):
        raise VoidError(f"{processed:,} of {task.events:,} events processed; the end of its log: {running.tail()}")
    if verifies and running.verified != task.events:
        raise VoidError(f"its ledger holds {running.verified} applied events, not {task.events:,}: {running.tail()}")
    return outcome
