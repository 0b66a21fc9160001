"""Disorder, late, corrected, future and duplicate events, and what silence does: to the event, on a real broker."""

import time
from collections import Counter

import pytest
from confluent_kafka import Producer

from tests import truth
from tests.integration.conftest import MakeFleet
from tests.support.broker.fleet import Fleet
from tests.support.broker.records import (
    SMALL,
    SMALL_IDLE,
    T0,
    Json,
    Record,
    Row,
    assert_cloudevents,
    assert_revisions_rise_by_one,
    event,
    finals,
    key_of,
    module_on,
    newest,
    row,
    statuses,
    until,
    wall_ms,
)

pytestmark = pytest.mark.broker
ERROR_HEADERS = {
    f"modpulse.errors.{name}" for name in ("reason", "message", "topic", "partition", "offset", "timestamp")
}
FIRST = ("m", "1s", T0)


def in_order(record: Record) -> tuple[int, int]:
    return record.partition, record.offset


def letters(fleet: Fleet, topic: str) -> list[Record]:
    """Late or dead letters, each with all six headers and pointing to its origin."""
    found = fleet.read(topic)
    for letter in found:
        assert set(dict(letter.headers)) >= ERROR_HEADERS
        assert letter.header("modpulse.errors.topic") == fleet.input
        assert letter.header("modpulse.errors.message")
    return found


def test_every_event_counts_where_event_time_says(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL, topics__partitions="1")
    worker = fleet.start().wait_until_ready()
    output = fleet.settings.topics.module_metrics

    with fleet.follow(output) as reader:
        # Out of order, one in the grace; 1,499 ms leaves the first window open, 1,500 ms closes it.
        times = (100, 900, 300, 1_499, 950)
        fleet.publish([row("m", T0 + at, response_time_ms=at / 10) for at in times])
        fleet.wait_until_processed()
        first = reader.until_json(lambda said: [r for r in said if key_of(r) == FIRST], "the first window")
        assert {record["status"] for record in first} == {"provisional"}

        fleet.publish([row("m", T0 + 1_500, response_time_ms=7)])
        final = reader.until_json(lambda said: finals(said).get(FIRST, {}), "its final record")
        assert (final["total_requests"], final["response_time_ms"]["max"], final["response_time_ms"]["avg"]) == (
            4,
            95,
            56.25,
        )

        # After the close, within the corrections.
        fleet.publish([row("m", T0 + 200, response_time_ms=1, success=False)])
        corrected = reader.until_json(
            lambda said: [r for r in said if key_of(r) == FIRST and r["status"] == "corrected"], "its correction"
        )
        assert [record["total_requests"] for record in corrected] == [5]
        assert corrected[0]["failed_requests"] == 1
        assert corrected[0]["response_time_ms"]["min"] == 1

    # The same id twice in a module, once in another; stream time 4,499 keeps the first window correctable, 4,500 seals it.
    tick = row("m", T0 + 1_600, event_id="a")
    ahead = wall_ms() + 600_000
    rows = [
        tick,
        tick,
        row("n", T0 + 1_600, event_id="a"),
        row("m", T0 + 4_499),
        row("m", T0 + 10),
        row("m", T0 + 4_500),
        Row(b"m", event("m", T0 + 999, 3.5), (("trace", b"t1"), ("trace", b"t2"))),
        row("m", T0 + 1_000),
        Row(b"m", event("m", ahead, 4.5), (("trace", b"t3"),)),
        row("m", T0 + 1_001),
    ]
    places = fleet.publish(rows)
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    assert worker.complaints() == []

    records = fleet.read(output)
    live = [record.json for record in records]
    assert_revisions_rise_by_one(live)
    assert_cloudevents(records)
    made = finals(live)
    assert {key: record["total_requests"] for key, record in made.items()} == {
        ("m", "1s", T0): 4,
        ("m", "1s", T0 + 1_000): 3,
        ("n", "1s", T0 + 1_000): 1,
        ("m", "2s", T0): 9 - 1,  # all before 4,499 but the event at 10 ms, which came after it
        ("n", "2s", T0): 1,
    }
    total = {key: (record["status"], record["total_requests"]) for key, record in newest(live).items()}
    assert total == {
        ("m", "1s", T0): ("corrected", 6),
        ("m", "1s", T0 + 1_000): ("corrected", 5),
        ("n", "1s", T0 + 1_000): ("final", 1),
        ("m", "1s", T0 + 4_000): ("provisional", 2),
        ("m", "2s", T0): ("corrected", 11),
        ("n", "2s", T0): ("final", 1),
        ("m", "2s", T0 + 4_000): ("provisional", 2),
        ("m", "10s", T0): ("provisional", 13),
        ("n", "10s", T0): ("provisional", 1),
    }
    assert statuses(live, FIRST) == ["provisional", "final", "corrected"]

    (late,) = letters(fleet, fleet.settings.topics.late)
    assert (late.key, late.value, late.headers[:2]) == (b"m", rows[6].value, tuple(rows[6].headers))
    assert (late.header("modpulse.errors.reason"), late.header("modpulse.errors.offset")) == (
        "late",
        str(places[6].offset),
    )
    (dead,) = letters(fleet, fleet.settings.topics.dlq)
    assert (dead.key, dead.value, dead.headers[:1]) == (b"m", rows[8].value, tuple(rows[8].headers))
    assert dead.header("modpulse.errors.reason") == "future_timestamp"
    assert dead.header("modpulse.errors.partition") == "0"
    assert dead.header("modpulse.errors.offset") == str(places[8].offset)
    sent = {record.offset: record.timestamp_ms for record in fleet.read(fleet.input)}
    assert dead.header("modpulse.errors.timestamp") == str(sent[places[8].offset])

    expected = Counter(consumed=17, applied=14, late=1, duplicate=1, invalid=0, future=1, forwarded=0)
    assert fleet.ledgers()["input"] == expected
    assert fleet.positions()[0]["stream_ms"] == T0 + 4_500


