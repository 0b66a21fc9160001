"""`python -m bench.growth`: events/s and memory against modules, partitions, event size, windows and workers; with charts.

One thing grows at a time, everything else is as in `python -m bench`. Several workers wait at their first batch until all of
them have their partitions, then begin together; they share the cores of this machine with each other and with the broker.
"""

import argparse
import asyncio
import json
import logging
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

from bench.__main__ import say, warn_if_busy
from bench.report.catalog import MAIN, PROGRAMS, worker_command
from bench.report.charts import Series, chart
from bench.report.tables import markdown, taken, write_section
from bench.rig.arena import LOGS, Arena, arena, free_port
from bench.rig.builds import ROOT
from bench.rig.fleet import fleet
from bench.rig.machine import description
from bench.rig.measure import Outcome, Running, VoidError
from bench.rig.workload import Loaded, Workload, remove_topics
from topology.kafka.topic_admin import create_topics

MODULES = (10, 100, 1_000, 10_000)
PARTITIONS = (1, 4, 16)
PADDINGS = (0, 300, 1_300)
SIZES = ("30s", "30s,1m,5m", "30s,1m,5m,15m,1h,1d")
WORKERS = (1, 2, 3)
# Each of three workers gets as many partitions as the others.
WORKER_PARTITIONS = 12
_EVENTS = 1_000_000
_SETTLE_S = 5.0
_DEADLINE_S = 240.0
DOCS = ROOT / "docs"


@dataclass(frozen=True, slots=True)
class Point:
    """One measured point: what grew, to what, and the median over the rounds; all zero when every round was void."""

    what: str
    value: str
    rate: float
    cpu_per_million: float
    peak_mib: float


