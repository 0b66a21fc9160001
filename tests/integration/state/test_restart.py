"""Workers that come, go and die in the middle: the outputs are those of a run nobody disturbed."""

import itertools
from collections.abc import Sequence

import pytest

from tests.integration.conftest import MakeFleet
from tests.support.broker.fleet import Fleet
from tests.support.broker.group import newest_tasks, wait_until_shared
from tests.support.broker.records import (
    FIRST_SPANS,
    SMALL,
    T0,
    Json,
    Row,
    assert_cloudevents,
    assert_revisions_rise_by_one,
    assert_same_windows,
    finals,
    newest,
    real_rows,
    row,
    until,
)

pytestmark = pytest.mark.broker
# Many small fetches and flushes, so that every end comes in the middle of something.
BUSY = {"flush_interval": "100ms", "kafka__max_partition_fetch_bytes": "64KiB", "kafka__fetch_max_bytes": "128KiB"}


def parts(count: int) -> list[Sequence[Row]]:
    """The first real spans in so many parts."""
    rows = real_rows()[:FIRST_SPANS]
    size = -(-len(rows) // count)
    return [rows[at : at + size] for at in range(0, len(rows), size)]


def wait_for_progress(fleet: Fleet, since: int) -> None:
    """Return when more is committed than then."""
    until(lambda: fleet.processed() > since, lambda: f"progress since {since}\n{fleet.workers[-1].log}")


def assert_as_undisturbed(fleet: Fleet, replayed: list[Json]) -> None:
    records = fleet.read(fleet.settings.topics.module_metrics)
    live = [record.json for record in records]
    assert_same_windows(live, replayed)
    assert_revisions_rise_by_one(live)
    assert_cloudevents(records)
    ledger = fleet.ledgers()["input"]
    assert ledger["consumed"] == FIRST_SPANS
    assert ledger["invalid"] == ledger["future"] == ledger["forwarded"] == 0


def test_kills_and_restarts_in_the_middle_change_nothing(make_fleet: MakeFleet, first_replay: list[Json]) -> None:
    """SIGKILL, SIGTERM, SIGKILL. A static member, so that nobody waits for the dead one's session."""
    fleet = make_fleet(BUSY, kafka__group_instance_id="the-only-one")
    for turn, part in enumerate(parts(3)):
        worker = fleet.start().wait_until_ready()
        before = fleet.processed()
        fleet.publish(part)
        wait_for_progress(fleet, before)
        if turn % 2 == 0:
            worker.kill()
        else:
            assert worker.terminate() == 0
            assert worker.complaints() == []
    worker = fleet.start().wait_until_ready()
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    assert_as_undisturbed(fleet, first_replay)


def test_the_survivor_of_two_takes_over(make_fleet: MakeFleet, first_replay: list[Json]) -> None:
    fleet = make_fleet(BUSY)
    first, second, last = parts(3)
    workers = [fleet.start(), fleet.start()]
    wait_until_shared(fleet, 2)
    fleet.publish(first)
    wait_for_progress(fleet, 0)
    fleet.publish(second)
    workers[0].kill()
    fleet.publish(last)
    fleet.wait_until_processed()
    assert workers[1].alive
    assert workers[1].terminate() == 0
    assert_as_undisturbed(fleet, first_replay)


def test_a_clean_stop_writes_what_was_processed(make_fleet: MakeFleet) -> None:
    """Between two flushes half a minute apart: everything read is written and committed by the stop itself."""
    fleet = make_fleet(SMALL, flush_interval="50s", topics__partitions="1")
    worker = fleet.start().wait_until_ready()
    fleet.publish([row("m", T0 + n) for n in range(200)])
    until(lambda: worker.metric("modpulse_batches_total", task="0"), "a batch processed")
    assert fleet.processed() == 0
    assert worker.terminate() == 0
    applied = fleet.ledgers()["input"]["applied"]
    assert applied > 0
    assert fleet.committed(fleet.input) == {0: applied}
    assert {record["total_requests"] for record in newest(fleet.metrics()).values()} == {applied}
    worker = fleet.start(flush_interval="200ms").wait_until_ready()
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    assert fleet.ledgers()["input"]["applied"] == 200
    assert {record["total_requests"] for record in newest(fleet.metrics()).values()} == {200}


# --- several workers ------------------------------------------------------------------------------------------------


def test_a_third_worker_joins_two_and_one_leaves(make_fleet: MakeFleet, first_replay: list[Json]) -> None:
    fleet = make_fleet(BUSY)
    first, second, last = parts(3)
    two = [fleet.start(), fleet.start()]
    held = wait_until_shared(fleet, 2)
    assert sorted(map(len, held.values())) == [2, 3]
    fleet.publish(first)
    wait_for_progress(fleet, 0)

    third = fleet.start()
    fleet.publish(second)
    now = wait_until_shared(fleet, 3)
    everything = {"0", "1", "2", "3", "system"}
    assert sorted(itertools.chain.from_iterable(now.values())) == sorted(everything)
    assert sorted(map(len, now.values())) == [1, 2, 2]
    # Only what the newcomer got has moved.
    assert all(now[member] <= held[member] for member in held)
    assert len(newest_tasks(third)) == 1

    fleet.publish(last)
    assert two[0].terminate() == 0
    fleet.wait_until_processed()
    rest = wait_until_shared(fleet, 2)
    assert sorted(map(len, rest.values())) == [2, 3]
    assert [two[1].terminate(), third.terminate()] == [0, 0]
    assert [worker.complaints() for worker in (*two, third)] == [[], [], []]
    assert_as_undisturbed(fleet, first_replay)
    assert finals(fleet.metrics())
