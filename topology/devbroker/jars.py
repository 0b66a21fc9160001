"""Jars from Maven Central by a locked list, fetched once, and the command lines that run a class of Kafka's.

A pom names what is wanted, `<pom>.lock` beside it every jar that comes of it with its SHA-256. Maven fetches them where it is
installed, else `jgo` from PyPI does. Each version of a lock has its own directory below `<checkout>/.dev`, so jars a running
broker still reads are never replaced under it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from topology.devbroker.java import java
from topology.devbroker.packages import DEV, ProviderUnavailableError, installed, locked, tell

_POM = Path(__file__).with_name("pom.xml")
_RESOLVER = Path(__file__).with_name("resolver.lock")
_DOWNLOADER = Path(__file__).with_name("download_jars.py")
_LIBS = DEV / "kafka-libs"
_FETCH_TIMEOUT_S = 900
# A line after so many jars: people see that it goes on, and a log stays short.
_TOLD_EVERY = 20


@dataclass(frozen=True, slots=True)
class Jar:
    """One jar of a lock."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinate(self) -> str:
        """`group:artifact:version`."""
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def file(self) -> str:
        """The name Maven gives it."""
        return f"{self.artifact}-{self.version}.jar"


def lock_of(pom: Path) -> Path:
    """The lock beside a pom."""
    return pom.with_suffix(".lock")


def locked_jars(pom: Path) -> list[Jar]:
    """The jars of a pom's lock; a line is a coordinate and a SHA-256."""
    jars = []
    for line in lock_of(pom).read_text("utf-8").splitlines():
        if not line.startswith("#"):
            coordinate, sha256 = line.split()
            group, artifact, version = coordinate.split(":")
            jars.append(Jar(group, artifact, version, sha256))
    return jars


def kafka_libs() -> Path:
    """Return the directory of Kafka's jars, fetching them on first use.

    Raises:
        ProviderUnavailableError: they are not there yet and cannot be fetched.
    """
    return maven_libs(_POM, _LIBS, "Apache Kafka (about 55 MB)")


def maven_libs(pom: Path, home: Path, what: str) -> Path:
    """Return the directory of the jars a pom's lock names, fetching them on first use. Concurrent callers wait for one fetch.

    Args:
        pom: its lock is beside it; each version of the lock gets a directory of its own.
        home: where those directories are.
        what: what it brings, for messages.

    Raises:
        ProviderUnavailableError: they are not there yet and cannot be fetched, or they are not those of the lock.
    """
    libs = home / hashlib.sha256(lock_of(pom).read_bytes()).hexdigest()[:12]
    if libs.is_dir():
        return libs
    with locked(home, f"the jars of {what}"):
        if not libs.is_dir():
            _fetch(pom, libs, what)
    return libs


def kafka_java(
    main_class: str, *arguments: str, classpath: Sequence[Path | str] = (), jvm: Sequence[str] = ()
) -> list[str]:
    """Return the command that runs `main_class` with Kafka's jars on the classpath (fetching them on first use).

    Args:
        main_class: for example `org.apache.kafka.tools.VerifiableProducer`.
        arguments: passed to its `main`.
        classpath: searched before Kafka's jars; a jar, a directory of classes or `<directory>/*`.
        jvm: options of the virtual machine, such as `-Xmx512m`.

    Raises:
        ProviderUnavailableError: no Java 17+, or the jars cannot be fetched.
    """
    command, libs = java(), kafka_libs()
    paths = os.pathsep.join([*(str(entry) for entry in classpath), f"{libs}/*"])
    return [command, *jvm, "-cp", paths, main_class, *arguments]


def _fetch(pom: Path, libs: Path, what: str) -> None:
    partial = libs.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    jars = locked_jars(pom)
    maven = shutil.which("mvn")
    if maven is None:
        _by_jgo(jars, partial, what)
    else:
        _by_maven(maven, pom, partial, what)
    _check(jars, partial, what)
    partial.rename(libs)  # the directory appears complete or not at all
    tell(f"{len(jars)} jars in {libs}")


def _by_maven(maven: str, pom: Path, partial: Path, what: str) -> None:
    tell(f"fetching {what} with Maven, once ...")
    command = [maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={partial}"]
    try:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_FETCH_TIMEOUT_S,
            check=True,
        )
    except subprocess.CalledProcessError as problem:
        first = next((line for line in problem.stdout.splitlines() if "[ERROR]" in line), "no message")
        raise ProviderUnavailableError(f"Maven could not fetch {what}: {first}") from problem
    except subprocess.TimeoutExpired as problem:
        raise ProviderUnavailableError(f"Maven did not fetch {what} within {_FETCH_TIMEOUT_S} s") from problem


def _by_jgo(jars: Sequence[Jar], partial: Path, what: str) -> None:
    packages = installed(_RESOLVER, "jgo, which fetches jars where Maven is not installed (1 MB)")
    tell(f"fetching {what} with jgo, once: {len(jars)} jars ...")
    command = [sys.executable, str(_DOWNLOADER), str(partial / "cache")]
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write("".join(f"{jar.coordinate}\n" for jar in jars))
        process.stdin.close()
        for done, (jar, line) in enumerate(zip(jars, process.stdout, strict=False), 1):
            Path(line.strip()).rename(partial / jar.file)
            if done % _TOLD_EVERY == 0:
                tell(f"{done} of {len(jars)} jars")
        said = process.stderr.read()
    if process.returncode:
        last = next((line for line in reversed(said.splitlines()) if line.strip()), "no message")
        raise ProviderUnavailableError(f"jgo could not fetch {what}: {last}")
    shutil.rmtree(partial / "cache", ignore_errors=True)


def _check(jars: Sequence[Jar], partial: Path, what: str) -> None:
    """Compare what came with the lock.

    Raises:
        ProviderUnavailableError: a jar is missing, too many, or another one.
    """
    wanted = {jar.file: jar.sha256 for jar in jars}
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in partial.glob("*.jar")}
    odd = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if odd:
        raise ProviderUnavailableError(f"the jars of {what} are not those of the lock: {', '.join(odd[:5])}")
