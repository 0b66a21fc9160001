"""`dlq list` and `dlq replay` on a real broker: what is shown, and that every letter goes back exactly once."""

import asyncio
import io
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from tests.integration.conftest import MakeFleet
from tests.support.broker.fleet import Fleet
from tests.support.broker.records import DEADLINE_S, MODPULSE, Json, Record, Row, row, until, wall_ms
from topology.dead_letters.record import LetterFilter
from topology.dead_letters.replay import FOREIGN, TOO_LARGE, TRUNCATED, Replayed, ReplayOrder, replay
from topology.runtime.progress import Progress

pytestmark = pytest.mark.broker

PLAIN = {"topics__partitions": "2"}
# Six transactions.
MANY = 3_000


def letters_of(fleet: Fleet, count: int, *, first: int = 0, reason: str = "invalid") -> list[Row]:
    """Letters as a worker writes them, alternating between two partitions."""
    return [letter_row(fleet, n, reason, b'{"n":%d}' % n) for n in range(first, first + count)]


def letter_row(fleet: Fleet, n: int, reason: str, value: bytes, **more: bytes) -> Row:
    said = {"reason": reason.encode(), "message": b"m", "topic": fleet.input.encode(), "partition": b"%d" % (n % 2)}
    said |= {"offset": b"%d" % n, "timestamp": b"1700000000000"} | more
    headers = (("trace", b"%d" % n), *((f"modpulse.errors.{name}", text) for name, text in said.items()))
    return Row(b"shop-%d" % (n % 5), value, headers, partition=n % 2)


def write(fleet: Fleet, rows: Sequence[Row], topic: str | None = None) -> None:
    """Put records straight on the dead-letter topic, in several batches."""
    options = {"bootstrap.servers": fleet.servers, "linger.ms": 5, "message.max.bytes": 8 << 20}
    writer = Producer(options | {"enable.idempotence": True})  # without it a retry changes the order
    for one in rows:
        while True:
            try:
                writer.produce(
                    topic or fleet.settings.topics.dlq,
                    key=one.key,
                    value=one.value,
                    headers=list(one.headers),
                    partition=one.partition if one.partition is not None else 0,
                )
                break
            except BufferError:
                writer.poll(0.1)
    assert writer.flush(DEADLINE_S) == 0


def dlq(fleet: Fleet, *arguments: str, code: int = 0) -> Json:
    done = fleet.command("dlq", *arguments, "--json")
    assert done.returncode == code, done.stderr
    assert done.stdout, done.stderr
    return dict(orjson.loads(done.stdout))


def replayed(fleet: Fleet, wanted: LetterFilter | None = None, **order: Any) -> Replayed:
    """The same without a process of its own, where the command line does not matter."""
    what = ReplayOrder(order.pop("topic", fleet.settings.topics.dlq), wanted or LetterFilter(), **order)
    return asyncio.run(replay(fleet.settings, what, Progress("looked at", io.StringIO())))


