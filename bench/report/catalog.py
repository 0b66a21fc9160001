"""Which programs are measured, how each is started, and what it does and does not do."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from bench.rig.builds import classpath_of, java_command, python_with

MAIN = "modpulse"
LIMIT = "fetch + decode"
FOLD = "fetch + decode + fold"
_OPENED = ("java.util", "java.lang", "java.time", "java.nio")
_HEAP = "-Xmx1g"


@dataclass(frozen=True, slots=True)
class Program:
    """One row of the table.

    Attributes:
        name: as in the table and in `--only`.
        kind: ours, a limit of this machine, or a peer.
        command: makes the command; may build something first.
        does: what it does, for the table.
        share: of the events; slow programs get the first part of the same topic.
        settings: environment of the worker.
        verifies: tells how many events its own books hold.
        output: writes to a topic `<run>-out`.
    """

    name: str
    kind: Literal["modpulse", "limit", "peer"]
    command: Callable[[], list[str]]
    does: str
    share: float = 1.0
    settings: Mapping[str, str] = field(default_factory=dict)
    verifies: bool = False
    output: bool = False


def _module(name: str, *arguments: str) -> Callable[[], list[str]]:
    return lambda: [sys.executable, "-m", f"bench.{name}", *arguments]


def _in_venv(name: str, *arguments: str) -> Callable[[], list[str]]:
    return lambda: [str(python_with(name)), "-m", *arguments]


def _java(project: str, main_class: str, *arguments: str) -> Callable[[], list[str]]:
    opened = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return lambda: [java_command(), _HEAP, quiet, *opened, "-cp", classpath_of(project), main_class, *arguments]


def worker_command() -> list[str]:
    """The command of the counted worker."""
    return [sys.executable, "-m", "bench.programs.modpulse_worker"]


PROGRAMS: tuple[Program, ...] = (
    Program(
        MAIN,
        "modpulse",
        worker_command,
        "everything on: six window sizes, percentiles, health, alerts, changelog, transactions, duplicate suppression",
        verifies=True,
    ),
    Program(
        "modpulse, dedup off",
        "modpulse",
        worker_command,
        "the same without duplicate suppression",
        settings={"MODPULSE_DEDUP__ENABLED": "false"},
        verifies=True,
    ),
    Program(
        "modpulse, no compiled part",
        "modpulse",
        worker_command,
        'everything on, the Python path alone (`native = "off"`)',
        settings={"MODPULSE_NATIVE": "off"},
        verifies=True,
    ),
    Program(
        "fetch, aiokafka", "limit", _module("programs.fetch_records"), "plain aiokafka `getmany`, a ConsumerRecord each"
    ),
    Program("fetch, spans", "limit", _module("programs.fetch_spans"), "aiokafka's batches without ConsumerRecords"),
    Program(
        LIMIT,
        "limit",
        _module("programs.fetch_decode"),
        "the same, and an object for each event (msgspec): **the limit** of Python",
    ),
    Program(
        FOLD,
        "limit",
        _module("programs.fetch_decode_fold", "python"),
        "the same and the core's arithmetic; no Faust, no dedup, nothing closed or written",
    ),
    Program(
        "fetch + scan + fold",
        "limit",
        _module("programs.fetch_decode_fold", "native"),
        "the same by way of the compiled part, in one thread",
    ),
    Program(
        "Kafka Streams, at least once",
        "peer",
        _java("kafka_streams", "KafkaStreamsWindows", "at_least_once"),
        "30 s windows: count, sum, min, max, DDSketch 1 %; 1 thread, in-memory store, changelog, output topic",
        output=True,
    ),
    Program(
        "Kafka Streams, exactly once v2",
        "peer",
        _java("kafka_streams", "KafkaStreamsWindows", "exactly_once_v2"),
        "the same in transactions, one a second",
        output=True,
    ),
    Program(
        "Flink, heap",
        "peer",
        _java("flink", "FlinkWindows"),
        "30 s windows: count, sum, min, max, DDSketch 1 %; parallelism 1, no checkpoints, no output",
    ),
    Program(
        "Quix Streams",
        "peer",
        _in_venv("quix", "bench.peers.quix_windows"),
        "30 s windows: count, sum; it has no sketch; at least once",
        share=0.08,
    ),
    Program(
        "Bytewax",
        "peer",
        _in_venv("bytewax", "bytewax.run", "bench.peers.bytewax_windows"),
        "30 s windows: count, sum; it has no sketch; no recovery, no output",
        share=0.08,
    ),
    Program(
        "Faust, plain agent",
        "peer",
        _module("peers.faust_plain", "worker", "--without-web", "-l", "warn"),
        "counts and does nothing else",
        share=0.04,
    ),
    Program(
        "Faust, Table",
        "peer",
        _module("peers.faust_table", "worker", "--without-web", "-l", "warn"),
        "30 s windows: count, sum in a windowed Table; no sketch; at least once",
        share=0.012,
    ),
)


def chosen(only: list[str]) -> list[Program]:
    """The programs whose name begins with one of these (all without any), in the table's order.

    Raises:
        ValueError: a name fits none.
    """
    for name in only:
        if not any(program.name.lower().startswith(name.lower()) for program in PROGRAMS):
            raise ValueError(f"no program begins with {name!r}; there are: {', '.join(p.name for p in PROGRAMS)}")
    wanted = [name.lower() for name in only]
    return [p for p in PROGRAMS if not wanted or any(p.name.lower().startswith(name) for name in wanted)]
