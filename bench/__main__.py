"""`python -m bench`: the worker beside its limits and its peers, on one broker and one topic, in alternation."""

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from bench.against import pair, programs, report
from bench.guard import calibrate, run_guard
from bench.report.catalog import PROGRAMS, chosen
from bench.report.tables import Row, summary, taken, throughput, write_section
from bench.rig.arena import Arena, arena
from bench.rig.builds import NotBuiltError
from bench.rig.machine import description
from bench.rig.measure import Outcome, VoidError
from bench.rig.workload import COMPRESSION, Loaded, Workload

LEAST_ROUNDS = 3
_QUIET = 0.5


def main() -> int:
    """Run what the command line asks for; the exit code is 1 when the guard or a program of ours fails."""
    asked = _arguments()
    logging.basicConfig(level=logging.ERROR)
    if asked.calibrate:
        return calibrate()
    if asked.smoke:
        return run_guard(slow=asked.slow)
    machine = description()
    warn_if_busy()
    workload = Workload(events=asked.events or Workload().events)
    if asked.against is not None:
        return against(asked.against, workload, asked.rounds)
    rows = [Row(program) for program in chosen(asked.only)]
    with arena() as place:
        loaded = place.load(workload)
        say(f"loaded {workload.events:,} events of {loaded.bytes_per_event:.0f} bytes in {loaded.seconds:.0f} s")
        for number in range(asked.rounds):
            # Every second round backwards: what one program leaves behind (caches, heat) meets each of its neighbours.
            for row in rows if number % 2 == 0 else rows[::-1]:
                once(place, loaded, row, f"round {number + 1}")
    only = ["--only", *(f'"{name}"' if " " in name else name for name in asked.only)] if asked.only else []
    command = " ".join(["python -m bench", "--rounds", str(asked.rounds), "--events", str(workload.events), *only])
    table = throughput(rows)
    print(f"\n{table}\n{taken(command, machine)}")
    if asked.json:
        figures = {"machine": machine, "command": command, "rounds": asked.rounds, "programs": summary(rows)}
        asked.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if asked.readme or (len(rows) == len(PROGRAMS) and asked.rounds >= LEAST_ROUNDS):
        write_section("throughput", f"{table}\n{taken(command, machine)}\n{_input(loaded)}")
    return 1 if any(row.problem and row.program.kind != "peer" for row in rows) else 0


def against(other: Path, workload: Workload, pairs: int) -> int:
    """Compare with the worker of another checkout."""
    try:
        both = programs(other)
        done: list[tuple[Outcome, Outcome]] = []
        with arena() as place:
            loaded = place.load(workload)
            for number in range(pairs):
                done.append(pair(place, loaded, both, number))
                here, there = done[-1]
                say(
                    f"pair {number + 1}: {here.rate:,.0f} beside {there.rate:,.0f} events/s, {here.rate / there.rate:.3f}"
                )
    except (FileNotFoundError, NotBuiltError, VoidError) as problem:
        say(str(problem))
        return 1
    print(report(done))
    return 0


def once(place: Arena, loaded: Loaded, row: Row, when: str) -> None:
    """Measure a program once and keep the outcome, or why there is none."""
    try:
        outcome = place.run(row.program, loaded)
    except (NotBuiltError, VoidError) as problem:
        row.problem = " ".join(str(problem).split())
        say(f"{when}: {row.program.name}: {row.problem}")
        return
    row.outcomes.append(outcome)
    say(
        f"{when}: {row.program.name}: {outcome.rate:,.0f} events/s, {outcome.cpu_per_million:.2f} CPU s per million,"
        f" {outcome.peak_mib:,.0f} MiB"
    )


def warn_if_busy() -> None:
    """Say so when the figures will be worth little."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores * _QUIET:
        say(f"load average {load:.1f} on {cores} cores: something else is running, the figures are provisional")


def say(text: str) -> None:
    """Progress for whoever waits."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _input(loaded: Loaded) -> str:
    load = loaded.workload
    return (
        f"Input: {load.events:,} JSON events of {loaded.bytes_per_event:.0f} bytes, {load.modules} modules,"
        f" {load.partitions} partitions, {load.span_s} s of event time, disorder below {load.disorder_ms / 1000:g} s,"
        f" {COMPRESSION}, seed {load.seed}.\n"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS, help="how often each program runs (default 3)")
    parser.add_argument("--events", type=int, help="how many events the topic holds (default 1,500,000)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only programs whose name begins so")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md though it is not whole")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="DIRECTORY",
        help="the worker beside that of another checkout, in --rounds pairs",
    )
    parser.add_argument(
        "--smoke", action="store_true", help="the guard: fails when modpulse has lost a quarter of its speed"
    )
    parser.add_argument(
        "--slow", default="", metavar="KIND:SHARE", help="for --smoke: lose speed, as busy:0.3 or sleep:0.3"
    )
    parser.add_argument(
        "--calibrate", action="store_true", help="keep this build's speed here as the guard's reference"
    )
    asked = parser.parse_args()
    try:
        chosen(asked.only)
    except ValueError as problem:
        parser.error(str(problem))
    return asked


if __name__ == "__main__":
    sys.exit(main())