def main() -> int:
    """Measure all points, write the charts and the section of README.md."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description="Throughput and memory as things grow.")
    parser.add_argument("--events", type=int, default=_EVENTS, help=f"of each topic (default {_EVENTS:,})")
    parser.add_argument("--rounds", type=int, default=3, help="of each point (default 3)")
    parser.add_argument("--only", nargs="+", choices=("modules", "partitions", "size", "windows", "workers"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    machine = description()
    warn_if_busy()
    base = Workload(events=asked.events)
    with arena() as place:
        points = list(
            _points(place, base, asked.rounds, asked.only or ("modules", "partitions", "size", "windows", "workers"))
        )
        needs = fleet(place, base)
    if asked.json:
        asked.json.write_text(json.dumps([_plain(point) for point in points], indent=2) + "\n", encoding="utf-8")
    only = ["--only", *asked.only] if asked.only else []
    command = " ".join(["python -m bench.growth", "--rounds", str(asked.rounds), "--events", str(asked.events), *only])
    table = markdown(("what grows", "to", "events/s", "CPU s per million", "peak MiB"), [_cells(p) for p in points])
    print(f"\n{table}\n{needs}")
    drawn = _draw(points)
    images = "\n".join(f"![{name}](../docs/bench-{name}.svg)" for name in drawn)
    write_section(
        "growth", f"{table}\n{images}\n\n### A fleet of 1,000,000 events/s\n\n{needs}\n{taken(command, machine)}"
    )
    return 0 if all(point.rate for point in points) else 1


def _cells(point: Point) -> tuple[str, ...]:
    if not point.rate:
        return point.what, point.value, "void", "-", "-"
    return (
        point.what,
        point.value,
        f"{point.rate:,.0f}",
        f"{point.cpu_per_million:.2f}",
        f"{point.peak_mib:,.0f}",
    )


def _points(place: Arena, base: Workload, rounds: int, only: Sequence[str]) -> Iterator[Point]:
    if "modules" in only:
        # 10,000 modules in 4 partitions: the default limit of 2,000 a partition would fold some into __other__.
        more = {"MODPULSE_LIMITS__MAX_MODULES": "10000"}
        for modules in MODULES:
            yield _one(place, replace(base, modules=modules), rounds, "modules", f"{modules:,}", more)
    if "partitions" in only:
        for partitions in PARTITIONS:
            yield _one(place, replace(base, partitions=partitions), rounds, "partitions", str(partitions))
    if "size" in only:
        for padding in PADDINGS:
            yield _one(place, replace(base, padding=padding), rounds, "bytes of an event", "")
    if "windows" in only:
        for sizes in SIZES:
            count = str(sizes.count(",") + 1)
            yield _one(place, base, rounds, "window sizes", count, {"MODPULSE_WINDOWS__SIZES": sizes})
    if "workers" in only:
        loaded = place.load(replace(base, partitions=WORKER_PARTITIONS))
        for workers in WORKERS:
            yield _point("workers", str(workers), rounds, partial(together, place, loaded, workers))


def _one(
    place: Arena, workload: Workload, rounds: int, what: str, value: str, more: Mapping[str, str] | None = None
) -> Point:
    loaded = place.load(workload)
    program = next(program for program in PROGRAMS if program.name == MAIN)
    value = value or f"{loaded.bytes_per_event:,.0f}"
    point = _point(what, value, rounds, partial(place.run, program, loaded, more))
    asyncio.run(remove_topics(place.bootstrap_servers, loaded.topic))
    return point


def _point(what: str, value: str, rounds: int, run: Callable[[], Outcome]) -> Point:
    outcomes = []
    for _ in range(rounds):
        try:
            outcomes.append(run())
        except VoidError as problem:
            say(f"{what} {value}: void: {problem}")
    if not outcomes:
        return Point(what, value, 0.0, 0.0, 0.0)
    point = Point(
        what,
        value,
        median(outcome.rate for outcome in outcomes),
        median(outcome.cpu_per_million for outcome in outcomes),
        max(outcome.peak_mib for outcome in outcomes),
    )
    say(f"{what} {value}: {point.rate:,.0f} events/s, {point.peak_mib:,.0f} MiB")
    return point


def together(place: Arena, loaded: Loaded, workers: int) -> Outcome:
    """Several workers of one application on one topic, begun at once.

    Raises:
        VoidError: together they did not apply every event exactly once.
    """
    run = f"bench-{secrets.token_hex(4)}"
    total = loaded.workload.events
    environment = place.settings(run, loaded.topic, loaded.workload.partitions)
    asyncio.run(create_topics(place.read(environment), dry_run=False))
    gate = LOGS / run / "gate"
    gate.parent.mkdir(parents=True)
    environment |= place.task(loaded, total, run).environment() | {"BENCH_GATE": str(gate)}
    running: list[Running] = []
    try:
        for number in range(workers):
            own = environment | {"MODPULSE_METRICS__BIND": f"127.0.0.1:{free_port()}"}
            running.append(Running(worker_command(), own, LOGS / run / f"worker-{number}.log"))
        _wait(running, lambda: False, 2 * _SETTLE_S)  # starting, joining, sharing out
        began = time.time()
        gate.touch()
        if not _wait(running, lambda: sum(r.last[1] for r in running if r.last) >= total, _DEADLINE_S):
            raise VoidError(f"{workers} workers did not come to the end in {_DEADLINE_S:g} s: {running[0].tail()}")
        outcomes = [r.outcome() for r in running if r.last is not None]
        ended = max(r.last[0] for r in running if r.last is not None)
        for worker in running:
            worker.stop()
    finally:
        for worker in running:
            worker.kill()
        asyncio.run(remove_topics(place.bootstrap_servers, run))
    applied = sum(worker.verified or 0 for worker in running)
    if applied != total:
        raise VoidError(f"{workers} workers applied {applied:,} of {total:,} events: {running[0].tail()}")
    cpu_s, peak_mib = sum(o.cpu_s for o in outcomes), sum(o.peak_mib for o in outcomes)
    return Outcome(total, total, ended - began, cpu_s, peak_mib, total / (ended - began))


def _wait(running: Sequence[Running], done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        for worker in running:
            worker.listen(0.1 / len(running))
    return True


def _draw(points: Sequence[Point]) -> list[str]:
    """One chart per thing that grew; answers their names."""
    DOCS.mkdir(exist_ok=True)
    names = []
    for what in dict.fromkeys(point.what for point in points):
        chosen = [point for point in points if point.what == what]
        name = what.replace(" ", "-")
        labels = [point.value for point in chosen]
        text = chart(
            what,
            labels,
            (
                Series("events/s", [point.rate for point in chosen]),
                Series("peak memory, MiB", [point.peak_mib for point in chosen]),
            ),
        )
        (DOCS / f"bench-{name}.svg").write_text(text, encoding="utf-8")
        names.append(name)
    return names


def _plain(point: Point) -> dict[str, object]:
    return {
        "what": point.what,
        "value": point.value,
        "events_per_second": point.rate,
        "cpu_seconds_per_million": point.cpu_per_million,
        "peak_mib": point.peak_mib,
    }


if __name__ == "__main__":
    sys.exit(main())
