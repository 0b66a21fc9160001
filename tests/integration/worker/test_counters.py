"""Counters over rebalances: whatever moves where, every record is counted once."""

import pytest

from tests.integration.conftest import MakeFleet
from tests.support.broker.fleet import Fleet
from tests.support.broker.group import newest_tasks, wait_until_shared
from tests.support.broker.records import SMALL, T0, module_on, row, until
from tests.support.shell.scrapes import Increases

pytestmark = pytest.mark.broker
FIRST, SECOND, THIRD = 2_000, 300, 10


def publish(fleet: Fleet, count: int, run: str) -> None:
    modules = [module_on(partition, 2) for partition in range(2)]
    fleet.publish([row(modules[n % 2], T0 + n, event_id=f"{run}{n}") for n in range(count)])
    fleet.wait_until_processed()


def test_counters_never_rise_by_more_than_was_sent_while_a_worker_joins_and_leaves(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL, topics__partitions="2", windows__corrections="1h")
    workers = [fleet.start().wait_until_ready()]
    increases = {0: Increases()}

    def counted() -> float:
        """What all workers together say they consumed of the input; scraped anew."""
        for number, worker in enumerate(workers):
            status, text = worker.get("/metrics")
            if status == 200:
                increases[number].take(text)
        return sum(one.of("modpulse_consumed_records_total", topic=fleet.input) for one in increases.values())

    publish(fleet, FIRST, "a")
    until(lambda: counted() == FIRST, lambda: f"{FIRST} counted, not {counted():g}")

    workers.append(fleet.start().wait_until_ready())
    increases[1] = Increases()
    wait_until_shared(fleet, 2)
    assert counted() == FIRST, "a task that moved is not counted again by its new owner"
    publish(fleet, SECOND, "b")
    until(lambda: counted() == FIRST + SECOND, lambda: f"{FIRST + SECOND} counted, not {counted():g}")

    assert workers[1].terminate() == 0
    wait_until_shared(fleet, 1)
    assert sorted(newest_tasks(workers[0])) == ["0", "1", "system"]
    publish(fleet, THIRD, "c")
    until(lambda: counted() >= FIRST + SECOND + THIRD, lambda: f"the last {THIRD} counted, not {counted():g}")
    assert counted() == FIRST + SECOND + THIRD, "nor by its former one when it comes back"
    until(
        lambda: workers[0].metric("modpulse_ledger_consumed_records", topic=fleet.input) == counted(),
        "the ledger of both partitions",
    )
    assert fleet.ledgers()["input"]["consumed"] == FIRST + SECOND + THIRD
    assert workers[0].terminate() == 0
