"""One task that cannot be opened stands still and says so; every other task goes on, on every worker."""

import os
import signal

import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from tests.integration.conftest import MakeFleet
from tests.support.broker.fleet import Fleet, WorkerProcess
from tests.support.broker.records import SMALL, T0, module_on, row, until

pytestmark = pytest.mark.broker
PARKED = "a task stands still; the other tasks go on"
MODULES = [module_on(partition, 4) for partition in range(4)]


def cut_changelog(fleet: Fleet, partition: int) -> None:
    """Lose the head of one changelog partition, as retention or a hand would."""
    admin = AdminClient({"bootstrap.servers": fleet.servers, "log_level": 0})
    topic = fleet.settings.changelog_topic
    entry = ConfigEntry("cleanup.policy", "compact,delete", incremental_operation=AlterConfigOpType.SET)
    wanted = ConfigResource("topic", topic, incremental_configs=[entry])
    for answer in admin.incremental_alter_configs([wanted]).values():
        answer.result(10)

    def cut() -> bool:
        try:
            for answer in admin.delete_records([TopicPartition(topic, partition, 2)]).values():
                answer.result(10)
        except KafkaException:  # the new policy is not known everywhere yet
            return False
        return True

    until(cut, "the changelog cut")


def publish_more(fleet: Fleet, first: int, partitions: list[int]) -> None:
    """Ten events for each partition; returns when those are processed."""
    fleet.publish([row(MODULES[partition], T0 + first + n) for partition in partitions for n in range(10)])
    ends = fleet.ends(fleet.input)
    until(lambda: all(fleet.committed(fleet.input)[p] == ends[p] for p in partitions), "the others processed")


def test_a_partition_whose_state_is_lost_holds_up_no_other_on_no_worker(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL)
    first = fleet.start().wait_until_ready()
    publish_more(fleet, 0, [0, 1, 2, 3])
    assert first.terminate() == 0
    cut_changelog(fleet, 2)

    workers = [fleet.start(), fleet.start()]
    until(lambda: any(one.events(PARKED) for one in workers), "the task parked")
    publish_more(fleet, 100, [0, 1, 3])
    assert all(one.alive for one in workers)
    lines = [line for one in workers for line in one.events(PARKED)]
    assert {(line["task"], line["level"]) for line in lines} == {("2", "error")}
    assert "--accept-state-loss 2" in lines[0]["error"]

    def owner() -> list[WorkerProcess]:
        parked = [one for one in workers if one.metric("modpulse_task_parked", task="2") == 1]
        return [one for one in parked if one.get("/readyz")[0] == 200 and "parked: task 2" in one.get("/readyz")[1]]

    holder = until(owner, "its owner is ready, for its other tasks go on")[0]
    # A worker that ends hands the task on; whoever gets it parks it too.
    assert holder.terminate() == 0
    other = next(one for one in workers if one is not holder)
    until(lambda: other.events(PARKED), "parked at the next owner")
    publish_more(fleet, 200, [0, 1, 3])
    assert other.alive
    assert other.terminate() == 0


def test_a_parked_task_is_tried_again_on_sighup_and_state_loss_is_accepted_for_one_task_only(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet(SMALL)
    worker = fleet.start().wait_until_ready()
    publish_more(fleet, 0, [0, 1, 2, 3])
    assert worker.terminate() == 0
    cut_changelog(fleet, 1)
    cut_changelog(fleet, 3)

    worker = fleet.start("--accept-state-loss", "3").wait_until_ready()
    until(lambda: worker.events(PARKED), "task 1 parked")
    assert {line["task"] for line in worker.events(PARKED)} == {"1"}
    assert [line["task"] for line in worker.events("going on from the commit with empty windows")] == ["3"]
    os.kill(worker.pid, signal.SIGHUP)
    until(lambda: len(worker.events(PARKED)) == 2, "tried again, in vain")
    publish_more(fleet, 100, [0, 2, 3])
    assert worker.terminate() == 0

    # What was accepted is written: the next start needs no consent for 3, and still refuses 1.
    worker = fleet.start().wait_until_ready()
    until(lambda: worker.events(PARKED), "task 1 parked")
    assert {line["task"] for line in worker.events(PARKED)} == {"1"}
    assert worker.terminate() == 0


def test_what_was_accepted_at_the_start_is_not_accepted_for_a_loss_that_comes_later(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL)
    first = fleet.start("--accept-state-loss", "all", "--accept-input-reset", "all").wait_until_ready()
    publish_more(fleet, 0, [0, 1, 2, 3])
    second = fleet.start().wait_until_ready()
    until(lambda: (first.metric("modpulse_tasks") or 9) < 5, "the second has some")
    theirs = [
        partition
        for partition in range(4)
        if second.metric("modpulse_flush_records_total", task=str(partition)) is not None
    ]
    cut_changelog(fleet, theirs[0])
    assert second.terminate() == 0
    until(lambda: first.events(PARKED), "its task is parked at the first worker, when it comes back there")
    assert {line["task"] for line in first.events(PARKED)} == {str(theirs[0])}
    assert first.events("going on from the commit with empty windows") == []
    assert first.terminate() == 0


def test_a_strict_worker_ends_where_one_task_cannot_be_opened(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL)
    worker = fleet.start().wait_until_ready()
    publish_more(fleet, 0, [0, 1, 2, 3])
    assert worker.terminate() == 0
    cut_changelog(fleet, 0)
    strict: WorkerProcess = fleet.start("--strict")
    assert strict.wait() == 2
    assert strict.log.splitlines()[-1].startswith("modpulse: task 0: ")
