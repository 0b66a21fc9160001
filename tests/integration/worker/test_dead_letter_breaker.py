"""A worker whose input goes bad: it says so, and where it was told to, it stops before it commits more of it."""

import pytest

from tests.integration.conftest import MakeFleet
from tests.support.broker.records import SMALL, T0, Row, module_on, row, until

pytestmark = pytest.mark.broker
LIMITS = SMALL | {"topics__partitions": "2", "limits__dead_letter_min_records": "200"}
MODULES = [module_on(partition, 2) for partition in range(2)]


def mixed(count: int, bad_in: int, *, partition: int = 0, first: int = 0) -> list[Row]:
    """Events of one partition's module; every so-many-th is bad."""
    module = MODULES[partition]
    return [
        Row(module.encode(), b"{bad", partition=partition) if n % bad_in == 0 else row(module, T0 + n, event_id=f"e{n}")
        for n in range(first, first + count)
    ]


def test_a_fifth_of_bad_records_is_said_in_the_log_the_metrics_and_the_probe(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(LIMITS, limits__dead_letter_window="1h")
    worker = fleet.start().wait_until_ready()
    until(lambda: worker.metric("modpulse_dead_letter_ratio", task="1") == 0, "the gauge of a task without records")
    fleet.publish([*mixed(1_000, 5), *mixed(1_000, 100, partition=1)])
    fleet.wait_until_processed()
    until(lambda: worker.metric("modpulse_dead_letter_ratio", task="0") == 0.2, "the ratio")
    assert worker.metric("modpulse_dead_letter_alert", task="0") == 1
    assert worker.metric("modpulse_dead_letter_ratio", task="1") == 0.01
    assert worker.metric("modpulse_dead_letter_alert", task="1") == 0
    assert worker.get("/readyz") == (200, "ok\nwarning: task 0: 20.0% of the last 1,000 records are dead letters\n")
    (warned,) = worker.events("more dead letters than limits.dead_letter_alert_ratio")
    assert (warned["level"], warned["task"], warned["limit"]) == ("warning", "0", 0.05)
    assert warned["ratio"] > 0.05
    assert "modpulse dlq list" in warned["remedy"]
    assert worker.terminate() == 0


def test_above_the_stop_ratio_the_worker_ends_and_a_higher_one_goes_on_where_it_stood(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(LIMITS, limits__dead_letter_stop_ratio="0.1")
    worker = fleet.start().wait_until_ready()
    fleet.publish([*mixed(2_000, 50), *mixed(500, 100, partition=1)])
    fleet.wait_until_processed()
    before, letters = fleet.committed(fleet.input), len(fleet.read(fleet.settings.topics.dlq))
    assert letters == 45
    fleet.publish(mixed(3_000, 2, first=2_000))
    assert worker.wait() == 1
    (said,) = [line for line in worker.log.splitlines() if line.startswith("modpulse: ")]
    assert "more than limits.dead_letter_stop_ratio = 0.1." in said
    assert "`modpulse dlq list`" in said
    assert worker.events("beginning again from the checkpoint") == []
    # It judges before it commits: of a burst that comes in one or a few fetches hardly any is on the dead-letter topic.
    ledger = fleet.ledgers()["input"]
    assert ledger["consumed"] == sum(fleet.committed(fleet.input).values())
    assert ledger["invalid"] == len(fleet.read(fleet.settings.topics.dlq))
    assert ledger["invalid"] - letters <= 0.1 * (2_000 + ledger["consumed"])
    assert sum(fleet.committed(fleet.input).values()) < sum(before.values()) + 3_000

    again = fleet.start()
    assert again.wait() == 1, "nothing was mended"
    worker = fleet.start(limits__dead_letter_stop_ratio="off").wait_until_ready()
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    ledger = fleet.ledgers()["input"]
    assert (ledger["consumed"], ledger["invalid"], ledger["applied"]) == (5_500, 1_545, 3_955)
    assert len(fleet.read(fleet.settings.topics.dlq)) == 1_545
