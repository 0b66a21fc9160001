"""Live traffic: seeded events at a set rate, out of order, some late, some sent twice, some no events at all.

What is sent depends on the seed; when it is stamped depends on the clock, because the worker refuses events of the future.
The truth is therefore never what was meant to be sent but what stands in the input topic afterwards (`oracle.py`).
"""

import heapq
import random
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from confluent_kafka import KafkaException, Producer

from tests.support import raw_client
from tests.support.records import wire
from tests.support.records.poison import PoisonKind, poison_kinds
from tests.truth import partition_of

TICK_S = 0.01
CHUNK = 4_096
GARBAGE = b"!not an event"
DAY_MS = 86_400_000
YEAR_2100_MS = 4_102_444_800_000
MINUTES_5_MS = 300_000
HeaderList = list[tuple[str, bytes | None]]
# Headers that are odd but harmless; a record is judged without them.
ODD_HEADERS: tuple[HeaderList, ...] = (
    [("binary", bytes(range(256)))],
    [("", b"nameless"), ("", b"")],
    [("twice", b"1"), ("twice", b"2"), ("twice", None)],
    [(f"header-{number}", b"v" * (number % 7)) for number in range(300)],
)
TOO_LARGE = "too_large"
NOT_TEXT = b"name-\xff\xfe\xc3"
# How long a transaction stays open, and how many of them are aborted.
TRANSACTION_S = (0.05, 0.5)
ABORTED = 0.35
DEADLINE_S = 300.0


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Mix:
    """What the traffic is made of; shares are of all events.

    Attributes:
        rate: events a second.
        straggling: up to 9 s behind, around the limit of lateness: each is decided by the running stream time.
        late: 15 to 30 s behind.
        repeated: sent again with the same id, up to 3 s later.
        identified: have an id. The others show double processing that duplicate suppression would hide.
        bad: no event at all; as many are stamped a day ahead.
        odd: from clocks that are off: 1970, 2100, 5 minutes behind or ahead, or seconds where milliseconds belong.
        poison: bad records of every known kind. odd_headers: have strange headers, good and bad ones.
        codecs: each event is sent with the next of these.
        transactional: sent in transactions, a third of which are aborted when all they hold was written.
        foreign: have no key or that of another module, on any partition.
    """

    rate: float = 2_000.0
    modules: int = 40
    straggling: float = 0.01
    late: float = 0.002
    repeated: float = 0.02
    identified: float = 0.5
    bad: float = 0.0005
    odd: float = 0.0
    poison: float = 0.0
    odd_headers: float = 0.0
    codecs: tuple[str, ...] = ("none",)
    transactional: bool = False
    foreign: float = 0.0


@dataclass(frozen=True, slots=True)
class Draws:
    """The random part of the next events."""

    modules: list[int]
    latencies: list[float]
    kinds: list[float]
    delays: list[float]
    failures: list[float]
    identities: list[float]
    repeats: list[float]


def draw(random: np.random.Generator, mix: Mix) -> Draws:
    """The next `CHUNK` events; a few modules have most of the traffic."""
    weights = 1.0 / np.arange(1, mix.modules + 1) ** 0.7
    return Draws(
        random.choice(mix.modules, CHUNK, p=weights / weights.sum()).tolist(),
        np.round(random.lognormal(3.5, 1.2, CHUNK), 3).tolist(),
        random.random(CHUNK).tolist(),
        random.random(CHUNK).tolist(),
        random.random(CHUNK).tolist(),
        random.random(CHUNK).tolist(),
        random.random(CHUNK).tolist(),
    )


