"""Bugs that are planted for the fault suite: each still fits the program, and one that does not cannot count as caught."""

import subprocess
import sys

import pytest

from tests.faults.judge.verdict import Findings
from tests.faults.outcome import Report
from tests.faults.planted.core import MUTANTS
from tests.faults.planted.planting import PLANTED, RottenMutantError, replace
from tests.faults.rows_of_mutants import SHORT_MUTANTS, control_rows, mutant_rows
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

# Each bug in a process of its own, made from one that has imported the program.
PLANT_ALL = """
import os, sys
import topology.cli, topology.worker.worker
from tests.faults.planted.core import MUTANTS
from tests.faults.planted.planting import say_planted
for name, plant in MUTANTS.items():
    if os.fork() == 0:
        try:
            plant()
            say_planted(name)
        except Exception as error:
            print(f"{name}: {error!r}", file=sys.stderr)
        os._exit(0)
    os.wait()
"""


def test_every_bug_finds_what_it_was_made_for() -> None:
    done = subprocess.run([sys.executable, "-c", PLANT_ALL], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if line]
    assert [line for line in lines if f'"event":"{PLANTED}"' not in line] == []
    assert len(lines) == len(MUTANTS)


def test_every_bug_has_a_row_and_a_control() -> None:
    rows, controls = mutant_rows(), control_rows()
    assert {row.mutant for row in (*rows, *controls) if row.mutant} == set(MUTANTS)
    assert [control.name for control in controls] == [f"control: {row.name}" for row in rows]
    assert all(control.mutant is None or control.harmless for control in controls)
    assert {row.name for row in rows} >= set(SHORT_MUTANTS)


def test_what_is_not_there_any_more_cannot_be_replaced() -> None:
    class Product:
        here = 1

    replace(Product, "here", lambda value: value + 1)
    assert Product.here == 2
    with pytest.raises(RottenMutantError, match="Product has no gone any more"):
        replace(Product, "gone", lambda value: value)


def test_a_mutant_is_caught_by_what_came_out_wrong_and_by_nothing_else() -> None:
    def verdict(**more: object) -> str:
        return Report("row", "", "a bug", **more).verdict  # type: ignore[arg-type]

    assert verdict(failure="TimeoutError: every worker joined") == "NOT CAUGHT"
    assert verdict(unexpected_ends=3) == "NOT CAUGHT"
    assert verdict() == "NOT CAUGHT"
    assert verdict(findings=Findings(lost=1)) == "caught"
    assert verdict(findings=Findings(lost=1), failure="not drained") == "caught"
    assert verdict(findings=Findings(lost=1), void="no worker said that the bug was planted") == "void"


def test_a_harmless_bug_must_come_out_clean() -> None:
    assert Report("row", "", "drop pieces on the way", harmless=True).verdict == "clean"
    assert Report("row", "", "drop pieces on the way", harmless=True, findings=Findings(lost=1)).verdict == "RED"
    assert not Report("row", "", "drop pieces on the way", harmless=True, failure="x").as_wanted
