"""Records and batches of hostile or confused producers among good events: each becomes one letter, and memory stays bounded."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson
from confluent_kafka import Producer

from tests.faults.broker import Brokers
from tests.faults.crew import Application, Crew
from tests.faults.judge.reader import Record, read
from tests.faults.outcome import Report
from tests.faults.run import SETTINGS
from tests.faults.strikes.limits import bounded, joined, memory_mib, newest_seconds
from tests.faults.strikes.waiting import DEADLINE_S, until
from tests.faults.strikes.watch import Watch
from tests.faults.traffic import module_name, wall_ms
from tests.support import raw_client
from tests.support.records import wire
from tests.support.records.wire import GZIP, ZSTD, Rec

BOMB = "a batch of 48 KiB that holds 1.5 GiB"
LARGE = "keys and headers of 9 MiB"
REBALANCE = "bombs during rebalances"
PARTITIONS, MODULES, RATE = 4, 40, 500.0
# A worker with this little to do has 130 MiB; the largest of these batches takes 64 MiB when parsed, and its letters as much.
MAX_RSS_MIB = 420
HUGE = 9 << 20
TICK_S = 0.02


@dataclass(frozen=True, slots=True)
class Hostile:
    """A batch, how many letters it must become, and why."""

    data: bytes
    letters: int
    reason: str
    whole: bool


def bombs() -> list[Hostile]:
    """Zeros in zstd, beyond the bound; and what is just within it, with nothing but bad records."""
    spaces = b"{" + b" " * ((1 << 20) - 2) + b"}"
    within = wire.batch([Rec(n, wall_ms(), b"m", spaces) for n in range(60)], ZSTD)
    return [
        Hostile(wire.bomb([512 << 20] * 3), 1, "too_large", whole=True),
        Hostile(wire.bomb([600 << 20] * 50), 1, "too_large", whole=True),
        Hostile(within, 60, "too_large", whole=False),
    ]


def large_records() -> list[Hostile]:
    """Each fits in a batch of 1 MiB when it is compressed; some are events with another's key, which would be forwarded."""
    large, now = b"k" * HUGE, wall_ms()
    good = orjson.dumps({"module_id": "m", "timestamp": now, "success": True, "response_time_ms": 1.0})
    records = [
        Rec(0, now, large, b"x"),
        Rec(0, now, b"m", b"not json", ((b"h", large),)),
        Rec(0, now, b"other", good, ((b"h", large),)),
        Rec(0, now, b"m", good, ((b"h", b"x"),) * 100_000),
        Rec(0, now, large, large, ((large, large),)),
    ]
    return [Hostile(wire.batch([one], GZIP), 1, "too_large", whole=False) for one in records]


def bomb_row(brokers: Brokers, seed: int, directory: Path) -> Report:
    """One worker, bombs on every partition."""
    about = "zstd batches of 48 KiB and 1 MiB that hold 1.5 and 30 GiB, and one with 60 MiB of bad records, on every partition"
    return _row(BOMB, about, brokers, directory, list(itertools.product(range(PARTITIONS), bombs())))


def large_row(brokers: Brokers, seed: int, directory: Path) -> Report:
    """One worker, large records on every partition."""
    about = "records with keys and headers of 9 MiB, bad ones and good ones, well keyed or not, on every partition"
    return _row(LARGE, about, brokers, directory, list(itertools.product(range(PARTITIONS), large_records())))


