"""Every row of the table, in order; made from the seed."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.faults.broker import Brokers
from tests.faults.judge import compacted
from tests.faults.mixes import (
    ALWAYS,
    FOREIGN,
    FORWARDED,
    IDLE,
    IDLE_WINDOWS,
    LIGHT,
    LONG_KEPT,
    STEADY,
    STEP_S,
    clock_row,
    idle_row,
)
from tests.faults.outcome import Report
from tests.faults.plan import Fault, Step, kills, spread
from tests.faults.rows_of_broker import broker_rows, disk_row, on_small_disk
from tests.faults.rows_of_mutants import SHORT_MUTANTS, control_rows, mutant_rows
from tests.faults.run import WINDOWS, Row, Run
from tests.faults.strikes import backlog, hostile, limits, lost_state, restart
from tests.faults.traffic import Mix

Make = Callable[[Brokers, int, Path], Report]


def _freezes(for_s: float, count: int) -> list[tuple[Fault, float]]:
    return [("freeze", for_s)] * count


def worker_rows(seed: int) -> list[Row]:
    """Faults of workers."""
    rng = random.Random(seed)
    burst = [Step(round(at, 3), "kill", number) for at, number in _burst(rng, 12, 5.0) + _burst(rng, 12, 22.0)]
    first = [Step(round(6.0 + number * 2.2 + rng.uniform(0, 1.2), 3), "kill", 0) for number in range(10)]
    storm: list[tuple[Fault, float]] = [("join", 0), ("leave", 0), ("join", 0), ("kill", 0), ("leave", 0), ("join", 0)]
    return [
        Row(
            "SIGKILL at random phases",
            "30 kills in 300 s; one in five hits the restarting worker again, one in five the other worker at once",
            tuple(kills(rng, 30, 295, 2)),
            seconds=300,
            mix=Mix(rate=2_100),
        ),
        Row("SIGKILL in bursts", "2 x 12 kills of 3 workers, 0.1 to 1 s apart", tuple(burst), 40, 3, mix=LIGHT),
        Row(
            "SIGKILL in the first 2 s", "one worker killed again and again while it starts", tuple(first), 40, mix=LIGHT
        ),
        Row(
            "SIGKILL, static members",
            "the same with `group_instance_id`: a restart moves no partition",
            tuple(kills(rng, 8, 50, 2)),
            50,
            mix=LIGHT,
            static=True,
        ),
        Row(
            "SIGSTOP beyond the session timeout",
            "9 s at a session timeout of 6 s; the frozen worker comes back and must not write",
            tuple(spread(rng, _freezes(9.0, 3), 5.0, 10.0, 2)),
            60,
            mix=LIGHT,
            expects_ends=True,
        ),
        Row("SIGTERM", "orderly restarts, every 5 s", tuple(spread(rng, [("stop", 0)] * 7, 4, 5, 2)), 40, mix=LIGHT),
        Row(
            "join and leave storm",
            "12 partitions, 3 workers; every 3 s one joins, leaves or is killed",
            tuple(spread(rng, storm * 3, 5.0, 3.0, 3)),
            60,
            workers=3,
            partitions=12,
            mix=LIGHT,
            settings={"flush_interval": "500ms"},
        ),
        Row(
            "more workers than partitions",
            "2 partitions, 5 workers, kills",
            tuple(spread(rng, [("kill", 0)] * 5, 6.0, 6.0, 5)),
            40,
            workers=5,
            partitions=2,
            mix=LIGHT,
        ),
        Row(
            "an idle worker takes over",
            "2 partitions, 5 workers; after 30 s all but the last are killed and stay away",
            tuple(Step(30.0 + number * 0.3, "retire", 0) for number in range(4)),
            45,
            workers=5,
            partitions=2,
            mix=LIGHT,
        ),
        idle_row("a stalled worker, idle detection on", 3),
        Row(
            "transactions that time out",
            "SIGSTOP for 3.5 s at a transaction timeout of 2 s: the coordinator aborts what was open",
            tuple(spread(rng, _freezes(3.5, 8), 4.0, 3.0, 2)),
            50,
            mix=LIGHT,
            settings={"kafka__transaction_timeout": "2s", "flush_interval": "100ms"},
            expects_ends=True,
        ),
        Row(
            "clocks that are off",
            "2 % stamped 1970, 2100, in seconds, 5 minutes behind or 5 minutes ahead; 1 minute ahead is accepted",
            (),
            20,
            mix=replace(LIGHT, odd=0.02),
            settings={"windows__max_future": "1m"},
            windows=replace(WINDOWS, future=120_000),
        ),
    ]


def forwarding_rows(seed: int) -> list[Row]:
    """Events whose key is not their module, and kills meanwhile."""
    rng = random.Random(seed + 3)
    return [
        Row(
            "every event forwarded",
            '`repartition = "always"`, a third of the keys missing or foreign; kills of both workers',
            tuple(kills(rng, 5, 40, 2)),
            42,
            mix=FORWARDED,
            settings=ALWAYS,
            forwarding="all",
        ),
        Row(
            "foreign keys",
            "a third of the keys missing or foreign, on any partition: forwarded among the others; kills, joins and leaves",
            tuple(spread(rng, [("kill", 0), ("join", 0), ("kill", 0), ("leave", 0), ("kill", 0)], 4.0, 6.0, 2)),
            40,
            mix=FOREIGN,
            settings=LONG_KEPT,
            windows=replace(WINDOWS, keep=600_500),
            forwarding="some",
            ending="flush",
        ),
    ]


def clock_rows() -> list[Row]:
    """Steps of the wall clock, alone and with a kill."""
    there_and_back = tuple(
        Step(4.0 + 7.0 * number, "clock-step", 0, 2.5, by_s=STEP_S if number % 2 == 0 else -STEP_S)
        for number in range(6)
    )
    killed = tuple(
        Step(4.0 + 16.0 * number, "clock-step", 0, 8.0, by_s=by_s, during=(Step(2.0, "kill"),))
        for number, by_s in enumerate((STEP_S, -STEP_S))
    )
    return [
        clock_row("the wall clock steps", "a minute ahead or back for 2.5 s, six times", there_and_back, 48),
        clock_row("a kill during a clock step", "a minute ahead, then back, for 8 s each; a kill in each", killed, 40),
    ]


def _burst(rng: random.Random, count: int, at: float) -> list[tuple[float, int]]:
    found: list[tuple[float, int]] = []
    for _ in range(count):
        found.append((at, rng.randrange(3)))
        at += rng.uniform(0.1, 1.0)
    return found


def input_rows(seed: int) -> list[Row]:
    """Input that is out of the ordinary, and kills meanwhile."""
    rng = random.Random(seed + 2)
    codecs = ("none", "gzip", "lz4", "snappy", "zstd")
    return [
        Row(
            "a partition that stands still",
            "a transaction held open hides one partition's records for 10 s, twice, with idle detection on: the others run"
            " ahead, and no good event of it may become late",
            (Step(4.0, "stall", 1, 10.0), Step(20.0, "stall", 2, 10.0)),
            36,
            mix=STEADY,
            settings=IDLE,
            windows=IDLE_WINDOWS,
        ),
        Row(
            "compacted input",
            "a backlog with most records removed by compaction, tombstones among the rest; kills",
            tuple(kills(rng, 4, 34, 2)),
            36,
            mix=LIGHT,
            prepare=compacted.prepare,
        ),
        Row(
            "transactional input",
            "sent in transactions of 0.05 to 0.5 s, a third of them aborted after all was written; kills",
            tuple(kills(rng, 4, 40, 2)),
            42,
            mix=replace(LIGHT, transactional=True),
        ),
        Row(
            "poison",
            "1 % bad records of every known kind, odd headers on one in fifty, every codec, 1,000 bad in a row on one partition,"
            " header names that are not valid UTF-8; kills",
            (*kills(rng, 4, 40, 2), Step(41.0, "bad-burst", 1)),
            45,
            mix=replace(LIGHT, poison=0.01, odd_headers=0.02, codecs=codecs),
        ),
    ]


def all_rows(seed: int) -> list[tuple[str, Make]]:
    """The whole table: name and what makes the row."""
    product = (*worker_rows(seed), *input_rows(seed), *forwarding_rows(seed), *clock_rows(), *broker_rows(seed))
    found = [(row.name, _running(row)) for row in product]
    found += [
        (disk_row().name, on_small_disk),
        (lost_state.NAME, lost_state.make),
        (limits.MILLION, limits.million_modules),
        (limits.BOMB, limits.expanding_batch),
        (hostile.BOMB, hostile.bomb_row),
        (hostile.LARGE, hostile.large_row),
        (hostile.REBALANCE, hostile.rebalance_row),
        (backlog.NAME, backlog.make),
        (backlog.UNCOMPRESSED, backlog.make_uncompressed),
        (restart.NAME, restart.make),
    ]
    return found + [(row.name, _running(row)) for row in (*mutant_rows(), *control_rows())]


def _running(row: Row) -> Make:
    return lambda brokers, seed, directory: Run(row, brokers, seed, directory)()


def short_rows(seed: int) -> list[Row]:
    """30 s of load with 5 kills, and a mutant each of arithmetic, restart, forwarding and alerts; all at once."""
    rng = random.Random(seed)
    mutants = {row.name: row for row in mutant_rows()}
    return [
        Row(
            "SIGKILL at random phases",
            "5 kills in 30 s",
            tuple(kills(rng, 5, 27, 2, first_s=3.0)),
            seconds=30,
            mix=Mix(rate=900),
        ),
        *(mutants[name] for name in SHORT_MUTANTS),
    ]