def failing(module: int, at_ms: int) -> float:
    """The probability of a failure: each module has three bad seconds in twelve, so alerts come and go."""
    return 0.9 if (at_ms // 3_000 + module) % 4 == 0 else 0.02


def module_name(number: int) -> str:
    return f"svc-{number:03}"


class Traffic:
    """A thread that produces until it is told to stop; through a broker's absence, it waits.

    Attributes:
        bad: the values planted as bad records, and the reason each must get.
    """

    def __init__(self, servers: str, topic: str, partitions: int, mix: Mix, seed: int) -> None:
        self.servers = servers
        self.topic = topic
        self._partitions = partitions
        self._mix = mix
        self._random = np.random.default_rng(seed)
        self._dice = random.Random(seed)
        self._producers = [_producer(servers, topic, mix, codec, seed) for codec in mix.codecs]
        # All of one time, so that a value tells its reason.
        self._kinds = poison_kinds(wall_ms())
        # Whether a record is too large is not told by its value alone, and the truth is told its size.
        values = {kind.value or b"": kind.reason for kind in self._kinds if kind.reason != TOO_LARGE}
        self.bad = values if mix.poison else {}
        self._burst: tuple[int, int] | None = None
        self._burst_over = threading.Event()
        self._transaction_ends = 0.0
        self._transaction_holds = 0
        self._aborted: list[int] = []
        self._sent_kinds: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic")
        self._again: list[tuple[float, int, bytes | None, bytes, dict[str, int]]] = []
        self.sent = 0
        self.refused: list[str] = []

    @property
    def producing(self) -> bool:
        """Whether events are still coming."""
        return self._thread.is_alive() and not self._stop.is_set()

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Stop, and return when every event is acknowledged."""
        self._stop.set()
        self._thread.join()
        left = self._flush()
        if self._transaction_ends:
            self._end_transaction(aborted=False)
        if left or self.refused:
            raise RuntimeError(f"{left} events were not delivered, {len(self.refused)} refused: {self.refused[:1]}")

    def bad_in_a_row(self, partition: int, count: int) -> None:
        """So many bad records one behind the other on one partition, and two with header names that are no text."""
        self._burst = partition, count
        if not self._burst_over.wait(DEADLINE_S):
            raise TimeoutError("the bad records were not sent")

    @property
    def figures(self) -> list[str]:
        """What was special about it."""
        said = []
        if self._aborted:
            said.append(f"{sum(self._aborted):,} records in {len(self._aborted)} aborted transactions")
        if self._mix.poison:
            said.append(f"{len(self._sent_kinds)} kinds of bad records; codecs {', '.join(self._mix.codecs)}")
        return said

    def _flush(self) -> int:
        return sum(producer.flush(DEADLINE_S) for producer in self._producers)

    def _run(self) -> None:
        began = time.monotonic()
        draws, at = draw(self._random, self._mix), 0
        while not self._stop.wait(TICK_S):
            now = time.monotonic()
            if self._mix.transactional and now >= self._transaction_ends:
                self._next_transaction(now)
            if self._burst is not None:
                self._send_burst(*self._burst)
                self._burst = None
                self._burst_over.set()
            for _ in range(int((now - began) * self._mix.rate) - self.sent):
                if at == CHUNK:
                    draws, at = draw(self._random, self._mix), 0
                self._one(draws, at, now)
                at += 1
            while self._again and self._again[0][0] <= now:
                _, _, key, value, place = heapq.heappop(self._again)
                self._send(key, value, **place)
            for producer in self._producers:
                producer.poll(0)

    def _next_transaction(self, now: float) -> None:
        if self._transaction_ends:
            self._end_transaction(aborted=self._dice.random() < ABORTED)
        self._producers[0].begin_transaction()
        self._transaction_ends = now + self._dice.uniform(*TRANSACTION_S)
        self._transaction_holds = 0

    def _end_transaction(self, *, aborted: bool) -> None:
        """Abort only what was written: what is still on its way would never reach the log."""
        producer = self._producers[0]
        if aborted and not producer.flush(DEADLINE_S):
            producer.abort_transaction(DEADLINE_S)
            self._aborted.append(self._transaction_holds)
        else:
            producer.commit_transaction(DEADLINE_S)

    def _send_burst(self, partition: int, count: int) -> None:
        """Nothing else is sent meanwhile, and nothing is under way, so they stand in a row."""
        if self._flush():
            raise RuntimeError("events were not delivered")
        for number in range(count):
            self._send_kind(self._kinds[number % len(self._kinds)], self._producers[0], partition)
        self._producers[0].flush(DEADLINE_S)
        names = (module_name(number) for number in range(1_000))
        module = next(name for name in names if partition_of(name, self._partitions) == partition)
        event = {"module_id": module, "timestamp": wall_ms(), "success": True, "response_time_ms": 2.0}
        odd = ((b"text", b"1"), (NOT_TEXT, b"2"), (b"", None))
        values = orjson.dumps(event), GARBAGE
        records = [wire.Rec(n, wall_ms(), module.encode(), value, odd) for n, value in enumerate(values)]
        raw_client.produce(self.servers, self.topic, partition, wire.batch(records))

    def _send_kind(self, kind: PoisonKind, producer: Any, partition: int) -> None:
        self._sent_kinds.add(kind.name)
        headers = list(kind.headers) or self._some_headers()
        self._produce(producer, kind.value, kind.key, headers=headers, partition=partition)

    def _some_headers(self) -> HeaderList:
        odd = self._mix.odd_headers
        return self._dice.choice(ODD_HEADERS) if odd and self._dice.random() < odd else []

    def _one(self, draws: Draws, at: int, now: float) -> None:
        mix, number = self._mix, self.sent
        self.sent += 1
        module = module_name(draws.modules[at])
        producer = self._producers[number % len(self._producers)]
        kind, delay = draws.kinds[at], draws.delays[at]
        if kind < mix.bad:
            self._send(module.encode(), GARBAGE)
            return
        if mix.poison and self._dice.random() < mix.poison:
            self._send_kind(self._dice.choice(self._kinds), producer, self._dice.randrange(self._partitions))
            return
        when = self._when(kind, delay)
        event: dict[str, object] = {
            "module_id": module,
            "timestamp": when,
            "success": draws.failures[at] >= failing(draws.modules[at], when),
            "response_time_ms": draws.latencies[at],
        }
        if draws.identities[at] < mix.identified:
            event["event_id"] = f"e{number}"
        value = orjson.dumps(event)
        key, place = self._route(module)
        self._send(key, value, producer, **place)
        if "event_id" in event and draws.repeats[at] * mix.identified < mix.repeated:
            heapq.heappush(self._again, (now + 3.0 * delay, number, key, value, place))

    def _route(self, module: str) -> tuple[bytes | None, dict[str, int]]:
        """The key of an event, and the partition where the key does not decide it."""
        if not self._mix.foreign or self._dice.random() >= self._mix.foreign:
            return module.encode(), {}
        other = module_name(self._dice.randrange(self._mix.modules))
        key = None if other == module or self._dice.random() < 0.5 else other.encode()
        return key, {"partition": self._dice.randrange(self._partitions)}

    def _when(self, kind: float, delay: float) -> int:
        """The event's time, ms."""
        now = wall_ms()
        if kind > 1.0 - self._mix.odd:
            off = (now // 1000, 1 + int(delay * 1000), YEAR_2100_MS, now - MINUTES_5_MS, now + MINUTES_5_MS)
            return off[int(delay * len(off))]
        return now - self._behind(kind, delay)

    def _behind(self, kind: float, delay: float) -> int:
        """How far the event's time is behind the clock, ms."""
        mix = self._mix
        for share, low, high in (
            (2 * mix.bad, -DAY_MS, -DAY_MS),
            (mix.late, 15_000, 30_000),
            (mix.straggling, 0, 9_000),
            (0.15, 0, 800),
        ):
            if kind < share:
                return int(low + delay * (high - low))
            kind -= share
        return int(delay * 200)

    def _send(self, key: bytes | None, value: bytes, producer: Any = None, **place: int) -> None:
        headers = self._some_headers()
        self._produce(producer or self._producers[0], value, key, **({"headers": headers} if headers else {}), **place)

    def _produce(self, producer: Any, value: bytes | None, key: bytes | None, **more: Any) -> None:
        self._transaction_holds += 1
        while True:
            try:
                producer.produce(self.topic, value, key, on_delivery=self._delivered, **more)
                return
            except BufferError:
                producer.poll(0.05)

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self.refused.append(str(KafkaException(error)))


def _producer(servers: str, topic: str, mix: Mix, codec: str, seed: int) -> Any:
    producer = Producer(
        {
            "bootstrap.servers": servers,
            # Kept in order; what is written twice by a retry stands twice in the topic, and counts twice in the truth.
            "max.in.flight": 1,
            "partitioner": "murmur2_random",
            "compression.type": codec,
            "linger.ms": 5,
            "message.timeout.ms": 600_000,
            "queue.buffering.max.messages": 2_000_000,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
            **(
                {"transactional.id": f"{topic}-traffic-{seed}", "message.timeout.ms": 60_000}
                if mix.transactional
                else {}
            ),
        }
    )
    if mix.transactional:
        producer.init_transactions(DEADLINE_S)
    return producer
