"""`python -m tests.fuzz`: the property tests with fresh seeds, again and again with more examples, until the time is over.

The first failure ends it with exit code 1, the blob that reproduces the example and the command that repeats the test. A round
that the time cuts short is no failure: a test that has begun is finished, and no other begins.
"""

import argparse
import os
import secrets
import shlex
import subprocess
import sys
import time

import pytest

from tests.support.paths import ROOT

# Of `tests.support.profiles`, which must not be imported before pytest has begun.
PROFILE = "fuzz"
# How many times the examples of an ordinary run; a profile has no other way of being told.
SCALE_VARIABLE = "FUZZ_SCALE"
SECONDS = 300.0
# A round of more would leave the tests at its end without a turn for too long.
MOST_TIMES = 8
_PASSED, _FAILED, _CUT = 0, 1, 2


def arguments_of(seed: int) -> list[str]:
    """What pytest is called with, but for the tests."""
    # The order is shuffled by the same seed: rounds that are cut short leave out other tests each time.
    return [
        "-p",
        "tests.support.profiles",
        f"--hypothesis-profile={PROFILE}",
        f"--hypothesis-seed={seed}",
        f"--randomly-seed={seed}",
    ]


class Bounded:
    """Lets no test begin when the time is over, and keeps which failed."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._session: pytest.Session | None = None
        self.passed = 0
        self.failed: list[str] = []

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.passed += report.when == "call" and report.passed
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_runtest_logfinish(self) -> None:
        assert self._session is not None
        if time.monotonic() >= self._until:
            self._session.shouldstop = "the time is over"


def run_round(seed: int, seconds: float, paths: list[str]) -> int:
    """One pass over the property tests, in this process."""
    bounded = Bounded(seconds)
    code = pytest.main(["-q", "-x", "-m", "hypothesis", "--timeout=0", *arguments_of(seed), *paths], plugins=[bounded])
    cut = code == pytest.ExitCode.INTERRUPTED
    if bounded.failed or not (cut or code == pytest.ExitCode.OK):
        for test in bounded.failed:
            print(f"fuzz: FAILED with seed {seed}: {test}")
            print(f"fuzz: repeat it with: {repeat(seed, test)}")
            print("fuzz: or keep its example: the @reproduce_failure shown above belongs above the test's @given")
        return _FAILED
    times = os.environ.get(SCALE_VARIABLE, "1")
    print(
        f"fuzz: seed {seed}, {times} x the examples: {bounded.passed} tests passed{', the time is over' if cut else ''}"
    )
    return _CUT if cut else _PASSED


def repeat(seed: int, test: str) -> str:
    """The command that runs a test on the same examples."""
    times = os.environ.get(SCALE_VARIABLE, "1")
    return f"{SCALE_VARIABLE}={times} .venv/bin/pytest {shlex.join([*arguments_of(seed), test])}"


def main(arguments: list[str] | None = None) -> int:
    """Rounds until the time is over; the exit code is 1 after a failure."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="default: %(default)g")
    parser.add_argument(
        "--seed", type=int, help="of the first round; each further round has the next one (default: any)"
    )
    parser.add_argument("--round", action="store_true", help="one round with one seed")
    parser.add_argument("paths", nargs="*", default=["tests"], help="where the property tests are")
    asked = parser.parse_args(arguments)
    seed = secrets.randbelow(1_000_000_000) if asked.seed is None else asked.seed
    if asked.round:
        return run_round(seed, asked.seconds, asked.paths)
    until, times = time.monotonic() + asked.seconds, 1
    while (left := until - time.monotonic()) > 0:
        command = [sys.executable, "-m", "tests.fuzz", "--round", "--seed", str(seed), "--seconds", f"{left:.1f}"]
        environment = {**os.environ, SCALE_VARIABLE: str(times)}
        done = subprocess.run([*command, *asked.paths], env=environment, cwd=ROOT, check=False)
        if done.returncode not in (_PASSED, _CUT):
            return _FAILED
        seed, times = seed + 1, min(times * 2, MOST_TIMES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
