"""Apache Kafka's jars, fetched once by Maven, and the command lines that run a class of theirs.

Each version of `pom.xml` gets its own directory below `<checkout>/.dev/kafka-libs`, so jars a running broker still
reads are never replaced under it.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from schemas.errors import ConfigError

_POM = Path(__file__).with_name("pom.xml")
_LIBS = Path(__file__).resolve().parents[2] / ".dev" / "kafka-libs"
_OLDEST_JAVA = 17  # Kafka 4 brokers need it
_FETCH_TIMEOUT_S = 900
_JAVA_TIMEOUT_S = 60


class ProviderUnavailableError(ConfigError):
    """A provider cannot give a broker here; the text says why."""


def java() -> str:
    """Find a Java 17+ command: that of JAVA_HOME, else the one on the PATH.

    Raises:
        ProviderUnavailableError: there is none, or it is older.
    """
    home = os.environ.get("JAVA_HOME")
    command = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    command = command or shutil.which("java")
    if command is None:
        raise ProviderUnavailableError("no `java` command")
    told = subprocess.run([command, "-version"], capture_output=True, text=True, timeout=_JAVA_TIMEOUT_S, check=False)
    version = re.search(r'version "(\d+)', told.stderr)
    if version is None:
        raise ProviderUnavailableError("`java -version` names no version")
    if int(version[1]) < _OLDEST_JAVA:
        raise ProviderUnavailableError(f"`java` is version {version[1]}, Kafka 4 needs {_OLDEST_JAVA} or newer")
    return command


def kafka_libs() -> Path:
    """Return the directory of Kafka's jars, fetching them on first use.

    Raises:
        ProviderUnavailableError: they are not there yet and Maven is missing or failed.
    """
    return maven_libs(_POM, _LIBS, "Apache Kafka (about 55 MB)")


def maven_libs(pom: Path, home: Path, what: str) -> Path:
    """Return the directory of the jars a pom names, fetching them on first use. Concurrent callers wait for one fetch.

    Args:
        pom: each version of it gets a directory of its own.
        home: where those directories are.
        what: what it brings, for messages.

    Raises:
        ProviderUnavailableError: they are not there yet and Maven is missing or failed.
    """
    libs = home / hashlib.sha256(pom.read_bytes()).hexdigest()[:12]
    if libs.is_dir():
        return libs
    maven = shutil.which("mvn")
    if maven is None:
        raise ProviderUnavailableError(f"no `mvn` command to fetch {what} with")
    try:
        home.mkdir(parents=True, exist_ok=True)
        with (home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not libs.is_dir():
                _fetch(maven, pom, libs, what)
    except OSError as problem:
        raise ProviderUnavailableError(f"cannot keep the jars of {what} in {home}: {problem}") from problem
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


def _fetch(maven: str, pom: Path, libs: Path, what: str) -> None:
    print(f"modpulse: fetching {what} with Maven, once ...", file=sys.stderr, flush=True)
    partial = libs.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
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
    partial.rename(libs)  # the directory appears complete or not at all
    print(f"modpulse: {sum(1 for _ in libs.glob('*.jar'))} jars in {libs}", file=sys.stderr, flush=True)
