"""What one record, or one batch, of a hostile or confused producer may do to a worker: nothing but become a letter."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.integration.conftest import MakeFleet, warm
from tests.support import raw_client, wire
from tests.support.broker.fleet import Fleet, WorkerProcess
from tests.support.broker.records import SMALL, Record, Row, event, row, until, wall_ms
from tests.support.wire import GZIP, ZSTD, Rec
from topology.devbroker import KafkaProcess

pytestmark = pytest.mark.broker
ONE = SMALL | {"topics__partitions": "1"}
HUGE = 9 << 20
DAY_MS = 86_400_000
# Above what a worker with little to do has, and far below what the batches would take if they were believed.
MOST_MIB = 400


def send(fleet: Fleet, *batches: bytes) -> list[int]:
    """Append batches as they are; the first offset of each."""
    return [raw_client.produce(fleet.servers, fleet.input, 0, batch) for batch in batches]


def letters(fleet: Fleet) -> list[Record]:
    return fleet.read(fleet.settings.topics.dlq)


def good(first: int, count: int = 100) -> list[Row]:
    return [row("m", wall_ms(), event_id=f"g{n}") for n in range(first, first + count)]


def settled(fleet: Fleet, worker: WorkerProcess) -> None:
    """Everything is processed, and nothing of it made the worker begin again or complain."""
    fleet.wait_until_processed()
    assert worker.complaints() == []
    assert worker.events("beginning again from the checkpoint") == []


def peak_mib(worker: WorkerProcess) -> int:
    lines = Path(f"/proc/{worker.pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


def test_records_of_any_key_and_any_headers_are_letters_and_say_what_was_cut(make_fleet: MakeFleet) -> None:
    """A record fits in the input when it compresses well; its letter is not compressed."""
    fleet = make_fleet(ONE)
    worker = fleet.start().wait_until_ready()
    large = b"k" * HUGE
    records = {
        "a key": (large, b"x", ()),
        "a header": (b"m", b"not json", ((b"h", large),)),
        "a header of a good event with another's key": (b"other", event("m", wall_ms()), ((b"h", large),)),
        "many headers": (b"m", event("m", wall_ms()), ((b"h", b"x"),) * 100_000),
        "all": (large, large, ((b"h", large),)),
    }
    fleet.publish(good(0))
    for key, value, headers in records.values():
        send(fleet, wire.batch([Rec(0, wall_ms(), key, value, headers)], GZIP))
        fleet.publish(good(100))
    settled(fleet, worker)
    assert [letter.header("modpulse.errors.reason") for letter in letters(fleet)] == ["too_large"] * len(records)
    assert [letter.header("modpulse.errors.truncated") for letter in letters(fleet)] == [
        f"key={HUGE}",
        f"headers={HUGE + 1}",
        f"headers={HUGE + 1}",
        "headers=200000",
        f"key={HUGE},headers={HUGE + 1},value={HUGE}",
    ]
    assert peak_mib(worker) < MOST_MIB
    assert worker.terminate() == 0
    ledger = fleet.ledgers()["input"]
    assert (ledger["applied"] + ledger["duplicate"], ledger["invalid"]) == (600, len(records))
    assert ledger["forwarded"] == 0, "what is too large is never sent on"


def test_batches_that_expand_are_one_letter_each(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(ONE)
    worker = fleet.start().wait_until_ready()
    batches = {
        "1.5 GiB in 48 KiB": (wire.bomb([512 << 20] * 3), "too_large", 3),
        "950,000 tiny records": (tiny_records(950_000), "too_large", 950_000),
    }
    fleet.publish(good(0))
    places = []
    for batch, _, _ in batches.values():
        places += send(fleet, batch)
        fleet.publish(good(0))
    settled(fleet, worker)
    found = letters(fleet)
    assert [letter.header("modpulse.errors.reason") for letter in found] == [why for _, why, _ in batches.values()]
    for letter, first, (batch, _, count) in zip(found, places, batches.values(), strict=True):
        assert letter.key is None
        assert letter.value is not None
        assert letter.value[wire.HEADER_BYTES :] == batch[wire.HEADER_BYTES :], "the bytes of the batch, as they came"
        said = [
            letter.header(f"modpulse.errors.{name}") for name in ("offset", "first_offset", "last_offset", "records")
        ]
        assert said == [str(first), str(first), str(first + count - 1), str(count)]
    assert peak_mib(worker) < MOST_MIB
    assert worker.metric("modpulse_rejected_records_total") == 950_003
    listed = json.loads(fleet.command("dlq", "list", "--json").stdout)
    assert [one["batch"]["records"] for one in listed["newest"]] == [950_000, 3]
    replayed = fleet.command("dlq", "replay", "--json")
    assert replayed.returncode == 1
    assert json.loads(replayed.stdout)["unsendable"] == {"stands for a whole batch, which was refused as one": 2}
    assert worker.terminate() == 0
    ledger = fleet.ledgers()["input"]
    assert (ledger["applied"], ledger["duplicate"], ledger["invalid"]) == (100, 200, 950_003)


def tiny_records(count: int) -> bytes:
    body = b"".join(wire.record(delta, 0, None, None) for delta in range(count))
    return wire.framed(wire.compressed(ZSTD, body), base=0, count=count, last_delta=count - 1, attributes=ZSTD)


def test_a_million_bad_records_in_few_batches_do_not_pile_up(make_fleet: MakeFleet) -> None:
    """A batch is applied in slices, and what the slices made is written in between."""
    fleet = make_fleet(ONE)
    worker = fleet.start().wait_until_ready()
    send(fleet, *([tiny_records(500_000)] * 2))
    settled(fleet, worker)
    assert worker.metric("modpulse_rejected_records_total", reason="undecodable") == 1_000_000
    assert (worker.metric("modpulse_early_flushes_total") or 0) >= 5
    assert peak_mib(worker) < MOST_MIB


def test_a_letter_fits_a_topic_that_takes_less_than_ours_would(make_fleet: MakeFleet) -> None:
    """An operator's topic has Kafka's default of 1 MiB, or what the operator likes."""
    fleet = make_fleet(ONE, topics=False)
    admin = AdminClient({"bootstrap.servers": fleet.servers})
    wanted = [
        NewTopic(fleet.settings.topics.dlq, 1, 1, config={"max.message.bytes": "20000"}),
        NewTopic(fleet.settings.repartition_topic, 1, 1, config={"max.message.bytes": "40000"}),
    ]
    for made in admin.create_topics(wanted).values():
        made.result(10)
    fleet.create_topics()
    worker = fleet.start().wait_until_ready()
    records = [Row(b"m", b"{" + b"x" * 50_000), Row(b"m", b"{" + b"y" * 100), Row(b"m", b"{" + b"z" * 3_000_000)]
    records += [Row(b"m", b"{" + b"%d" % n * 1_000) for n in range(60)]
    # Well keyed ones stay, the others are forwarded, and one of them is more than the repartition topic takes.
    labels = {f"l{n}": "v" * 200 for n in range(10)}
    records += [Row(b"other", event(f"m{n}", wall_ms(), labels=labels)) for n in range(40)]
    records += [Row(b"other", event("large", wall_ms(), note="x" * 50_000))]
    fleet.publish(records, **{"message.max.bytes": 8 << 20, "compression.codec": "gzip"})
    settled(fleet, worker)
    assert worker.terminate() == 0
    found = letters(fleet)
    said = [dict(letter.headers) for letter in found]
    assert [(one["modpulse.errors.reason"], one.get("modpulse.errors.truncated")) for one in said[:3]] == [
        (b"undecodable", b"value=50001"),
        (b"undecodable", None),
        (b"too_large", b"value=3000001"),
    ]
    assert len(found[0].value or b"") > 15_000
    assert len(found) == 64
    last = found[-1]
    assert (last.key, len(last.value or b"") > 15_000) == (b"other", True)
    assert last.header("modpulse.errors.topic") == fleet.input
    assert last.header("modpulse.errors.offset") == str(len(records) - 1)
    assert "repartition topic takes no record" in last.header("modpulse.errors.message")
    ledger = fleet.ledgers()
    assert ledger["input"]["invalid"] == 64
    assert ledger["input"]["forwarded"] == ledger["repartition"]["applied"] == 40


def test_a_topic_that_cannot_take_what_we_must_write_is_an_error_with_the_way_out(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(ONE, topics=False)
    admin = AdminClient({"bootstrap.servers": fleet.servers})
    small = NewTopic(fleet.settings.topics.module_metrics, 1, 1, config={"max.message.bytes": "500"})
    for made in admin.create_topics([small]).values():
        made.result(10)
    fleet.create_topics()
    worker = fleet.start().wait_until_ready()
    fleet.publish(good(0))
    assert worker.wait() == 2, worker.log
    last = worker.log.splitlines()[-1]
    assert f"topic {fleet.settings.topics.module_metrics} takes no record of" in last
    assert "raise its max.message.bytes" in last
    assert worker.events("beginning again from the checkpoint") == []


@pytest.fixture(scope="module")
def eager_broker() -> Iterator[KafkaProcess]:
    """A broker that looks for what retention may delete twice a second, and keeps its data over a restart."""
    properties = {
        "log.retention.check.interval.ms": "500",
        "log.segment.delete.delay.ms": "100",
        "log.initial.task.delay.ms": "200",
    }
    with KafkaProcess(properties=properties) as broker:
        warm(broker.bootstrap_servers)
        yield broker


@pytest.fixture
def eager_fleet(eager_broker: KafkaProcess, tmp_path: Path) -> Iterator[Fleet]:
    """An application there whose input takes any timestamp and keeps it."""
    with Fleet(eager_broker.bootstrap_servers, tmp_path, ONE) as fleet:
        anything = {"retention.ms": "-1", "message.timestamp.after.max.ms": str(2**63 - 1)}
        make_topic(fleet, fleet.input, anything)
        fleet.create_topics()
        yield fleet


def make_topic(fleet: Fleet, name: str, config: dict[str, str]) -> None:
    admin = AdminClient({"bootstrap.servers": fleet.servers})
    for made in admin.create_topics([NewTopic(name, 1, 1, config=config)]).values():
        made.result(10)


def test_no_timestamp_of_a_sender_keeps_a_letter_from_being_written_or_has_it_deleted(eager_fleet: Fleet) -> None:
    """Two hours ahead the broker refused the letter for ever; twenty days ago retention deleted it within minutes."""
    fleet = eager_fleet
    worker = fleet.start().wait_until_ready()
    now = wall_ms()
    stamps = [now + 7_200_000, now - 20 * DAY_MS, 1, now + 365 * DAY_MS]
    writer = Producer({"bootstrap.servers": fleet.servers})
    for stamp in stamps:
        writer.produce(fleet.input, key=b"m", value=event("m", now + 7_200_000), partition=0, timestamp=stamp)
        writer.produce(fleet.input, key=b"m", value=event("m", now), partition=0, timestamp=stamp)
        writer.produce(
            fleet.input, key=b"other", value=event("m", now, event_id=str(stamp)), partition=0, timestamp=stamp
        )
    # What retention does with a record of twenty days ago, as soon as it looks.
    control = f"{fleet.name}.control"
    make_topic(fleet, control, {"retention.ms": str(14 * DAY_MS)})
    writer.produce(control, b"x", partition=0, timestamp=now - 20 * DAY_MS)
    assert writer.flush(10) == 0
    settled(fleet, worker)
    until(lambda: fleet.begins(control) == {0: 1}, "retention looked")
    found = letters(fleet)
    assert [letter.header("modpulse.errors.timestamp") for letter in found] == [str(stamp) for stamp in stamps]
    forwarded = fleet.read(fleet.settings.repartition_topic)
    assert [record.header("modpulse.forwarded.timestamp") for record in forwarded] == [str(stamp) for stamp in stamps]
    assert all(now - 60_000 < record.timestamp_ms < now + 600_000 for record in (*found, *forwarded))
    assert json.loads(fleet.command("dlq", "list", "--since", "1h", "--json").stdout)["letters"] == len(stamps)
    assert worker.terminate() == 0
    assert fleet.ledgers()["repartition"]["applied"] == len(stamps)


def test_whatever_a_segment_holds_is_read_or_a_letter(eager_broker: KafkaProcess, eager_fleet: Fleet) -> None:
    """Today's brokers write neither old formats nor broken batches, but hand out what they find. v0 has no timestamps."""
    fleet = eager_fleet
    now = wall_ms()
    rows = [Rec(n, now + n, b"m", event("m", now + n) if n % 2 else b"bad%d" % n) for n in range(12)]
    old = [row._replace(stamp=-1) for row in rows]
    eager_broker.stop()
    segment = eager_broker.data_dir / "topics" / f"{fleet.input}-0" / "00000000000000000000.log"
    assert segment.stat().st_size == 0
    segment.write_bytes(
        wire.message_set(old[:3], 0)
        + wire.message_set(old[3:6], 0, GZIP)
        + wire.message_set(rows[6:9], 1)
        + wire.message_set(rows[9:], 1, GZIP)
        + wire.framed(b"\x28\xb5\x2f\xfd garbage", base=12, count=3, last_delta=2, max_stamp=now, attributes=ZSTD)
        + wire.framed(b"garbage", base=15, count=2, last_delta=4, max_stamp=now, attributes=6)
        + wire.framed(b"garbage", base=20, count=1 << 30, last_delta=0, max_stamp=now)
        + wire.batch([rows[1]._replace(offset=21)])
    )
    eager_broker.start()
    warm(eager_broker.bootstrap_servers)
    worker = fleet.start().wait_until_ready()
    settled(fleet, worker)
    assert worker.terminate() == 0
    found = letters(fleet)
    assert [(letter.value, letter.header("modpulse.errors.timestamp")) for letter in found] == [
        (b"bad0", "-1"),
        (b"bad2", "-1"),
        (b"bad4", "-1"),
        (b"bad6", str(now + 6)),
        (b"bad8", str(now + 8)),
        (b"bad10", str(now + 10)),
        *((letter.value, str(now)) for letter in found[6:]),
    ]
    names = ("reason", "first_offset", "last_offset", "records")
    assert [[letter.header(f"modpulse.errors.{name}") for name in names] for letter in found[6:]] == [
        ["undecodable", "12", "14", "3"],
        ["undecodable", "15", "19", "2"],
        ["undecodable", "20", "20", "1"],
    ]
    ledger = fleet.ledgers()["input"]
    assert (ledger["consumed"], ledger["applied"], ledger["invalid"]) == (12 + 6 + 1, 6 + 1, 6 + 6)


