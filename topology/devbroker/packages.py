"""Programs from PyPI that a machine may lack, installed once beside the checkout and checked against their hashes."""

import contextlib
import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import ConfigError

DEV = Path(__file__).resolve().parents[2] / ".dev"
_INSTALL_TIMEOUT_S = 600


class ProviderUnavailableError(ConfigError):
    """A provider cannot give a broker here; the text says why."""


def tell(text: str) -> None:
    """Say on standard error what takes time; once, and plainly, so that a log reads well too."""
    print(f"modpulse: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked(home: Path, what: str) -> Iterator[None]:
    """Others that want to fetch the same wait, and find it there.

    Raises:
        ProviderUnavailableError: the directory cannot be written.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        with (home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as problem:
        raise ProviderUnavailableError(f"cannot keep {what} in {home}: {problem}") from problem


def installed(lock_file: Path, what: str) -> Path:
    """The directory with the packages of a lock file, installed on first use. Each version of the file has its own.

    Args:
        lock_file: requirements with hashes.
        what: what it brings and how large it is, for messages.

    Raises:
        ProviderUnavailableError: pip is missing or failed.
    """
    home = DEV / lock_file.stem
    found = home / hashlib.sha256(lock_file.read_bytes()).hexdigest()[:12]
    if found.is_dir():
        return found
    with locked(home, what):
        if not found.is_dir():
            _install(lock_file, found, what)
    return found


def _install(lock_file: Path, found: Path, what: str) -> None:
    tell(f"fetching {what} from PyPI, once ...")
    partial = found.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--target", str(partial), "-r", str(lock_file)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as problem:
        raise ProviderUnavailableError(f"pip did not fetch {what} within {_INSTALL_TIMEOUT_S} s") from problem
    if done.returncode:
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")
        raise ProviderUnavailableError(f"pip could not fetch {what}: {last.strip()}")
    partial.rename(found)  # the directory appears complete or not at all
