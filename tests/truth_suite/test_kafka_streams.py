"""What is late and every final count, record by record, against Kafka Streams' own test driver (corrections = 0).

Kafka Streams takes a record when `window end > stream time - grace`, stream time being the largest time of the partition so
far; with `corrections = 0` that is our rule for base windows too. Whatever the larger ones, an event is late when its base
window is sealed; so many base sizes are tried, and larger windows are left to test_panes.py.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest

from pipeline.config import CoreConfig, WindowConfig
from pipeline.cores.applier import Applier
from pipeline.cores.closer import Closer
from pipeline.windows.stream_time import StreamTime
from schemas.metrics import ModuleMetrics
from tests.support.core.cores import Event, Run, split
from tests.truth_suite.disorder import KINDS, Stream, streams
from tests.truth_suite.figures import Figures
from tests.truth_suite.kafka_streams_oracle import POM, Answer, Final, OracleUnavailableError, ask
from tests.truth_suite.mutants import plant
from topology.devbroker import jars

SEED = 20_260_601
STREAMS = 1_040
MUTANT_STREAMS = 64
BASE = "base"
_decode = msgspec.json.Decoder(ModuleMetrics).decode


@dataclass(slots=True)
class Ours:
    """What our core says of one stream.

    Attributes:
        late: offsets of the records that came too late.
        finals: the base windows in the order they closed, each with the last record of the batch that closed it.
        batches: the last record of each batch.
    """

    late: list[int] = field(default_factory=list)
    finals: list[Final] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)


def ours(stream: Stream, seed: int) -> Ours:
    """Let the core take in a stream in random batches, each followed by a cut."""
    sizes = [(BASE, stream.size_ms), *((f"x{times}", times * stream.size_ms) for times in stream.larger)]
    run = Run(CoreConfig(WindowConfig(tuple(sizes), stream.grace_ms, corrections_ms=0)))
    events = [Event(module, time) for module, time in stream.events]
    now_ms = max(event.time for event in events)
    rng = random.Random(f"{SEED}/{seed}")
    said = Ours()
    for part in split(events, [rng.randrange(len(events)) for _ in range(rng.choice((0, 1, 2, 4)))]):
        run.apply(part, now_ms)
        said.batches.append(run.offset - 1)
        for emitted in run.cut(now_ms):
            if b'"status":"final"' in emitted.value:
                record = _decode(emitted.value)
                if record.window == BASE:
                    said.finals.append(
                        Final(record.module_id, record.window_start, record.total_requests, run.offset - 1)
                    )
    said.late = [rejected.offset for rejected in run.rejected if rejected.reason == "late"]
    assert run.ledger.late == len(said.late)
    assert run.ledger.applied + run.ledger.late == len(events)
    return said


def differences(stream: Stream, theirs: Answer, mine: Ours) -> list[str]:
    """Every record judged differently, and every final that is missing, too many, different or not at its time."""
    name = f"{stream.kind}, {stream.size_ms} ms and {stream.grace_ms} ms of grace"
    found = [f"{name}: record {record} is late for one only" for record in sorted(set(theirs.late) ^ set(mine.late))]
    # What a record closes goes out with the batch of that record.
    expected = Counter(
        replace(final, record=next(last for last in mine.batches if last >= final.record)) for final in theirs.finals
    )
    said = Counter(mine.finals)
    found += [f"{name}: Kafka Streams alone says {final}" for final in expected - said]
    found += [f"{name}: we alone say {final}" for final in said - expected]
    return found


@pytest.fixture(scope="module")
def asked() -> list[tuple[Stream, Answer]]:
    """All streams with what Kafka Streams says of them."""
    generated = streams(STREAMS, SEED)
    try:
        return list(zip(generated, ask(generated), strict=True))
    except OracleUnavailableError as problem:
        raise pytest.fail.Exception(str(problem), pytrace=False) from None


def compared(asked: Sequence[tuple[Stream, Answer]]) -> list[str]:
    """The differences of all streams."""
    return [
        difference
        for number, (stream, theirs) in enumerate(asked)
        for difference in differences(stream, theirs, ours(stream, number))
    ]


def test_the_same_records_are_late_and_every_final_count_is_that_of_kafka_streams(
    asked: list[tuple[Stream, Answer]], figures: Figures
) -> None:
    assert compared(asked) == []
    records = sum(len(stream.events) for stream, _ in asked)
    late = sum(len(theirs.late) for _, theirs in asked)
    finals = sum(len(theirs.finals) for _, theirs in asked)
    figures.say(
        "Kafka Streams",
        f"{len(asked):,} streams, {records:,} records judged ({late:,} late), {finals:,} final counts: all the same",
    )
    assert len(asked) >= 1_000
    assert records // 20 < late < records // 2, "both decisions are often taken"


BUGS = {
    "an event exactly at the limit is taken": (StreamTime, "late", "self.keep_ms <= streams", "self.keep_ms < streams"),
    "stream time is that of the whole batch": (
        StreamTime,
        "running",
        "np.maximum.accumulate(times)",
        "np.full(len(times), times.max())",
    ),
    "an event at the end of a window belongs to it": (
        Applier,
        "_judge_times",
        "columns.times - columns.times % base_ms",
        "columns.times - 1 - (columns.times - 1) % base_ms",
    ),
    "a window closes a millisecond too late": (
        Closer,
        "settle",
        "due(closed_ms, unclosed=True)",
        "due(closed_ms - 1, unclosed=True)",
    ),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_seen(bug: str, asked: list[tuple[Stream, Answer]], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, *BUGS[bug])
    assert compared(asked[:MUTANT_STREAMS]) != []


def test_every_kind_of_disorder_has_late_records(asked: list[tuple[Stream, Answer]]) -> None:
    late = {kind.__name__.strip("_"): 0 for kind in KINDS}
    for stream, theirs in asked:
        late[stream.kind] += len(theirs.late)
    assert all(late.values()), late


def test_kafka_streams_has_the_version_of_the_test_broker() -> None:
    versions = [
        re.findall(r"<kafka.version>(.+)</kafka.version>", pom.read_text("utf-8"))
        for pom in (POM, Path(jars.__file__).with_name("pom.xml"))
    ]
    assert versions[0] == versions[1]
    assert len(versions[0]) == 1