@contextmanager
def started(fleet: Fleet, directory: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A replay in a process of its own; gone when the block is left."""
    with subprocess.Popen(
        [*MODPULSE, "dlq", "replay", *arguments],
        env=fleet.environment,
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def came_back(fleet: Fleet) -> list[Record]:
    """What stands on the input, for a reader of committed records."""
    return fleet.read(fleet.input)


def assert_each_once(fleet: Fleet, sent: Sequence[Row]) -> None:
    """Every letter is on the input once, on its partition, with its key, value and headers, in the order it had."""
    found = came_back(fleet)
    places = Counter(record.header("modpulse.replayed.from") for record in found)
    assert [place for place, count in places.items() if count > 1] == []
    assert len(found) == len(sent)
    for partition in range(2):
        there = [(r.key, r.value, r.headers[:-1]) for r in found if r.partition == partition]
        assert there == [(one.key, one.value, one.headers[:1]) for one in sent if one.partition == partition]
    assert {name for record in found for name, _ in record.headers} == {"trace", "modpulse.replayed.from"}


def test_letters_of_every_kind_are_listed_mended_and_applied_exactly_once(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(PLAIN, windows__max_future="1m", limits__max_record_bytes="1KiB")
    worker = fleet.start().wait_until_ready()
    now = wall_ms()
    good = [row(f"shop-{n % 4}", now, event_id=f"g{n}") for n in range(100)]
    large = [row(f"shop-{n % 4}", now, event_id=f"l{n}", labels={"a": "v" * 250}, note="x" * 1_000) for n in range(30)]
    future = [row(f"shop-{n % 4}", now + 500_000, event_id=f"f{n}") for n in range(20)]
    bad = [Row(b"shop-1", b"\x1b]0;{", (("trace", b"1"),)), Row(b"shop-2", b"{}"), Row(None, b"[]", partition=1)]
    late = [row("shop-3", now - 86_400_000)]
    fleet.publish([*good, *large, *future, *bad, *late])
    fleet.wait_until_processed()
    assert worker.terminate() == 0

    said = dlq(fleet, "list")
    assert said["letters"] == 53
    assert said["by_reason"] == {"too_large": 30, "future_timestamp": 20, "undecodable": 1, "invalid": 2}
    assert said["by_origin"] == {fleet.input: 53}
    assert len(said["newest"]) == 20
    names = {"topic", "partition", "offset", "timestamp", "reason", "message", "from", "key", "value", "value_bytes"}
    assert all(set(one) == names | {"truncated", "cut", "batch"} for one in said["newest"])
    assert [one["timestamp"] for one in said["newest"]] == sorted(
        (o["timestamp"] for o in said["newest"]), reverse=True
    )
    (undecodable,) = dlq(fleet, "list", "--reason", "undecodable", "--since", "1h")["newest"]
    assert (undecodable["value"], undecodable["value_bytes"], undecodable["key"]) == ("\\x1b]0;{", 5, "shop-1")
    assert undecodable["from"].keys() == {"topic", "partition", "offset", "timestamp_ms"}
    assert dlq(fleet, "list", "--late")["by_reason"] == {"late": 1}
    assert dlq(fleet, "list", "--module", "shop-2", "--reason", "invalid", "--limit", "0")["letters"] == 1
    table = fleet.command("dlq", "list")
    assert table.returncode == 0
    assert "\x1b" not in table.stdout
    assert ["reason", "too_large", "30"] in [line.split() for line in table.stdout.splitlines()]

    before = fleet.ends(fleet.input)
    dry = dlq(fleet, "replay", "--dry-run", "--reason", "too_large", "--reason", "future_timestamp")
    assert (dry["sent"], dry["filtered"], dry["dry_run"]) == (50, 3, True)
    assert fleet.ends(fleet.input) == before

    fleet.configure(windows__max_future="1h", limits__max_record_bytes="64KiB")
    worker = fleet.start().wait_until_ready()
    first = dlq(fleet, "replay", "--reason", "too_large")
    second = dlq(fleet, "replay")
    again = replayed(fleet)
    assert set(first) == {
        *(
            "topic",
            "to",
            "dry_run",
            "read",
            "sent",
            "already_replayed",
            "filtered",
            "unsendable",
            "by_reason",
            "seconds",
        )
    }
    assert first["by_reason"] == {"too_large": {"sent": 30, "already_replayed": 0}}
    assert (second["sent"], second["already_replayed"]) == (23, 30)
    fleet.wait_until_processed()
    # The three that cannot be mended came back as new letters; those were not there when `again` looked, or are new to it.
    assert again.already_replayed == 53
    assert again.sent <= 3
    ledger = fleet.ledgers()["input"]
    assert ledger["applied"] == len(good) + len(large) + len(future)
    assert (ledger["duplicate"], ledger["late"], ledger["future"]) == (0, 1, 20)

    # By intent, once more: the worker knows their event_id.
    assert dlq(fleet, "replay", "--again", "--reason", "future_timestamp")["sent"] == 20
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    ledger = fleet.ledgers()["input"]
    assert (ledger["applied"], ledger["duplicate"]) == (150, 20)


# Ends itself by SIGKILL before or after the n-th call of a producer's method.
KILLED_AT = """
import os, signal, sys
from aiokafka import AIOKafkaProducer
method, moment, number = sys.argv[1:4]
original, calls = getattr(AIOKafkaProducer, method), []

async def counted(self, *args, **kwargs):
    calls.append(method)
    if moment == "before" and len(calls) == int(number):
        os.kill(os.getpid(), signal.SIGKILL)
    answer = await original(self, *args, **kwargs)
    if moment == "after" and len(calls) == int(number):
        os.kill(os.getpid(), signal.SIGKILL)
    return answer

setattr(AIOKafkaProducer, method, counted)
sys.argv[1:] = ["dlq", "replay"]
from topology.cli import main
main()
"""
# Before anything, in the middle of a transaction, with all of it on the broker, right behind it. Four chunks of 500 get through.
POINTS = [
    ("begin_transaction", "after", 1),
    ("send_batch", "after", 2),
    ("commit_transaction", "before", 1),
    ("commit_transaction", "after", 1),
    ("send_batch", "after", 4),
    ("commit_transaction", "before", 2),
    ("commit_transaction", "after", 1),
]
GOT_THROUGH = 2_000


def test_a_replay_killed_again_and_again_sends_every_letter_once(make_fleet: MakeFleet, tmp_path: Path) -> None:
    fleet = make_fleet(PLAIN)
    rows = letters_of(fleet, MANY)
    write(fleet, rows)
    for method, moment, number in POINTS:
        arguments = [sys.executable, "-c", KILLED_AT, method, moment, str(number)]
        killed = subprocess.run(
            arguments,
            env=fleet.environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = replayed(fleet)
    assert (done.already_replayed, done.sent) == (GOT_THROUGH, MANY - GOT_THROUGH)
    assert_each_once(fleet, rows)
    assert replayed(fleet).sent == 0


def test_a_second_replay_takes_over_from_the_first(make_fleet: MakeFleet, tmp_path: Path) -> None:
    fleet = make_fleet(PLAIN)
    rows = letters_of(fleet, 400)
    write(fleet, rows)
    with started(fleet, tmp_path, "--rate", "20") as first, fleet.follow(fleet.input) as reader:
        reader.until(lambda records: len(records) >= 20, "the first at work")
        second = replayed(fleet)
        _, errors = first.communicate(timeout=DEADLINE_S)
    assert first.returncode == 1
    assert "another `modpulse dlq replay` of this application began" in errors
    assert second.sent + second.already_replayed == 400
    assert second.already_replayed >= 20
    assert_each_once(fleet, rows)


def test_filters_and_limits_leave_the_rest_for_another_time(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(PLAIN)
    rows = [*letters_of(fleet, 20), *letters_of(fleet, 10, first=20, reason="too_large")]
    write(fleet, rows)
    assert dlq(fleet, "replay", "--reason", "too_large", "--key", "shop-1")["sent"] == 2
    assert replayed(fleet, LetterFilter(since_ms=wall_ms() + 60_000)).filtered == 30
    assert replayed(fleet, limit=7).sent == 7
    rest = replayed(fleet)
    assert (rest.sent, rest.already_replayed) == (21, 9)
    places = Counter(record.header("modpulse.replayed.from") for record in came_back(fleet))
    assert set(places.values()) == {1}
    assert len(places) == 30


def test_what_cannot_be_sent_is_said_and_stops_nothing(make_fleet: MakeFleet) -> None:
    """A letter larger than the input's largest batch, a cut one, and a record that is no letter."""
    fleet = make_fleet(PLAIN)
    rows = letters_of(fleet, 40)
    noise = Random(1)
    odd: list[Row] = [
        letter_row(fleet, 100, "too_large", noise.randbytes(2 << 20)),
        letter_row(fleet, 102, "too_large", noise.randbytes(600_000)),
        letter_row(fleet, 104, "too_large", b"cut", truncated=b"9000000"),
        Row(b"shop-1", b"hello", partition=0),
    ]
    write(fleet, [*rows[:20], *odd, *rows[20:]])
    done = dlq(fleet, "replay", code=1)
    assert done["unsendable"] == {TOO_LARGE: 1, TRUNCATED: 1, FOREIGN: 1}
    assert done["sent"] == 41
    assert_each_once(fleet, [*rows[:20], odd[1], *rows[20:]])
    table = fleet.command("dlq", "replay")
    assert table.returncode == 1
    assert "already replayed" in table.stdout
    assert table.stdout.count("cannot be sent") == 3


def test_no_broker_is_3_and_no_topic_is_2(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(PLAIN, topics=False)
    for command in ("list", "replay"):
        done = fleet.command("dlq", command)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert "run `modpulse topics create`" in done.stderr
    fleet.configure(kafka__bootstrap_servers="127.0.0.1:1")
    for command in ("list", "replay"):
        done = fleet.command("dlq", command, "--json")
        assert done.returncode == 3, done.stderr
        assert {"ok": False, "exit_code": 3}.items() <= orjson.loads(done.stdout).items()
        assert done.stderr.count("\n") == 1


def test_late_letters_go_back_with_a_warning(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(PLAIN)
    rows = letters_of(fleet, 6, reason="late")
    write(fleet, rows, fleet.settings.topics.late)
    assert replayed(fleet).sent == 0
    done = fleet.command("dlq", "replay", "--late", "--json")
    assert "late letters are late again" in done.stderr
    assert orjson.loads(done.stdout)["sent"] == 6
    until(lambda: len(came_back(fleet)) == 6, "the letters")
    assert replayed(fleet, topic=fleet.settings.topics.late).already_replayed == 6
