"""What the fault suite takes for the truth where events are forwarded, and that it sees each way of getting it wrong."""

from collections import Counter
from dataclasses import replace

import orjson
import pytest

from tests.faults.judge.forwarded import truth_of_all_forwarded, truth_of_some_forwarded
from tests.faults.judge.oracle import Truth, Windows
from tests.faults.judge.reader import Record
from tests.faults.judge.verdict import Findings, forwarded
from tests.faults.run import ALERT_RULES
from tests.truth import partition_of

WINDOWS = Windows({"1s": 1_000, "5s": 5_000}, grace=500, keep=600_500)
TOPICS = ("in", "again")
START_MS = 1_700_000_000_000
MODULES = [next(f"m{n}" for n in range(100) if partition_of(f"m{n}", 2) == partition) for partition in range(2)]


def record(
    module: str, offset: int, at_ms: int, *, partition: int = 0, key: bytes | None = b"?", event_id: str | None = None
) -> Record:
    event = {"module_id": module, "timestamp": START_MS + at_ms, "success": True, "response_time_ms": 1.0 + offset}
    if event_id is not None:
        event["event_id"] = event_id
    used = module.encode() if key == b"?" else key
    return Record(partition, offset, START_MS + at_ms, used or b"", orjson.dumps(event), (), (used is None, False))


def carried(records: list[Record]) -> list[Record]:
    """What the repartition topic must hold of these."""
    ends: Counter[int] = Counter()
    found = []
    for one in records:
        module = orjson.loads(one.value)["module_id"]
        home = partition_of(module, 2)
        found.append(replace(one, partition=home, offset=ends[home], key=module.encode(), nulls=(False, False)))
        ends[home] += 1
    return found


SENT = [
    record(MODULES[0], 0, 0),
    record(MODULES[0], 1, 100, key=None, event_id="a"),
    record(MODULES[1], 2, 200, key=b"other"),
    record(MODULES[0], 3, 300, key=None, event_id="a"),
    record(MODULES[1], 0, 1_400, partition=1, event_id="b"),
    record(MODULES[1], 1, 1_500, partition=1, event_id="b"),
    record(MODULES[0], 2, 1_600, partition=1, key=b""),
]
STRAYS = [one for one in SENT if one.key != orjson.loads(one.value)["module_id"].encode()]


def test_where_some_are_forwarded_counts_and_ledgers_are_those_of_both_topics() -> None:
    true = truth_of_some_forwarded(SENT, carried(STRAYS), WINDOWS, topics=TOPICS)
    assert {key: found.n for key, found in true.last.items() if key[1] == "1s"} == {
        (MODULES[0], "1s", START_MS): 2,
        (MODULES[0], "1s", START_MS + 1_000): 1,
        (MODULES[1], "1s", START_MS): 1,
        (MODULES[1], "1s", START_MS + 1_000): 1,
    }
    # consumed, applied, late, duplicate, invalid, future, forwarded
    assert true.ledgers == {
        ("in", 0): [4, 1, 0, 0, 0, 0, 3],
        ("in", 1): [3, 1, 0, 1, 0, 0, 1],
        ("again", 0): [3, 2, 0, 1, 0, 0, 0],
        ("again", 1): [1, 1, 0, 0, 0, 0, 0],
    }
    assert (true.duplicates, true.ordered) == (2, False)
    assert true.forwarded.total() == 4


def test_where_all_are_forwarded_the_repartition_topic_decides() -> None:
    true = truth_of_all_forwarded(SENT, carried(SENT), WINDOWS, ALERT_RULES, topics=TOPICS, closed=True)
    assert true.ledgers["in", 0] == [4, 0, 0, 0, 0, 0, 4]
    assert true.ledgers["in", 1] == [3, 0, 0, 0, 0, 0, 3]
    assert true.ledgers["again", 0] == [4, 3, 0, 1, 0, 0, 0]
    assert true.ledgers["again", 1] == [3, 2, 0, 1, 0, 0, 0]
    assert true.ordered
    assert true.finals.keys() == true.last.keys()
    # The same in an order in which the newest event comes first: what lies far behind it is late.
    short = replace(WINDOWS, keep=500)
    turned = truth_of_all_forwarded(SENT, carried(SENT[::-1]), short, ALERT_RULES, topics=TOPICS, closed=True)
    assert {place[0] for place in turned.late} == {"again"}
    assert len(turned.late) == 4


@pytest.mark.parametrize(
    ("damage", "counts"),
    [
        (lambda found: found, (0, 0, 0)),
        (lambda found: found[1:], (1, 0, 0)),
        (lambda found: [*found, found[0]], (0, 1, 0)),
        (lambda found: [replace(found[0], value=found[3].value), *found[1:]], (1, 1, 0)),
        (lambda found: [replace(found[0], key=b"x"), *found[1:]], (0, 0, 1)),
        (lambda found: [replace(found[0], partition=1 - found[0].partition), *found[1:]], (0, 0, 1)),
    ],
    ids=["nothing", "dropped", "doubled", "another one", "under another key", "on another partition"],
)
def test_each_way_of_forwarding_wrongly_is_seen(damage: object, counts: tuple[int, int, int]) -> None:
    true = Truth(forwarded=Counter(one.value for one in STRAYS), partitions=2)
    findings = Findings()
    forwarded(findings, true, damage(carried(STRAYS)))  # type: ignore[operator]
    assert (findings.lost, findings.doubled, findings.wrong) == counts
