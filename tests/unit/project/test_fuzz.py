"""`make fuzz`: fresh examples each time, bounded by time, and a failure that can be repeated."""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

PROPERTY = """
from hypothesis import given, settings
from hypothesis import strategies as st

def test_no_property(): raise AssertionError("not for a fuzzer")

@settings(report_multiple_bugs=False)
@given(st.integers(0, 10_000_000))
def test_numbers(number: int) -> None:
    with open({seen!r}, "a") as file:
        print(number, file=file)
    assert number < {limit}
"""


@pytest.fixture
def here() -> Iterator[Path]:
    """A directory in the checkout, for pytest names tests by their way from it."""
    (ROOT / ".dev").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=ROOT / ".dev") as made:
        yield Path(made)


def written(directory: Path, limit: int) -> tuple[Path, Path]:
    file, seen = directory / "test_made.py", directory / "seen"
    file.write_text(PROPERTY.format(seen=str(seen), limit=limit), encoding="utf-8")
    return file, seen


def run(command: list[str], **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


def fuzz(*arguments: str) -> tuple[int, str]:
    return run([sys.executable, "-m", "tests.fuzz", *arguments])


def test_a_failure_names_its_seed_its_blob_and_a_command_that_repeats_it(here: Path) -> None:
    file, _ = written(here, 9_000_000)
    code, said = fuzz("--seconds", "60", "--seed", "3", str(file))
    assert code == 1, said
    assert "@reproduce_failure(" in said
    (line,) = [line for line in said.splitlines() if line.startswith("fuzz: repeat it with: ")]
    setting, *command = shlex.split(line.removeprefix("fuzz: repeat it with: "))
    name, scale = setting.split("=")
    code, said = run([sys.executable, "-m", "pytest", *command[1:]], **{name: scale})
    assert code == 1
    assert "number=9000000" in said, "shrunk to the smallest, from the same examples"


def test_rounds_have_other_examples_and_a_seed_has_the_same(here: Path) -> None:
    file, seen = written(here, 20_000_000)

    def examples(seed: int) -> list[str]:
        seen.unlink(missing_ok=True)
        code, said = fuzz("--round", "--seconds", "60", "--seed", str(seed), str(file))
        assert code == 0, said
        return seen.read_text().split()

    first = examples(1)
    assert examples(1) == first
    assert examples(2) != first


def test_rounds_end_with_the_time(here: Path) -> None:
    file, _ = written(here, 20_000_000)
    code, said = fuzz("--seconds", "0.01", str(file))
    assert code == 0, said
    assert said.count("fuzz: seed ") == 1