def rebalance_row(brokers: Brokers, seed: int, directory: Path) -> Report:
    """Two workers and a third that comes, dies and goes, with a bomb on its way at each change."""
    about = "the same bombs while a third worker joins, is killed, comes back and leaves: one letter each, whoever reads them"
    plan = list(itertools.product(range(PARTITIONS), bombs()))

    def change(crew: Crew, step: int) -> None:
        if step % 4 == 0 and len(crew.workers) == 2:
            crew.add()
        elif step % 4 == 2:
            crew.kill(crew.pick(step))

    return _row(REBALANCE, about, brokers, directory, plan, workers=2, change=change, kills=len(plan) // 4)


def _row(
    name: str,
    about: str,
    brokers: Brokers,
    directory: Path,
    plan: Sequence[tuple[int, Hostile]],
    workers: int = 1,
    change: Callable[[Crew, int], None] | None = None,
    kills: int = 0,
) -> Report:
    report = Report(name, about, kills=kills, faults=len(plan) + kills)
    began = time.monotonic()
    application = Application(brokers.direct, directory, SETTINGS | {"topics__partitions": str(PARTITIONS)})
    application.create_topics()
    watch = Watch(application.servers, application.name, application.input, PARTITIONS)
    sent: list[tuple[int, int, Hostile]] = []
    peak = 0
    with Crew(application) as crew, _GoodEvents(application) as traffic:
        for _ in range(workers):
            joined(crew, crew.add())
        watch.start()
        try:
            for step, (partition, hostile) in enumerate(plan):
                if change is not None:
                    peak = max(peak, *(memory_mib(worker, peak=True) for worker in crew.workers if worker.alive))
                    change(crew, step)
                first = raw_client.produce(application.servers, application.input, partition, hostile.data)
                sent.append((partition, first, hostile))
                more = traffic.sent + int(RATE)
                until(lambda m=more: traffic.sent > m, "a second of good events")  # type: ignore[misc]
            traffic.end()
            ended = time.monotonic()
            until(lambda: watch.caught_up(ended), "everything processed")
            peak = max(peak, *(memory_mib(worker, peak=True) for worker in crew.workers if worker.alive))
        finally:
            watch.end()
        begun_again = sum(worker.begun_again for worker in crew.workers)
        codes = crew.stop_all()
        report.unexpected_ends += len(crew.own_ends) + begun_again + sum(code != 0 for code in codes)
    report.worst_lag = watch.worst_lag
    _judge(report, application, sent, traffic.sent)
    report.figures.append(f"Peak memory {peak} MiB of {MAX_RSS_MIB} allowed")
    bounded(report, peak, MAX_RSS_MIB)
    report.seconds = time.monotonic() - began
    return report


def _judge(report: Report, application: Application, sent: Sequence[tuple[int, int, Hostile]], good: int) -> None:
    """Every good event is counted once, every hostile batch has its letters, with its bytes where one stands for all."""
    newest = newest_seconds(application)
    total = sum(said["total_requests"] for said in newest.values())
    findings = report.findings
    findings.windows = len(newest)
    report.events = good + sum(hostile.letters for _, _, hostile in sent)
    findings.lost += max(good - total, 0)
    findings.doubled += max(total - good, 0)
    found: Counter[tuple[int, int]] = Counter()
    by_place = {(partition, first): hostile for partition, first, hostile in sent}
    for letter in read(application.servers, application.topic("dlq")):
        place = _batch_of(letter, by_place)
        found[place] += 1
        hostile = by_place[place]
        said = dict(letter.headers)
        right = said[b"modpulse.errors.reason"] == hostile.reason.encode()
        if hostile.whole:  # the broker writes offset and leader epoch over what was sent
            right &= letter.value[wire.HEADER_BYTES :] == hostile.data[wire.HEADER_BYTES :]
        findings.wrong += not right
    for place, hostile in by_place.items():
        findings.lost += max(hostile.letters - found[place], 0)
        findings.doubled += max(found[place] - hostile.letters, 0)
    if not findings.clean:
        findings.note(f"{total} of {good} good events counted; letters {dict(found)}")


def _batch_of(letter: Record, known: dict[tuple[int, int], Hostile]) -> tuple[int, int]:
    """The place of the hostile batch a letter belongs to."""
    said = dict(letter.headers)
    partition, offset = (int(said[b"modpulse.errors." + name] or b"") for name in (b"partition", b"offset"))
    return max(place for place in known if place[0] == partition and place[1] <= offset)


class _GoodEvents:
    """A thread that sends good events to every partition at a steady rate, until its context is left or it is told."""

    def __init__(self, application: Application) -> None:
        self._topic = application.input
        self._producer: Any = Producer(
            {"bootstrap.servers": application.servers, "partitioner": "murmur2_random", "linger.ms": 5, "log_level": 0}
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="good events")
        self.sent = 0

    def _run(self) -> None:
        began = time.monotonic()
        for number in self._numbers():
            while (time.monotonic() - began) * RATE < number and not self._stop.wait(TICK_S):
                self._producer.poll(0)
            module = module_name(number % MODULES)
            event = {"module_id": module, "timestamp": wall_ms(), "success": True, "response_time_ms": 1.0}
            event["event_id"] = f"e{number}"
            self._producer.produce(self._topic, orjson.dumps(event), module.encode())
            self.sent += 1

    def _numbers(self) -> Iterator[int]:
        for number in itertools.count():
            if self._stop.is_set():
                return
            yield number

    def end(self) -> None:
        """Stop, and return when all are acknowledged."""
        self._stop.set()
        self._thread.join()
        if self._producer.flush(DEADLINE_S):
            raise RuntimeError("good events were not delivered")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
