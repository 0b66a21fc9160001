"""Disordered streams for the comparison with Kafka Streams: every kind of disorder, the same ones in every run."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

START_MS = 1_700_000_000_000
DAY_MS = 86_400_000
SIZES_MS = (30_000, 30_000, 30_000, 60_000, 7_000, 1_500, 1_000, 10)
# Sizes beyond the base, as multiples of it: they must not change what is late and what the base windows say.
LARGER = ((), (), (), (2,), (3, 12))
MOST_EVENTS = 110

Timed = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Stream:
    """One partition's records in the order of their offsets, and the windows they are counted in.

    Attributes:
        larger: further window sizes as multiples of `size_ms`.
        events: module and event time; the last closes every window of the others.
    """

    kind: str
    size_ms: int
    grace_ms: int
    larger: tuple[int, ...]
    events: tuple[Timed, ...]


@dataclass(slots=True)
class _Maker:
    """What a kind of disorder is made from."""

    random: random.Random
    size: int
    grace: int
    modules: list[str]
    head: int

    def at(self, time: int) -> Timed:
        """An event of some module."""
        return self.random.choice(self.modules), time

    def step(self) -> int:
        """Move the head on a little, often not at all."""
        self.head += self.random.choice((0, 0, 1, self.size // 20, self.size // 5, self.size // 3))
        return self.head


def _jitter(make: _Maker) -> Iterator[Timed]:
    """Each event lags behind by less than a bound."""
    bound = make.random.choice((1, make.grace, make.size + make.grace, 3 * (make.size + make.grace))) + 1
    while True:
        yield make.at(make.step() - make.random.randrange(bound))


def _boundary(make: _Maker) -> Iterator[Timed]:
    """Stream time stops a millisecond before, at or after the close of a window, and events of that window come."""
    while True:
        end = (make.head // make.size + 1 + make.random.randrange(2)) * make.size
        yield make.at(end - 1 - make.random.randrange(make.size))
        make.head = max(make.head, end + make.grace + make.random.choice((-1, 0, 1)))
        yield make.at(make.head)
        for _ in range(make.random.randrange(1, 8)):
            edges = (end - make.size - 1, end - make.size, end - 1, end, end + 1, make.head - make.grace)
            yield make.at(min(make.random.choice(edges), make.head))


def _gaps(make: _Maker) -> Iterator[Timed]:
    """Long silences, and stragglers from before them."""
    while True:
        before = make.head
        make.head += make.random.choice((make.size, 2 * make.size + make.grace, 100 * make.size, 3 * DAY_MS))
        yield make.at(make.head)
        for _ in range(make.random.randrange(12)):
            yield make.at(make.random.choice((before, make.step(), make.head - make.grace, make.head - make.size)))


def _equal_times(make: _Maker) -> Iterator[Timed]:
    """Hardly any two times differ."""
    while True:
        for _ in range(make.random.randrange(1, 30)):
            yield make.at(make.head - make.random.choice((0, 0, 0, make.size, make.size + make.grace)))
        make.head += make.random.choice((1, make.size, make.grace + make.size))


def _sawtooth(make: _Maker) -> Iterator[Timed]:
    """Files one after the other, each in order, each beginning before the end of the last."""
    while True:
        start = make.head - make.random.randrange(2 * (make.size + make.grace))
        for number in range(make.random.randrange(5, 40)):
            time = start + number * max(make.size // 8, 1)
            make.head = max(make.head, time)
            yield make.at(time)


def _shuffled(make: _Maker) -> Iterator[Timed]:
    """No order at all within some windows."""
    first = make.head
    while True:
        yield make.at(first + make.random.randrange(4 * make.size + make.grace))


def _few(make: _Maker) -> Iterator[Timed]:
    """Hardly a stream: one to three events."""
    for _ in range(make.random.randrange(1, 4)):
        yield make.at(make.head)
        make.head += make.random.choice((-make.size - make.grace, 0, make.size, make.size + make.grace))


KINDS: tuple[Callable[[_Maker], Iterator[Timed]], ...] = (
    _jitter,
    _boundary,
    _boundary,
    _gaps,
    _equal_times,
    _sawtooth,
    _shuffled,
    _few,
)


def streams(count: int, seed: int) -> list[Stream]:
    """The first so many streams of a seed; they take the kinds in turn."""
    return [_stream(random.Random(f"{seed}/{number}"), KINDS[number % len(KINDS)]) for number in range(count)]


def _stream(rng: random.Random, kind: Callable[[_Maker], Iterator[Timed]]) -> Stream:
    size = rng.choice(SIZES_MS)
    grace = rng.choice((0, 0, 1, size // 3, size - 1, size, 10_000, 2 * size + 1))
    modules = [f"module-{number}" for number in range(rng.choice((1, 2, 5, 80)))]
    make = _Maker(rng, size, grace, modules, START_MS + rng.randrange(DAY_MS))
    events = list(islice(kind(make), rng.randrange(1, MOST_EVENTS)))
    last = max(time for _, time in events)
    return Stream(
        kind.__name__.strip("_"), size, grace, rng.choice(LARGER), (*events, ("the-end", last + 2 * size + grace))
    )
