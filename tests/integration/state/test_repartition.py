"""`modpulse state repartition` on a real broker: partitions are added, and no window, id or event is lost or counted twice."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions

from tests.integration.conftest import MakeFleet
from tests.integration.worker.test_parked import cut_changelog
from tests.support.broker.fleet import Fleet
from tests.support.broker.records import SMALL_IDLE, Row, finals, module_on, row, until, wall_ms
from tests.truth import partition_of

pytestmark = pytest.mark.broker

BEFORE, AFTER = 2, 4
TWO = SMALL_IDLE | {
    "topics__partitions": str(BEFORE),
    "windows__sizes": "1s,10s,1h",
    "windows__grace": "2s",
    "windows__corrections": "5m",
    "state__module_expiry": "1h",
}
MODULES = [f"module-{number}" for number in range(40)]


def rows_at(at_ms: int, mark: str, modules: Sequence[str] = MODULES) -> list[Row]:
    """Ten events of each module, with ids of their own."""
    return [
        row(module, at_ms + number, float(number), event_id=f"{mark}-{module}-{number}")
        for number in range(10)
        for module in modules
    ]


def stopped_with_state(make_fleet: MakeFleet, now_ms: int) -> Fleet:
    """An application of two partitions that has processed ten events of each module; no worker runs."""
    fleet = make_fleet(TWO)
    worker = fleet.start().wait_until_ready()
    fleet.publish(rows_at(now_ms, "first"))
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    return fleet


def grow(fleet: Fleet, *topics: str) -> None:
    """As somebody with Kafka's own tools would."""
    admin = AdminClient({"bootstrap.servers": fleet.servers, "log_level": 0})
    for answer in admin.create_partitions([NewPartitions(topic, AFTER) for topic in topics]).values():
        answer.result()