def test_a_disordered_stream_equals_the_truth(make_fleet: MakeFleet) -> None:
    """Thousands of events, up to 6 s out of order, some twice: whatever is late for the truth is late for the worker."""
    fleet = make_fleet(SMALL)
    worker = fleet.start()
    modules = [f"shop-{number}" for number in range(12)]
    rows: list[Row] = []
    for number in range(8_000):
        module = modules[number * 7 % 12]
        behind = number * 7_919 % 6_000 if number % 5 == 0 else number * 31 % 400
        more = {"event_id": f"e{number // 2 * 2 if number % 10 < 2 else number}"}
        at = T0 + number * 3 - behind
        rows.append(row(module, at, number % 97 + 0.25, success=number % 11 > 0, cpu_percent=number % 50, **more))
    # Whole copies of earlier ones as well.
    rows[4_000:4_000] = rows[3_900:3_950]
    fleet.publish(rows)
    fleet.wait_until_processed()
    assert worker.terminate() == 0

    events = [truth.event_of(fields) for fields in (Record("", 0, 0, None, one.value, (), 0).json for one in rows)]
    kept = truth.keep(events, truth.Lateness(partitions=4, pane_ms=1_000, allowance_ms=3_500))
    live = fleet.metrics()
    compared = truth.compare(kept.events, live, ["1s", "2s", "10s"])
    assert compared.mismatches == []
    assert kept.late > 100
    assert kept.duplicates > 40
    ledger = fleet.ledgers()["input"]
    assert (ledger["late"], ledger["duplicate"]) == (kept.late, kept.duplicates)
    assert len(letters(fleet, fleet.settings.topics.late)) == kept.late
    assert_revisions_rise_by_one(live)
    assert {"provisional", "final", "corrected"} == {record["status"] for record in live}


# --- silence --------------------------------------------------------------------------------------------------------


def all_final(said: list[Json], keys: set[tuple[str, str, int]]) -> bool:
    return keys <= finals(said).keys()


