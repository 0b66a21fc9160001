"""One application: its topics, its settings, and a supervised crew of worker processes.

The supervisor does what systemd or Kubernetes would do: a worker that ended is started again at once, whatever ended it.
How often a worker ended by itself is counted; an end that no restart can cure (lost or incompatible state, a wrong setting)
is kept as a refusal.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from tests.faults.planted.planting import PLANTED
from tests.support.broker.names import new_name
from tests.support.paths import ROOT

PARENT_DEATH = ROOT / "topology" / "runtime" / "parent_death.py"
PRODUCT = ("-c", "from topology.cli import main; main()")
POLL_S = 0.05
RESTART_AFTER_S = 0.1
# A worker that fails at once is started again after this, as a supervisor with a back-off would.
RESTART_AFTER_FAILURE_S = 1.0
STOP_DEADLINE_S = 60.0
# What no restart can cure, by the last line of the log.
REFUSALS = re.compile(rb"truncated or deleted|the state was made|the input had|do not exist")
REFUSED_FOR_GOOD = 3
# The worker's last words before it runs its own program anew.
BEGINS_AGAIN = b'"event":"beginning again from the checkpoint"'
PLANTED_LINE = f'"event":"{PLANTED}"'.encode()
# Linux ties "kill at the parent's death" to the starting thread, so that one must live as long as we do.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")

RULES = """
[[rule]]
name = "Failing"
window = "1s"
expression = "error_rate > threshold && total_requests >= 3"
threshold = 0.5
for = "0s"
severity = "critical"
no_data = "ok"
[[rule]]
name = "KeepsFailing"
window = "1s"
expression = "error_rate > threshold && total_requests >= 3"
threshold = 0.5
for = "1s"
severity = "warning"
no_data = "ok"
"""


def spawn(arguments: tuple[str, ...], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """A Python process of ours that dies with us."""
    command = [sys.executable, *arguments]
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", str(PARENT_DEATH), str(os.getpid()), *command]

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as out:
            return subprocess.Popen(
                command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=log.parent
            )

    return _SPAWNER.submit(start).result()


class Application:
    """Names and settings of its own on a broker, and how to run the program with them."""

    def __init__(self, servers: str, directory: Path, settings: Mapping[str, str], mutant: str | None = None) -> None:
        self.servers = servers
        self.name = new_name("fault")
        self.mutant = mutant
        self.clock_file: Path | None = None
        self.directory = directory / self.name
        self.directory.mkdir(parents=True, exist_ok=True)
        rules = self.directory / "rules.toml"
        rules.write_text(RULES, encoding="utf-8")
        named = ("module_log_events", "metric_samples", "module_metrics", "system_metrics", "metric_aggregates")
        self._settings = {
            "kafka__bootstrap_servers": servers,
            "kafka__session_timeout": "6s",
            "metrics__bind": "127.0.0.1:0",
            "application_id": self.name,
            "alerts__rules_file": str(rules),
            "log__format": "json",
            **{
                f"topics__{field}": f"{self.name}.{field}"
                for field in (*named, "module_alerts", "health_status", "late", "dlq")
            },
            **settings,
        }

    @property
    def input(self) -> str:
        return self.topic("module_log_events")

    @property
    def repartition(self) -> str:
        return f"{self.name}-repartition"

    @property
    def changelog(self) -> str:
        return f"{self.name}-changelog"

    @property
    def system_changelog(self) -> str:
        return f"{self.name}-system-changelog"

    def topic(self, field_name: str) -> str:
        return self._settings[f"topics__{field_name}"]

    def environment(self, **more: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MODPULSE_")}
        mine = {f"MODPULSE_{name.upper()}": value for name, value in (self._settings | more).items()}
        return inherited | mine | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

    @property
    def program(self) -> tuple[str, ...]:
        """The worker's command line: the product's, or with a clock that steps or a planted bug."""
        options: list[str] = []
        if self.clock_file is not None:
            options += ["--clock", str(self.clock_file)]
        if self.mutant is not None:
            options += ["--mutant", self.mutant]
        return ("-m", "tests.faults.launch", *options) if options else PRODUCT

    def command(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command of the product to its end."""
        return subprocess.run(
            [sys.executable, *PRODUCT, *arguments],
            env=self.environment(**more),
            cwd=self.directory,
            capture_output=True,
            timeout=180,
            check=False,
        )

    def create_topics(self) -> None:
        done = self.command("topics", "create")
        if done.returncode != 0:
            raise RuntimeError(done.stderr.decode())


@dataclass(slots=True)
class Worker:
    """One place in the crew and the process that fills it.

    Attributes:
        wanted: whether the supervisor starts it again when it ends.
        due: when the supervisor may start it.
        ends: exit codes of the processes that ended by themselves.
    """

    number: int
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    log: Path = Path()
    wanted: bool = True
    frozen: bool = False
    due: float = 0.0
    started: float = 0.0
    starts: int = 0
    ends: list[tuple[int, str]] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def lines(self) -> list[dict[str, object]]:
        """The log since the program began, or last began again by itself, as far as it is JSON."""
        if not self.log.exists():
            return []
        _, _, newest = self.log.read_bytes().rpartition(BEGINS_AGAIN)
        return [orjson.loads(line) for line in newest.splitlines() if _is_object(line)]

    @property
    def begun_again(self) -> int:
        """How often its processes began again from the checkpoint by themselves."""
        logs = self.log.parent.glob(f"worker-{self.number}-*.log")
        return sum(log.read_bytes().count(BEGINS_AGAIN) for log in logs)

    @property
    def planted(self) -> bool:
        """Whether one of its processes said that its program has the bug."""
        logs = self.log.parent.glob(f"worker-{self.number}-*.log")
        return any(PLANTED_LINE in log.read_bytes() for log in logs)

    @property
    def assigned(self) -> list[str] | None:
        """The tasks it last said it had, None before it said any."""
        said = [line["tasks"] for line in self.lines() if line.get("event") == "assigned"]
        return [str(task) for task in said[-1]] if said and isinstance(said[-1], list) else None

    @property
    def assignments(self) -> int:
        """How often it was told its tasks; once when nothing happens."""
        logs = self.log.parent.glob(f"worker-{self.number}-*.log")
        return sum(log.read_bytes().count(b'"event":"assigned"') for log in logs)

    @property
    def phase(self) -> str:
        """What it is doing, by its log."""
        events = [str(line.get("event")) for line in self.lines()]
        if "assigned" not in events:
            return "restoring" if "task opened" in events else "joining" if "probes" in events else "starting"
        return "running"


