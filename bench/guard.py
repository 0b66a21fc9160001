"""The guard on speed: the worker beside a program that never changes, in turns, within a minute and a half.

Machines differ, and one machine differs from minute to minute; so the worker is told in units of a yardstick
(`programs/yardstick.py`), which has its turn just before and just after each of the worker's. The unit is the CPU time that
the yardstick takes for its fixed work: it grows where the neighbours on a machine make everything slower. Two figures are kept,
for two ways of becoming slow:

- *speed*: the unit beside the time the worker takes for a million events, less what its main thread stood in line for a
  processor. It falls whatever makes the worker slow: work, waiting, or threads that no longer work side by side.
- *thrift*: the unit beside the CPU time of all its threads. It falls with work alone, wherever that is done.

On a machine that is too busy thrift is judged alone, and the guard says so.
The guard is red when the median of either is below 75 % of what this build was measured at (`reference.json`).
"""

import asyncio
import secrets
import shutil
import sys
import time
from collections.abc import Callable

from bench.report.catalog import worker_command
from bench.report.verdict import (
    LEAST,
    LEAST_ROUNDS,
    REFERENCE,
    Figures,
    calm_speeds,
    figures,
    judge,
    origin,
    read_reference,
    write_reference,
)
from bench.rig.arena import LOGS, Arena, arena
from bench.rig.measure import Running, VoidError
from bench.rig.turns import pause, turn
from bench.rig.workload import Loaded, Workload, remove_topics
from pipeline.native import load_native
from topology.kafka.topic_admin import create_topics

EVENTS, ROUNDS = 1_000_000, 8
# Rounds that do not count, for a broker that has just been started is slow, and slower still on a busy machine.
_WARM_ROUNDS = 2
# Runs whose rounds make the reference.
CALIBRATIONS = 3
# No further round is begun after this: on a busy machine there are fewer rounds, not a longer wait.
_BUDGET_S = 70.0
_YARDSTICK_S, _READY_S, _TURN_S = 0.7, 30.0, 60.0


def calibrate() -> int:
    """Measure this build on this machine and keep it as the reference; the exit code is 1 when nothing could be measured."""
    try:
        _check_native()
        rounds = [one for _ in range(CALIBRATIONS) for one in measured()]
        write_reference(rounds)
        kept = read_reference()
    except VoidError as problem:
        print(f"bench-smoke: FAILED, nothing to keep: {problem}")
        return 1
    print(f"bench-smoke: kept speed {kept.speed}, thrift {kept.thrift} of {len(rounds)} rounds in {REFERENCE.name}")
    return 0


def run_guard(*, slow: str = "") -> int:
    """Measure and judge; the exit code is 1 when a quarter was lost, or nothing could be measured.

    Args:
        slow: makes the worker lose a share of its speed, such as `busy:0.3` or `sleep:0.3`, to see whether that is seen.
    """
    try:
        reference = read_reference()
        _check_native()
        rounds = measured(slow=slow)
    except VoidError as problem:
        print(f"bench-smoke: FAILED, nothing to compare: {problem}")
        return 1
    verdicts = judge(rounds, reference)
    ok = all(verdict.ok for verdict in verdicts)
    print(
        f"bench-smoke: {'ok' if ok else 'FAILED'} after {len(rounds)} rounds, in units of the yardstick: "
        + "; ".join(map(str, verdicts))
        + f"; at least {LEAST:.0%} is wanted"
    )
    crowded = len(rounds) - len(calm_speeds(rounds))
    if crowded:
        said = "speed was not judged" if len(verdicts) == 1 else "their speed does not count"
        print(f"bench-smoke: others used the processors in {crowded} of {len(rounds)} rounds: {said}")
    if not ok:
        print(
            f"bench-smoke: the reference was measured on: {origin()}. Where that is another kind of machine, or the loss is"
            " meant, keep new figures of a build that is fast enough: `python -m bench --calibrate`"
        )
    return 0 if ok else 1


def _check_native() -> None:
    if load_native() is None:
        raise VoidError("the compiled part was not built, and the reference is a worker's that has it: run `make env`")


def measured(events: int = EVENTS, rounds: int = ROUNDS, *, slow: str = "") -> list[Figures]:
    """The rounds.

    Args:
        events: of backlog for each round.
        rounds: how many at most, after those that do not count.
        slow: see `run_guard`.

    Raises:
        VoidError: a program did not do its work.
    """
    began = time.monotonic()
    found: list[Figures] = []
    with arena() as place:
        loaded = place.load(Workload(events=events))
        say(f"loaded {events:,} events in {loaded.seconds:.0f} s")
        environment = place.task(loaded, 1 << 60, "yardstick").environment()
        log = LOGS / f"yardstick-{secrets.token_hex(4)}" / "stderr.log"
        yardstick = Running([sys.executable, "-m", "bench.programs.yardstick"], environment, log)
        try:
            _until_ready(yardstick, lambda: yardstick.count() > events // 2)  # warm
            pause(yardstick)
            for _ in range(_WARM_ROUNDS):
                _round(place, loaded, yardstick, slow)
            say("these did not count: they warm the broker")
            while len(found) < rounds and (len(found) < LEAST_ROUNDS or time.monotonic() - began < _BUDGET_S):
                found.append(_round(place, loaded, yardstick, slow))
        finally:
            yardstick.kill()
    return found


def _round(place: Arena, loaded: Loaded, yardstick: Running, slow: str) -> Figures:
    """A fresh worker with names of its own takes the whole backlog."""
    run = f"bench-{secrets.token_hex(4)}"
    gate = LOGS / run / "gate"
    task = place.task(loaded, loaded.workload.events, run)
    environment = place.settings(run, loaded.topic, loaded.workload.partitions) | task.environment()
    environment |= {"BENCH_GATE": str(gate), "BENCH_FLUSHES": "counted", "BENCH_SLOW": slow}
    # The timer is out of the way: flushes are counted, see the program.
    environment["MODPULSE_FLUSH_INTERVAL"] = "50s"
    asyncio.run(create_topics(place.read(environment), dry_run=False))
    worker = Running(worker_command(), environment, LOGS / run / "stderr.log")
    try:
        _until_ready(worker, lambda: worker.waiting)
        pause(worker)
        unit = turn(yardstick, lambda seconds: seconds > _YARDSTICK_S, _TURN_S)
        gate.touch()
        mine = turn(worker, lambda _: worker.count() >= task.events, _TURN_S)
        unit += turn(yardstick, lambda seconds: seconds > _YARDSTICK_S, _TURN_S)
    finally:
        worker.kill()
        asyncio.run(remove_topics(place.bootstrap_servers, run))
        shutil.rmtree(LOGS / run / "tmp", ignore_errors=True)
    if mine.events != task.events:
        raise VoidError(f"{mine.events:,} of {task.events:,} events processed: {worker.tail()}")
    found = figures(mine, unit)
    say(
        f"{mine.rate:,.0f} events/s at {mine.cpu_per_million:.2f} CPU s per million, the yardstick at"
        f" {unit.cpu_per_million:.3f}: speed {found.speed:.3f}, thrift {found.thrift:.3f}, in line {found.crowded:.2f}"
    )
    return found


def _until_ready(program: Running, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _READY_S
    while program.count() >= 0 and not condition():
        if not program.alive or time.monotonic() > deadline:
            raise VoidError(f"it did not get ready; the end of its log: {program.tail()}")
        time.sleep(0.01)


def say(text: str) -> None:
    """Progress for whoever waits."""
    print(f"bench-smoke: {text}", file=sys.stderr, flush=True)
