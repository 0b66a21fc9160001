"""`python -m bench --against DIRECTORY`: this worker beside that of another checkout, in alternating pairs on one topic."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench.report.catalog import MAIN, PROGRAMS, Program
from bench.report.verdict import interval
from bench.rig.arena import Arena
from bench.rig.measure import Outcome
from bench.rig.workload import Loaded

_MODULE = "bench.programs.modpulse_worker"


def programs(other: Path) -> tuple[Program, Program]:
    """The worker here, and the one of a checkout in which `make env` was run.

    Raises:
        FileNotFoundError: that is none.
    """
    python = other.resolve() / ".venv" / "bin" / "python"
    if not python.exists():
        raise FileNotFoundError(f"{python} is not there: run `make env` in {other}")
    mine = next(program for program in PROGRAMS if program.name == MAIN)
    theirs = replace(
        mine,
        name=f"{MAIN} of {other}",
        command=lambda: [str(python), "-m", _MODULE],
        settings={"PYTHONPATH": str(other.resolve())},
    )
    return mine, theirs


def pair(place: Arena, loaded: Loaded, both: tuple[Program, Program], number: int) -> tuple[Outcome, Outcome]:
    """Measure both, each first in every second pair; answers (here, there).

    Raises:
        NotBuiltError: one cannot be made here.
        VoidError: one did not process every event.
    """
    mine, theirs = both
    if number % 2 == 0:
        here = place.run(mine, loaded)
        return here, place.run(theirs, loaded)
    there = place.run(theirs, loaded)
    return place.run(mine, loaded), there


def report(pairs: Sequence[tuple[Outcome, Outcome]]) -> str:
    """Ratios here to there: the median, and an interval that holds the true median in nine runs of ten."""
    lines = []
    for name, ratios in (
        ("throughput", [here.rate / there.rate for here, there in pairs]),
        ("events per CPU second", [there.cpu_per_million / here.cpu_per_million for here, there in pairs]),
        ("peak memory", [here.peak_mib / there.peak_mib for here, there in pairs]),
    ):
        low, high = interval(ratios)
        lines.append(f"{name}: {median(ratios):.3f} of the other's ({low:.3f} to {high:.3f}, {len(ratios)} pairs)")
    return "\n".join(lines)
