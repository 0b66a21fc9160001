"""What peers need, made on first use below .dev: virtual environments for Python ones, compiled classes for Java ones.

Each is kept under a name that holds the hash of what it was made from, so a changed pin or source is built anew.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from topology.devbroker.java import java
from topology.devbroker.packages import ProviderUnavailableError

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "bench" / "peers"
VENVS = ROOT / ".dev" / "bench-venvs"
JAVA = ROOT / ".dev" / "bench-java"
_TIMEOUT_S = 900


class NotBuiltError(Exception):
    """A peer cannot be made here; the text says why and goes into the table."""


def python_with(name: str) -> Path:
    """The interpreter of an environment with `peers/<name>_requirements.txt` installed.

    Raises:
        NotBuiltError: a package has no wheel for this Python, or cannot be fetched.
    """
    pins = PEERS / f"{name}_requirements.txt"
    home = VENVS / f"{name}-{_digest([pins])}"
    python = home / "bin" / "python"
    if (home / "done").exists():
        return python
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise NotBuiltError("no `uv` command: run `make env`")
    shutil.rmtree(home, ignore_errors=True)
    print(f"bench: installing {name} into {home.relative_to(ROOT)} ...", file=sys.stderr, flush=True)
    _call([uv, "venv", "-q", "--python", sys.executable, str(home)])
    _call([uv, "pip", "install", "-q", "--only-binary", ":all:", "--python", str(python), "-r", str(pins)])
    (home / "done").touch()
    return python


def classpath_of(name: str) -> str:
    """The classpath of `peers/<name>`, compiled with its dependencies.

    Raises:
        NotBuiltError: no JDK or Maven, or a dependency cannot be fetched.
    """
    project = PEERS / name
    home = JAVA / f"{name}-{_digest(sorted(path for path in project.rglob('*') if path.is_file()))}"
    if not (home / "done").exists():
        maven = shutil.which("mvn")
        if maven is None:
            raise NotBuiltError("no `mvn` command")
        shutil.rmtree(home, ignore_errors=True)
        print(f"bench: building {name} with Maven into {home.relative_to(ROOT)} ...", file=sys.stderr, flush=True)
        goals = ("compile", "dependency:copy-dependencies", f"-Dbench.target={home}", f"-DoutputDirectory={home}/libs")
        _call([maven, "-q", "-B", "-f", str(project / "pom.xml"), *goals])
        (home / "done").touch()
    return os.pathsep.join([f"{home}/classes", f"{home}/libs/*"])


def java_command() -> str:
    """A Java 17+ command.

    Raises:
        NotBuiltError: there is none.
    """
    try:
        return java()
    except ProviderUnavailableError as problem:
        raise NotBuiltError(str(problem)) from problem


def _digest(files: list[Path]) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:12]


def _call(command: list[str]) -> None:
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as problem:
        raise NotBuiltError(f"{Path(command[0]).name} was not done in {_TIMEOUT_S} s") from problem
    if ended.returncode:
        lines = [line for line in ended.stdout.splitlines() if line.strip()]
        raise NotBuiltError(
            next((line for line in lines if "ERROR" in line), lines[-1] if lines else "no message")[:300]
        )
