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
    """Return the directory of Kafka's jars, fetching them on first use. Concurrent callers wait for one fetch.

    Raises:
        ProviderUnavailableError: they are not there yet and Maven is missing or failed.
    """
    libs = _LIBS / hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]
    if libs.is_dir():
        return libs
    maven = shutil.which("mvn")
    if maven is None:
        raise ProviderUnavailableError("no `mvn` command to fetch Apache Kafka with")
    try:
        _LIBS.mkdir(parents=True, exist_ok=True)
        with (_LIBS / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not libs.is_dir():
                _fetch(maven, libs)
    except OSError as problem:
        raise ProviderUnavailableError(f"cannot keep Apache Kafka's jars in {_LIBS}: {problem}") from problem
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


def _fetch(maven: str, libs: Path) -> None:
    print("modpulse: fetching Apache Kafka with Maven, once (about 55 MB) ...", file=sys.stderr, flush=True)
    partial = libs.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = [maven, "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies", f"-DoutputDirectory={partial}"]
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
        raise ProviderUnavailableError(f"Maven could not fetch Apache Kafka: {first}") from problem
    except subprocess.TimeoutExpired as problem:
        raise ProviderUnavailableError(f"Maven did not fetch Apache Kafka within {_FETCH_TIMEOUT_S} s") from problem
    partial.rename(libs)  # the directory appears complete or not at all
    print(f"modpulse: {sum(1 for _ in libs.glob('*.jar'))} jars in {libs}", file=sys.stderr, flush=True)