def _is_object(line: bytes) -> bool:
    return line.startswith(b"{") and line.endswith(b"}")


class Crew:
    """The workers of an application and their supervisor."""

    def __init__(self, application: Application, *, static: bool = False, first_number: int = 0) -> None:
        self._application = application
        self._first_number = first_number
        self._static = static
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="supervisor")
        self.workers: list[Worker] = []
        self.refusals: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        for worker in self.workers:
            worker.wanted = False
            if worker.process is not None and worker.alive:
                worker.process.kill()
                worker.process.wait()

    def add(self, **environment: str) -> Worker:
        """One more worker."""
        number = self._first_number + len(self.workers)
        if self._static:
            environment["kafka__group_instance_id"] = f"worker-{number}"
        worker = Worker(number, self._application.environment(**environment))
        with self._lock:
            self.workers.append(worker)
            self._start(worker)
        return worker

    def pick(self, number: int) -> Worker:
        """The wanted worker of a number, as long as there are so many; else counted around."""
        wanted = [worker for worker in self.workers if worker.wanted]
        return wanted[number % len(wanted)]

    def kill(self, worker: Worker, *, back: bool = True) -> str:
        """SIGKILL whatever process fills the place, waiting for one if need be; answers in which phase it was."""
        self._until_alive(worker)
        phase = worker.phase
        with self._lock:
            worker.wanted = worker.wanted and back
            assert worker.process is not None
            worker.process.kill()
            worker.process.wait()
            worker.process = None
            worker.due = time.monotonic() + RESTART_AFTER_S
        return phase

    def stop(self, worker: Worker, *, back: bool = True) -> int:
        """SIGTERM; its exit code, 0 also when the signal came before Python could listen to it."""
        self._until_alive(worker)
        with self._lock:
            wanted, worker.wanted = worker.wanted, False
            process = worker.process
        assert process is not None
        deaf = worker.phase == "starting"
        process.terminate()
        try:
            code = process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
            worker.ends.append((code, "did not end after SIGTERM"))
        with self._lock:
            worker.process = None
            worker.wanted = wanted and back
        return 0 if deaf and code == -signal.SIGTERM else code

    def freeze(self, worker: Worker) -> None:
        """SIGSTOP."""
        self._until_alive(worker)
        assert worker.process is not None
        worker.process.send_signal(signal.SIGSTOP)

    def thaw(self, worker: Worker) -> None:
        """SIGCONT."""
        if worker.process is not None:
            worker.process.send_signal(signal.SIGCONT)

    def stop_all(self) -> list[int]:
        """SIGTERM to all; the exit codes of those that ran."""
        with self._lock:
            running = [worker for worker in self.workers if worker.alive]
            deaf = {worker.number for worker in running if worker.phase == "starting"}
            for worker in self.workers:
                worker.wanted = False
            for worker in running:
                assert worker.process is not None
                worker.process.terminate()
        codes = []
        for worker in running:
            assert worker.process is not None
            try:
                code = worker.process.wait(STOP_DEADLINE_S)
                codes.append(0 if worker.number in deaf and code == -signal.SIGTERM else code)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                codes.append(worker.process.wait())
            worker.process = None
        return codes

    @property
    def own_ends(self) -> list[tuple[int, str]]:
        """Exit code and last words of every process that ended without being told to."""
        return [end for worker in self.workers for end in worker.ends]

    @property
    def refused(self) -> bool:
        """Whether the workers say, again and again, that they must not go on."""
        return len(self.refusals) >= REFUSED_FOR_GOOD

    def _until_alive(self, worker: Worker) -> None:
        deadline = time.monotonic() + 30
        while not worker.alive:
            if self._stop.wait(POLL_S) or time.monotonic() > deadline or not worker.wanted:
                raise RuntimeError(f"worker {worker.number} is not there: {worker.ends[-1:]}")

    def _start(self, worker: Worker) -> None:
        worker.log = self._application.directory / f"worker-{worker.number}-{worker.starts}.log"
        worker.starts += 1
        worker.started = time.monotonic()
        worker.process = spawn((*self._application.program, "run"), worker.environment, worker.log)

    def _supervise(self) -> None:
        while not self._stop.wait(POLL_S):
            with self._lock:
                for worker in self.workers:
                    if not worker.wanted or worker.alive:
                        continue
                    if worker.process is not None:
                        self._ended(worker, worker.process.returncode)
                    elif time.monotonic() >= worker.due:
                        self._start(worker)

    def _ended(self, worker: Worker, code: int) -> None:
        words = [line for line in worker.log.read_bytes().splitlines() if line.strip()]
        last = words[-1] if words else b""
        worker.ends.append((code, last.decode(errors="replace")[:300]))
        if code == 2 or REFUSALS.search(last):
            self.refusals.append(last.decode(errors="replace")[:400])
        worker.process = None
        worker.due = time.monotonic() + RESTART_AFTER_FAILURE_S
