"""What the tests on a broker publish and read: rows, records, keys, and what must hold of them; waiting for a condition."""

import gzip
import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import orjson
from confluent_kafka import KafkaError

from tests.support.paths import ROOT
from tests.truth import partition_of

REAL_SPANS = ROOT / "tests" / "data" / "real-spans.jsonl.gz"
MODPULSE = (sys.executable, "-c", "from topology.cli import main; main()")
FIRST_SPANS = 40_000
DEADLINE_S = 60.0
# What a client hears of a topic made a moment ago.
NEW_GROUP = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)
NEW_TOPIC = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError._UNKNOWN_PARTITION}
POLL_S = 0.05
# A multiple of every window size used here.
T0 = 1_700_000_000_000

# Finals within seconds: small windows, and stream time that only events move.
SMALL = {
    "windows__sizes": "1s,2s,10s",
    "windows__grace": "500ms",
    "windows__corrections": "3s",
    "windows__idle_timeout": "1h",
    "flush_interval": "200ms",
}
SMALL_IDLE = SMALL | {"windows__idle_timeout": "1s"}

Json = dict[str, Any]
Key = tuple[str, str, int]
Headers = Sequence[tuple[str, bytes | None]]
Answer = TypeVar("Answer")


def until(condition: Callable[[], Answer], what: str | Callable[[], str], deadline_s: float = DEADLINE_S) -> Answer:
    """The first true answer of a condition that is asked again and again; fails when none comes in time."""
    end = time.monotonic() + deadline_s
    while not (answer := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(POLL_S)
    return answer


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Record:
    """One record as a consumer sees it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int

    @property
    def json(self) -> Json:
        assert self.value is not None
        return dict(orjson.loads(self.value))

    def header(self, name: str) -> str:
        """The last header of a name, which is the one that counts."""
        value = dict(self.headers)[name]
        assert value is not None
        return value.decode()


@dataclass(frozen=True, slots=True)
class Row:
    """One record to publish; without a partition it goes where Kafka's default partitioner sends its key."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record was written."""

    partition: int
    offset: int


@cache
def default_partition(key: bytes, partitions: int) -> int:
    return partition_of(key.decode(), partitions)


def event(module: str, at_ms: int, response_time_ms: float = 1.0, *, success: bool = True, **more: object) -> bytes:
    """A ModuleLogEvent as bytes."""
    fields = {"module_id": module, "timestamp": at_ms, "success": success, "response_time_ms": response_time_ms}
    return orjson.dumps(fields | more)


def row(module: str, at_ms: int, response_time_ms: float = 1.0, *, success: bool = True, **more: object) -> Row:
    """A ModuleLogEvent with its module as its key."""
    return Row(module.encode(), event(module, at_ms, response_time_ms, success=success, **more))


@cache
def real_lines() -> tuple[bytes, ...]:
    """The real spans, line by line."""
    with gzip.open(REAL_SPANS) as file:
        return tuple(line.rstrip(b"\n") for line in file)


@cache
def real_rows() -> tuple[Row, ...]:
    """The real spans as `modpulse publish` sends them."""
    return tuple(Row(orjson.loads(line)["module_id"].encode(), line) for line in real_lines())


def module_on(partition: int, partitions: int, prefix: str = "module") -> str:
    """The name of a module whose home is this partition."""
    names = (f"{prefix}-{number}" for number in itertools.count())
    return next(name for name in names if partition_of(name, partitions) == partition)


def json_values(values: Iterable[bytes | str]) -> list[Json]:
    """JSON texts as objects."""
    return [orjson.loads(value) for value in values]


# --- what is said of ModuleMetrics records --------------------------------------------------------------------------


def key_of(record: Json) -> Key:
    return record["module_id"], record["window"], record["window_start"]


def _without(record: Json, *fields: str) -> Json:
    return {name: value for name, value in record.items() if name not in fields}


def finals(records: Iterable[Json]) -> dict[Key, Json]:
    """The `final` record of each key, less what may differ between two runs. No key has two that differ."""
    found: dict[Key, Json] = {}
    for record in records:
        if record["status"] == "final":
            said = _without(record, "last_updated", "revision")
            assert found.setdefault(key_of(record), said) == said, f"two finals of {key_of(record)}"
    return found


def newest(records: Iterable[Json]) -> dict[Key, Json]:
    """The record of the highest revision of each key."""
    found: dict[Key, Json] = {}
    for record in records:
        if key_of(record) not in found or record["revision"] > found[key_of(record)]["revision"]:
            found[key_of(record)] = record
    return found


def last(records: Iterable[Json]) -> dict[Key, Json]:
    """The newest record of each key, less what may differ between two runs."""
    return {key: _without(said, "last_updated", "revision", "status") for key, said in newest(records).items()}


def statuses(records: Iterable[Json], key: Key) -> list[str]:
    """The statuses of a key's records in order, repetitions left out."""
    said = [record["status"] for record in records if key_of(record) == key]
    return [status for status, _ in itertools.groupby(said)]


def assert_revisions_rise_by_one(records: Iterable[Json]) -> None:
    """In the order of the log, the revisions of each key are 1, 2, 3, ..."""
    seen: Counter[Key] = Counter()
    for record in records:
        seen[key_of(record)] += 1
        assert record["revision"] == seen[key_of(record)], f"{key_of(record)}: revision {record['revision']}"


def assert_same_windows(live: Sequence[Json], replayed: Sequence[Json]) -> None:
    """The acceptance rule: finals that both made are equal, and so is the last record of every key."""
    mine, theirs = finals(live), finals(replayed)
    assert theirs.keys() <= mine.keys(), f"without a final: {sorted(theirs.keys() - mine.keys())[:5]}"
    different = [key for key in theirs if mine[key] != theirs[key]]
    assert not different, f"{len(different)} finals differ, such as {different[0]}"
    mine, theirs = last(live), last(replayed)
    assert mine.keys() == theirs.keys()
    different = [key for key in theirs if mine[key] != theirs[key]]
    assert not different, f"{len(different)} last records differ, such as {_difference(mine, theirs, different[0])}"


def _difference(mine: Mapping[Key, Json], theirs: Mapping[Key, Json], key: Key) -> object:
    return key, {
        name: (mine[key][name], theirs[key][name]) for name in mine[key] if mine[key][name] != theirs[key][name]
    }


def assert_cloudevents(records: Iterable[Record]) -> None:
    """Every output carries the five headers; an id never stands for two values."""
    by_id: dict[str, bytes | None] = {}
    for record in records:
        assert record.key is not None
        said = dict(record.headers)
        assert set(said) == {"ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time"}
        assert said["ce_specversion"] == b"1.0"
        assert record.header("ce_id") == f"{record.topic}/{record.key.decode()}/{record.json['revision']}"
        assert by_id.setdefault(record.header("ce_id"), record.value) == record.value
