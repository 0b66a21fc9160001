"""Live traffic: seeded events at a set rate, out of order, some late, some sent twice, some no events at all.

What is sent depends on the seed; when it is stamped depends on the clock, because the worker refuses events of the future.
The truth is therefore never what was meant to be sent but what stands in the input topic afterwards (`oracle.py`).
"""

import heapq
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from confluent_kafka import KafkaException, Producer

TICK_S = 0.01
CHUNK = 4_096
GARBAGE = b"!not an event"
DAY_MS = 86_400_000
YEAR_2100_MS = 4_102_444_800_000


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
        odd: from clocks that are off: 1970, 2100, or seconds where milliseconds belong.
    """

    rate: float = 2_000.0
    modules: int = 40
    straggling: float = 0.01
    late: float = 0.002
    repeated: float = 0.02
    identified: float = 0.5
    bad: float = 0.0005
    odd: float = 0.0


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


class Traffic:
    """A thread that produces until it is told to stop; through a broker's absence, it waits."""

    def __init__(self, servers: str, topic: str, mix: Mix, seed: int) -> None:
        self._topic = topic
        self._mix = mix
        self._random = np.random.default_rng(seed)
        self._producer: Any = Producer(
            {
                "bootstrap.servers": servers,
                # Kept in order; what is written twice by a retry stands twice in the topic, and counts twice in the truth.
                "max.in.flight": 1,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "message.timeout.ms": 600_000,
                "queue.buffering.max.messages": 2_000_000,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic")
        self._again: list[tuple[float, int, bytes, bytes]] = []
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
        left = self._producer.flush(300)
        if left or self.refused:
            raise RuntimeError(f"{left} events were not delivered, {len(self.refused)} refused: {self.refused[:1]}")

    def _run(self) -> None:
        began = time.monotonic()
        draws, at = draw(self._random, self._mix), 0
        while not self._stop.wait(TICK_S):
            now = time.monotonic()
            for _ in range(int((now - began) * self._mix.rate) - self.sent):
                if at == CHUNK:
                    draws, at = draw(self._random, self._mix), 0
                self._one(draws, at, now)
                at += 1
            while self._again and self._again[0][0] <= now:
                _, _, key, value = heapq.heappop(self._again)
                self._send(key, value)
            self._producer.poll(0)

    def _one(self, draws: Draws, at: int, now: float) -> None:
        mix, number = self._mix, self.sent
        self.sent += 1
        module = f"svc-{draws.modules[at]:03}"
        kind, delay = draws.kinds[at], draws.delays[at]
        if kind < mix.bad:
            self._send(module.encode(), GARBAGE)
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
        self._send(module.encode(), value)
        if "event_id" in event and draws.repeats[at] * mix.identified < mix.repeated:
            heapq.heappush(self._again, (now + 3.0 * delay, number, module.encode(), value))

    def _when(self, kind: float, delay: float) -> int:
        """The event's time, ms."""
        now = wall_ms()
        if kind > 1.0 - self._mix.odd:
            return (now // 1000, 1 + int(delay * 1000), YEAR_2100_MS)[int(delay * 3)]
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

    def _send(self, key: bytes, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(self._topic, value, key, on_delivery=self._delivered)
                return
            except BufferError:
                self._producer.poll(0.05)

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self.refused.append(str(KafkaException(error)))
