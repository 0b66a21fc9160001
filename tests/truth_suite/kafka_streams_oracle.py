"""Asks Kafka Streams itself: `WindowedCounts.java`, run on Kafka's own test driver, without a broker.

The jars are fetched once into `<checkout>/.dev/kafka-streams-libs`, one directory for each version of the pom, as
those of the test broker are (topology/devbroker/jars.py). The program is compiled by Eclipse's compiler, one of these jars, so
a Java runtime is enough.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.paths import ROOT
from tests.truth_suite.disorder import Stream
from topology.devbroker.jars import maven_libs
from topology.devbroker.java import java
from topology.devbroker.packages import ProviderUnavailableError

HERE = Path(__file__).with_name("kafka_streams")
POM = HERE / "pom.xml"
PROGRAM = HERE / "WindowedCounts.java"
LIBS = ROOT / ".dev" / "kafka-streams-libs"
WHAT = "Kafka Streams (about 23 MB)"
COMPILER = "org.eclipse.jdt.internal.compiler.batch.Main"
REMEDY = "install Java 17 or newer and Maven, as in `apt-get install openjdk-17-jre-headless maven`"
TIMEOUT_S = 240


class OracleUnavailableError(Exception):
    """Kafka Streams cannot be asked here; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Final:
    """The count of one window when it closed, and the record (from 0) that closed it."""

    module: str
    start_ms: int
    count: int
    record: int


@dataclass(slots=True)
class Answer:
    """What Kafka Streams says of one stream: the records that came too late, and the windows in the order they closed."""

    late: list[int] = field(default_factory=list)
    finals: list[Final] = field(default_factory=list)


def ask(streams: Sequence[Stream]) -> list[Answer]:
    """What Kafka Streams says of each stream.

    Raises:
        OracleUnavailableError: no JDK 17+, or the jars are not there and Maven is missing or failed.
    """
    try:
        libs = maven_libs(POM, LIBS, WHAT)
        paths = f"{compiled(PROGRAM, libs)}:{libs}/*"
        command = [java(), "-XX:+UseSerialGC", "-cp", paths, PROGRAM.stem]
    except ProviderUnavailableError as problem:
        raise OracleUnavailableError(f"Kafka Streams cannot be asked ({problem}): {REMEDY}") from problem
    ended = subprocess.run(
        command, input=_question(streams), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if ended.returncode:
        raise OracleUnavailableError(
            f"{PROGRAM.name} ended with {ended.returncode} ({REMEDY}):\n{ended.stderr[-2000:]}"
        )
    answers = _answers(ended.stdout)
    assert len(answers) == len(streams)
    return answers


def compiled(program: Path, libs: Path) -> Path:
    """The directory of a program's classes, compiled on first use; each version of it has its own.

    Raises:
        OracleUnavailableError: it does not compile.
    """
    classes = libs / f"{program.stem}-{hashlib.sha256(program.read_bytes()).hexdigest()[:12]}"
    if not classes.is_dir():
        partial = classes.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        command = [
            java(),
            "-cp",
            f"{libs}/*",
            COMPILER,
            "-17",
            "-nowarn",
            "-cp",
            ":".join(map(str, libs.glob("*.jar"))),
        ]
        ended = subprocess.run(
            [*command, "-d", str(partial), str(program)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        if ended.returncode:
            raise OracleUnavailableError(f"{program.name} does not compile:\n{ended.stdout}{ended.stderr}")
        partial.rename(classes)
    return classes


def _question(streams: Sequence[Stream]) -> str:
    lines: list[str] = []
    for stream in streams:
        lines.append(f"stream {stream.size_ms} {stream.grace_ms}")
        lines += [f"{module} {time}" for module, time in stream.events]
    return "\n".join(lines)


def _answers(text: str) -> list[Answer]:
    answers: list[Answer] = []
    for line in text.splitlines():
        match line.split(" "):
            case ["stream"]:
                answers.append(Answer())
            case ["late", record]:
                answers[-1].late.append(int(record))
            case ["final", record, module, start, count]:
                answers[-1].finals.append(Final(module, int(start), int(count), int(record)))
            case ["dropped", records]:
                assert int(records) == len(answers[-1].late), "Kafka Streams' own metric says otherwise"
            case _:
                raise AssertionError(f"{PROGRAM.name} said {line!r}")
    return answers