def repartition(fleet: Fleet, *arguments: str) -> dict[str, Any]:
    done = fleet.command("state", "repartition", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def counted(fleet: Fleet, hour: int) -> Counter[str]:
    """The requests of each module in its newest record of the hour; with the highest revision, wherever it was written."""
    newest: dict[str, dict[str, Any]] = {}
    for record in fleet.metrics():
        if (record["window"], record["window_start"]) == ("1h", hour):
            former = newest.setdefault(record["module_id"], record)
            if record["revision"] > former["revision"]:
                newest[record["module_id"]] = record
    return Counter({module: record["total_requests"] for module, record in newest.items()})


def test_an_application_grows_from_two_partitions_to_four_and_loses_nothing(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(TWO)
    # One hour for all events, whenever this runs, and a past one: silence moves stream time up to the wall clock.
    now = wall_ms() // 3_600_000 * 3_600_000 - 1_800_000
    first = rows_at(now, "first")
    worker = fleet.start().wait_until_ready()
    fleet.publish(first)
    fleet.wait_until_processed()
    refused = fleet.command("state", "repartition", "--partitions", str(AFTER))
    assert refused.returncode == 2
    assert "1 workers of application_id" in refused.stderr
    assert worker.terminate() == 0

    planned = repartition(fleet, "--partitions", str(AFTER), "--dry-run")
    assert (planned["before"], planned["after"], planned["modules"]) == (BEFORE, AFTER, len(MODULES))
    assert 0 < planned["moved"] < len(MODULES)
    # These come in by the old partitions, and are read by tasks that their modules have left.
    backlog = rows_at(now + 100, "backlog")
    fleet.publish(backlog)
    done = repartition(fleet, "--partitions", str(AFTER))
    assert done["moved"] == planned["moved"]
    assert set(done["grown"]) == {fleet.input, fleet.settings.changelog_topic, fleet.settings.repartition_topic}
    fleet.configure(topics__partitions=str(AFTER))
    assert {position["partitions"] for position in fleet.positions().values()} == {AFTER}
    assert repartition(fleet) == {
        "before": AFTER,
        "after": AFTER,
        "modules": 0,
        "moved": 0,
        "state_records": 0,
        "grown": [],
        "dry_run": False,
    }

    worker = fleet.start().wait_until_ready()
    fleet.publish([*first, *rows_at(now + 200, "second"), *rows_at(now, "new", ["newcomer"])])
    fleet.wait_until_processed()
    hour = now // 3_600_000 * 3_600_000
    expected = Counter(dict.fromkeys(MODULES, 30)) + Counter({"newcomer": 10})
    until(lambda: counted(fleet, hour) == expected, lambda: f"every event once: {counted(fleet, hour) - expected}")
    ledger = fleet.ledgers()
    assert sum(columns["applied"] for columns in ledger.values()) == expected.total()
    assert sum(columns["duplicate"] for columns in ledger.values()) == len(first), "ids move with their modules"
    assert ledger["input"]["forwarded"] > 0, "the backlog of modules that moved found its way"
    fleet.publish([row(module, now + 10_000) for module in MODULES])
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    seen = Counter((r["module_id"], r["window"], r["window_start"], r["revision"]) for r in fleet.metrics())
    assert [key for key, count in seen.items() if count > 1] == [], "no record is written twice"
    closed = finals(fleet.metrics())
    assert {closed[module, "1s", now // 1_000 * 1_000]["total_requests"] for module in MODULES} == {30}, (
        "windows still close"
    )


def test_an_input_that_grew_first_stops_the_worker_until_the_state_has_followed(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(TWO)
    now = wall_ms()
    worker = fleet.start().wait_until_ready()
    fleet.publish(rows_at(now, "first"))
    fleet.wait_until_processed()
    grow(fleet, fleet.input)
    assert worker.wait(60) == 2
    assert "modpulse state repartition" in worker.log
    assert repartition(fleet)["after"] == AFTER
    fleet.configure(topics__partitions=str(AFTER))
    worker = fleet.start().wait_until_ready()
    fleet.publish(rows_at(now + 50, "second"))
    fleet.wait_until_processed()
    assert sum(columns["applied"] for columns in fleet.ledgers().values()) == 20 * len(MODULES)
    assert worker.terminate() == 0


def test_topics_that_were_grown_by_hand_stop_every_worker_before_a_module_is_counted_twice(
    make_fleet: MakeFleet,
) -> None:
    """New partitions have no state that contradicts; the state of the old ones does, and that is nobody's task alone."""
    now = wall_ms()
    fleet = stopped_with_state(make_fleet, now)
    before = fleet.positions()
    grow(fleet, fleet.input, fleet.settings.changelog_topic, fleet.settings.repartition_topic)
    fleet.configure(topics__partitions=str(AFTER))
    fleet.publish(rows_at(now + 50, "second"))
    worker = fleet.start()
    assert worker.wait(60) == 2
    assert "modpulse state repartition --partitions 4" in worker.log.splitlines()[-1]
    assert fleet.positions() == before
    assert repartition(fleet)["after"] == AFTER
    worker = fleet.start().wait_until_ready()
    fleet.wait_until_processed()
    assert sum(columns["applied"] for columns in fleet.ledgers().values()) == 20 * len(MODULES)
    assert worker.terminate() == 0


def test_what_would_make_events_late_or_lose_windows_is_refused_and_changes_nothing(make_fleet: MakeFleet) -> None:
    now = wall_ms()
    fleet = stopped_with_state(make_fleet, now)
    before = fleet.positions()

    # Records that were written an hour ago, and nobody has read them.
    writer = Producer({"bootstrap.servers": fleet.servers})
    for module in MODULES:
        event = row(module, now - 3_600_000)
        partition = partition_of(module, BEFORE)
        writer.produce(fleet.input, key=event.key, value=event.value, partition=partition, timestamp=now - 3_600_000)
    assert writer.flush(30) == 0
    refused = fleet.command("state", "repartition", "--partitions", str(AFTER))
    assert refused.returncode == 2
    assert "so events would be late" in refused.stderr

    worker = fleet.start().wait_until_ready()
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    cut_changelog(fleet, 0)
    refused = fleet.command("state", "repartition", "--partitions", str(AFTER))
    assert refused.returncode == 2
    assert "records were deleted from its head" in refused.stderr
    assert {position["partitions"] for position in fleet.positions().values()} == {BEFORE}
    assert before.keys() == fleet.positions().keys()


def test_modules_that_do_not_live_where_their_ids_belong_are_named_and_nothing_is_changed(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet(TWO)
    worker = fleet.start().wait_until_ready()
    stray = module_on(0, BEFORE)
    event = row(stray, wall_ms())
    fleet.publish([Row(event.key, event.value, partition=1)])
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    before = fleet.positions()
    refused = fleet.command("state", "repartition", "--partitions", str(AFTER))
    assert refused.returncode == 2
    assert f"{stray} in 1 (its id belongs to 0)" in refused.stderr
    assert 'repartition = "always"' in refused.stderr
    assert fleet.positions() == before
    fewer = fleet.command("state", "repartition", "--partitions", "1")
    assert fewer.returncode == 2
    assert "Kafka takes no partition away" in fewer.stderr
