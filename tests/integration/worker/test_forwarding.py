"""Events whose record key is not their module: forwarded to the module's partition, counted once."""

import asyncio

import pytest

from tests import truth
from tests.integration.conftest import MakeFleet
from tests.support.broker.fleet import Fleet
from tests.support.broker.records import (
    SMALL,
    T0,
    Record,
    Row,
    assert_revisions_rise_by_one,
    event,
    json_values,
    module_on,
)
from topology.worker.repartition_trim import RepartitionTrim

pytestmark = pytest.mark.broker
MODULES = [module_on(partition, 4, prefix) for partition in range(4) for prefix in ("shop", "pay", "süß")]
EVENTS = 1_200


def value(number: int) -> bytes:
    return event(MODULES[number % 12], T0 + number, number % 70 + 1, success=number % 9 > 0, event_id=f"e{number}")


def assert_counted_once(fleet: Fleet, events: list[bytes], duplicates: int = 0) -> None:
    kept = truth.keep(map(truth.event_of, json_values(events)))
    assert kept.duplicates == duplicates
    live = fleet.metrics()
    assert truth.compare(kept.events, live, ["1s", "2s", "10s"]).mismatches == []
    assert_revisions_rise_by_one(live)
    assert fleet.read(fleet.settings.topics.late) == fleet.read(fleet.settings.topics.dlq) == []


def published_and_carried(fleet: Fleet, rows: list[Row], forwarded: int) -> list[Record]:
    """Publish, and return what was forwarded when all is processed; read at once, for the worker deletes it after a while."""
    with fleet.follow(fleet.settings.repartition_topic) as reader:
        fleet.publish(rows)
        reader.until(lambda records: len(records) >= forwarded, f"{forwarded} forwarded")
        fleet.wait_until_processed()
        return list(reader.records)


def test_null_and_foreign_keys_are_forwarded_and_counted_once(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL, windows__corrections="1h")
    worker = fleet.start()
    rows: list[Row] = []
    for number in range(EVENTS):
        own = MODULES[number % 12].encode()
        key, partition = [
            (own, None),
            (None, number % 4),  # what a producer without keys does
            (MODULES[(number + 5) % 12].encode(), None),
            (b"", number // 4 % 4),
            (own.upper(), 3),
        ][number % 5]
        rows.append(Row(key, value(number), partition=partition))
    # At-least-once senders that changed their keys: the id makes the second one a duplicate, wherever it came in.
    rows += [Row(None, value(number), partition=1) for number in range(0, 50, 5)]
    forwarded = EVENTS * 4 // 5 + 10
    carried = published_and_carried(fleet, rows, forwarded)
    assert worker.terminate() == 0
    assert worker.complaints() == []

    assert_counted_once(fleet, [one.value for one in rows if one.value is not None], duplicates=10)
    ledger = fleet.ledgers()
    assert (ledger["input"]["consumed"], ledger["input"]["forwarded"]) == (EVENTS + 10, forwarded)
    assert ledger["input"]["applied"] + ledger["input"]["duplicate"] == EVENTS // 5
    assert ledger["repartition"]["consumed"] == forwarded
    assert ledger["repartition"]["forwarded"] == 0
    assert ledger["input"]["duplicate"] + ledger["repartition"]["duplicate"] == 10
    for record in carried:
        module = record.json["module_id"]
        assert record.key == module.encode()
        assert record.partition == truth.partition_of(module, 4)


def test_what_was_processed_is_deleted_from_the_repartition_topic(make_fleet: MakeFleet) -> None:
    """Retention by time never does: an event that was forwarded is nowhere else."""
    fleet = make_fleet(SMALL, windows__corrections="1h")
    worker = fleet.start()
    rows = [Row(None, value(number), partition=number % 4) for number in range(EVENTS)]
    fleet.publish(rows[: EVENTS // 2])
    fleet.wait_until_processed()
    committed = fleet.committed(fleet.settings.repartition_topic)
    assert sum(committed.values()) > EVENTS // 2
    trim = RepartitionTrim(fleet.settings)
    asyncio.run(trim.delete_before(committed))
    assert fleet.begins(fleet.settings.repartition_topic) == committed
    fleet.publish(rows[EVENTS // 2 :])
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    assert worker.complaints() == []
    assert_counted_once(fleet, [one.value for one in rows if one.value is not None])


def test_repartition_always_forwards_every_event_once(make_fleet: MakeFleet) -> None:
    """For fleets whose clients hash keys differently: here every key lies on a partition its hash would not choose."""
    fleet = make_fleet(SMALL, windows__corrections="1h", repartition="always")
    worker = fleet.start()
    rows = [Row(MODULES[n % 12].encode(), value(n), partition=(n % 12 // 3 + 1) % 4) for n in range(EVENTS)]
    fleet.publish(rows)
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    assert worker.complaints() == []

    assert_counted_once(fleet, [one.value for one in rows if one.value is not None])
    ledger = fleet.ledgers()
    assert ledger["input"]["forwarded"] == ledger["repartition"]["applied"] == EVENTS
    assert ledger["input"]["applied"] == 0
    # One module, one partition: nobody else publishes its windows.
    said = fleet.read(fleet.settings.topics.module_metrics)
    assert all(record.partition == truth.partition_of(record.json["module_id"], 4) for record in said)


def test_events_of_modules_over_the_limit_are_counted_once_by_the_owner_of_other(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL, windows__corrections="1h", limits__max_modules="1")
    worker = fleet.start()
    fleet.publish([Row(MODULES[3 * partition].encode(), value(3 * partition)) for partition in range(4)])
    fleet.wait_until_processed()
    rows = [Row(MODULES[n % 12].encode(), value(n), [("trace", b"%d" % n)] if n % 2 else ()) for n in range(12, EVENTS)]
    owner = truth.partition_of("__other__", 4)
    over = [row for n, row in enumerate(rows, 12) if n % 3]
    away = [row for row in over if row.key is not None and truth.partition_of(row.key.decode(), 4) != owner]
    carried = published_and_carried(fleet, rows, len(away))
    assert worker.terminate() == 0
    assert worker.complaints() == []

    ledger = fleet.ledgers()
    assert ledger["input"]["forwarded"] == ledger["repartition"]["applied"] == len(away)
    assert ledger["input"]["applied"] == len(rows) + 4 - len(away)
    assert {(record.key, record.partition) for record in carried} == {(b"__other__", owner)}
    assert sorted(record.value or b"" for record in carried) == sorted(row.value or b"" for row in away)
    for record in carried:
        headers = dict(record.headers)
        assert headers["modpulse.forwarded.key"] == record.json["module_id"].encode()
        assert (headers["modpulse.forwarded.from"] or b"").startswith(
            fleet.settings.topics.module_log_events.encode() + b"/"
        )
    assert sum("trace" in dict(record.headers) for record in carried) == sum(bool(row.headers) for row in away)
    counts = [one for one in fleet.metrics() if (one["module_id"], one["window"]) == ("__other__", "1s")]
    assert sum({one["window_start"]: one["total_requests"] for one in counts}.values()) == len(over)
