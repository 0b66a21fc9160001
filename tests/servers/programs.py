"""Programs of other projects that tests run: where they are, and how they come here. `make test-servers` runs this first.

Each is a package of Debian or Ubuntu. A package is unpacked into .dev/servers, which needs no root and starts no service; only
where that does not give a program that runs, and this is root, it is installed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.paths import ROOT

SERVERS = ROOT / ".dev" / "servers"
# Program -> its package, and where it is to be had elsewhere.
PROGRAMS = {"promtool": ("prometheus", "https://prometheus.io/download")}
# A mirror that is slow, but not one that never answers.
DEADLINE_S = 600


class MissingProgram(Exception):
    """A program is not here and could not be fetched; the text says what to do."""


def find(name: str) -> Path | None:
    """A program on PATH or in .dev/servers that starts."""
    for candidate in (shutil.which(name), SERVERS / "usr" / "bin" / name):
        if candidate is not None and Path(candidate).exists() and _works([str(candidate), "--version"]):
            return Path(candidate)
    return None


def fetch(name: str) -> Path:
    """A program that is here afterwards.

    Raises:
        MissingProgram: it is not here and cannot be fetched.
    """
    package, address = PROGRAMS[name]
    if (found := find(name)) is not None:
        return found
    if shutil.which("apt-get") is not None and shutil.which("dpkg") is not None:
        print(f"fetching {name} (package {package}) into {SERVERS} ...", file=sys.stderr)
        root = os.geteuid() == 0
        _unpack(package) or (root and _works(["apt-get", "update", "-q"]) and _unpack(package))
        if (found := find(name)) is not None:
            return found
        if root and _works(["apt-get", "install", "-y", "-q", "--no-install-recommends", package]):
            found = find(name)
        if found is not None:
            return found
    raise MissingProgram(
        f"{name} is needed and could not be fetched: install the package {package} (`apt-get install {package}`),"
        f" or put {name} of {address} on PATH"
    )


def _unpack(package: str) -> bool:
    with tempfile.TemporaryDirectory() as directory:
        if not _works(["apt-get", "download", "-q", package], Path(directory)):
            return False
        SERVERS.mkdir(parents=True, exist_ok=True)
        return all(_works(["dpkg", "-x", str(file), str(SERVERS)]) for file in Path(directory).glob("*.deb"))


def _works(command: Sequence[str], directory: Path | None = None) -> bool:
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, timeout=DEADLINE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def main() -> None:
    """Fetch every program; ends with an error where one is missing."""
    try:
        for name in PROGRAMS:
            fetch(name)
    except MissingProgram as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