def test_header_names_that_are_no_text_stop_neither_the_worker_nor_dlq(make_fleet: MakeFleet) -> None:
    """Any record: on the input, on its way through a letter and back, and on the dead-letter topic itself."""
    fleet = make_fleet(ONE)
    worker = fleet.start().wait_until_ready()
    odd = ((b"\xff\xfe", b"v"), (b"", None))
    send(fleet, wire.batch([Rec(0, wall_ms(), b"m", b"not json", odd), Rec(1, wall_ms(), None, None, odd)], GZIP))
    send(fleet, wire.batch([Rec(0, wall_ms(), b"other", event("m", wall_ms()), odd)]))
    settled(fleet, worker)
    dlq = fleet.settings.topics.dlq
    for offset in (0, 1):
        headers = raw_client.headers(fleet.servers, dlq, 0, offset)
        assert headers[:2] == odd
        assert [name for name, _ in headers[2:4]] == [b"modpulse.errors.reason", b"modpulse.errors.message"]
    assert raw_client.headers(fleet.servers, fleet.settings.repartition_topic, 0, 0)[:2] == odd
    raw_client.produce(fleet.servers, dlq, 0, wire.batch([Rec(0, wall_ms(), None, None, odd)]))
    listed = fleet.command("dlq", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    assert json.loads(listed.stdout)["by_reason"] == {"undecodable": 2, "unknown": 1}
    assert fleet.command("dlq", "list").returncode == 0
    replayed = fleet.command("dlq", "replay", "--json")
    assert replayed.returncode == 1, replayed.stderr
    said = json.loads(replayed.stdout)
    assert (said["sent"], said["unsendable"]) == (2, {"not a letter of ours": 1})
    settled(fleet, worker)
    assert worker.terminate() == 0
    assert fleet.ledgers()["input"]["invalid"] == 4
    newest = json.loads(fleet.command("dlq", "list", "--reason", "undecodable", "--json").stdout)["newest"]
    assert [raw_client.headers(fleet.servers, dlq, 0, one["offset"])[:2] for one in newest] == [odd] * 4