def test_silence_closes_windows_and_a_restart_remembers_it(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL_IDLE)
    worker = fleet.start().wait_until_ready()
    # The fourth partition never gets an event.
    modules = [module_on(partition, 4) for partition in range(3)]
    start = T0 + 9_000  # the end of all three sizes
    fleet.publish([row(module, start + 500 + n, success=n < 2) for module in modules for n in range(3)])
    output = fleet.settings.topics.module_metrics
    keys = {(m, size, at) for m in modules for size, at in (("1s", start), ("2s", T0 + 8_000), ("10s", T0))}
    with fleet.follow(output) as reader:
        reader.until_json(lambda said: all_final(said, keys), "finals by the wall clock")
    with fleet.follow(fleet.settings.topics.system_metrics) as reader:
        made = reader.until_json(_system_finals_of_all_sizes, "a system final of each size")
        assert_cloudevents(reader.records)
    by_window: Counter[str] = Counter()
    for record in finals(fleet.metrics()).values():
        by_window[record["window"]] += record["total_requests"]
    for window, record in made.items():
        assert record["total_requests"] == by_window[window] == 9
        assert (record["successful_requests"], record["failed_requests"]) == (6, 3)
        assert (record["module_count"], record["completeness"]) == (3, {"partitions_expected": 4, "partitions_seen": 4})

    assert worker.terminate() == 0
    before = fleet.positions()
    assert all(before[p]["stream_ms"] >= T0 + 10_500 for p in range(3))

    # Silent again, longer than it was: what was closed stays closed, and a straggler corrects.
    worker = fleet.start().wait_until_ready()
    fleet.publish([row(modules[0], start + 600)])
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    after = fleet.positions()
    assert all(after[p]["stream_ms"] >= before[p]["stream_ms"] for p in range(3))
    live = fleet.metrics()
    assert_revisions_rise_by_one(live)
    assert len(finals(live)) == len(keys)
    for size, at in (("1s", start), ("2s", T0 + 8_000), ("10s", T0)):
        assert statuses(live, (modules[0], size, at))[-2:] == ["final", "corrected"]
        assert newest(live)[modules[0], size, at]["total_requests"] == 4


def _system_finals_of_all_sizes(said: list[Json]) -> dict[str, Json]:
    made = {r["window"]: r for r in said if r["status"] == "final" and r["total_requests"]}
    return made if len(made) == 3 else {}


def test_a_partition_that_lags_is_not_silent(make_fleet: MakeFleet) -> None:
    """A worker frozen over new events must read them before it believes in silence."""
    fleet = make_fleet(SMALL_IDLE, topics__partitions="1", windows__corrections="0")
    worker = fleet.start().wait_until_ready()
    fleet.publish([row("m", T0 + 9_100)])
    fleet.wait_until_processed()
    worker.pause()
    thawed = time.monotonic() + 3
    fleet.publish([row("m", T0 + 9_200)])
    until(lambda: time.monotonic() > thawed, "more silence than would close every window")
    worker.resume()
    with fleet.follow(fleet.settings.topics.module_metrics) as reader:
        made = reader.until_json(lambda said: finals(said) if len(finals(said)) == 3 else {}, "finals")
    assert worker.terminate() == 0
    assert {key[1]: record["total_requests"] for key, record in made.items()} == {"1s": 2, "2s": 2, "10s": 2}
    assert fleet.ledgers()["input"]["late"] == 0


def test_a_partition_of_unusable_records_does_not_hold_the_system_back(make_fleet: MakeFleet) -> None:
    """It has no event time, and records that are no events keep coming in on it; the system closes windows all the same."""
    fleet = make_fleet(SMALL_IDLE, topics__partitions="2")
    worker = fleet.start().wait_until_ready()
    home = module_on(0, 2)
    with fleet.follow(fleet.settings.topics.system_metrics) as reader:

        def finals_of_the_system(said: list[Json]) -> list[Json]:
            fleet.publish([row(home, wall_ms()), Row(b"x", b"{", partition=1)])
            return [one for one in said if one["status"] == "final"]

        found = reader.until_json(finals_of_the_system, "a final of the system")
    assert found[0]["module_count"] == 1
    assert worker.terminate() == 0
    assert fleet.ledgers()["input"]["invalid"] > 1


def test_a_partition_with_an_open_transaction_is_not_silent(make_fleet: MakeFleet) -> None:
    """Records that are written but not committed yet are ahead of us, and will be read: closing now would make them late."""
    fleet = make_fleet(SMALL_IDLE, topics__partitions="1", windows__corrections="0")
    worker = fleet.start().wait_until_ready()
    fleet.publish([row("m", T0 + 9_100)])
    writer = Producer({"bootstrap.servers": fleet.servers, "transactional.id": fleet.name, "linger.ms": 0})
    writer.init_transactions()
    writer.begin_transaction()
    fleet.write(writer, [row("m", T0 + 9_200)])
    opened = time.monotonic()
    with fleet.follow(fleet.settings.topics.module_metrics) as reader:
        reader.until(
            lambda records: time.monotonic() > opened + 3 and records, "more silence than would close every window"
        )
        assert finals([record.json for record in reader.records]) == {}
        writer.commit_transaction()
        made = reader.until_json(lambda said: finals(said) if len(finals(said)) == 3 else {}, "finals")
    assert worker.terminate() == 0
    assert {key[1]: record["total_requests"] for key, record in made.items()} == {"1s": 2, "2s": 2, "10s": 2}
