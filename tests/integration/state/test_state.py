"""State that is lost or does not fit: refused with the way out, never papered over."""

import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from tests.integration.conftest import MakeFleet
from tests.support.broker.fleet import Fleet, WorkerProcess
from tests.support.broker.records import SMALL, T0, last, module_on, newest, row, until

pytestmark = pytest.mark.broker
MODULES = [module_on(partition, 4) for partition in range(4)]


def admin_of(fleet: Fleet) -> AdminClient:
    return AdminClient({"bootstrap.servers": fleet.servers})


def truncate(fleet: Fleet) -> None:
    """As somebody with an admin client would: a compacted topic alone cannot be truncated."""
    admin, topic = admin_of(fleet), fleet.settings.changelog_topic
    entry = ConfigEntry("cleanup.policy", "compact,delete", incremental_operation=AlterConfigOpType.SET)
    for answer in admin.incremental_alter_configs(
        [ConfigResource("topic", topic, incremental_configs=[entry])]
    ).values():
        answer.result(10)
    everything = [TopicPartition(topic, partition, -1) for partition in range(4)]

    def truncated() -> bool:
        try:
            for answer in admin.delete_records(everything).values():
                answer.result(10)
        except KafkaException:  # the new policy is not known everywhere yet
            return False
        return True

    until(truncated, "the changelog truncated")


def delete(fleet: Fleet) -> None:
    admin, topic = admin_of(fleet), fleet.settings.changelog_topic
    for answer in admin.delete_topics([topic]).values():
        answer.result(10)
    until(lambda: topic not in admin.list_topics(timeout=10).topics, "the changelog deleted")
    fleet.create_topics()


def refusal(worker: WorkerProcess, code: int) -> str:
    """The last line of a worker that refused to work."""
    assert worker.wait() == code, worker.log
    return worker.log.splitlines()[-1]


def test_state_that_does_not_fit_or_is_lost_is_refused_until_the_loss_is_accepted(make_fleet: MakeFleet) -> None:
    """One application through all of it: nothing is read, written or committed by a worker that refuses."""
    fleet = make_fleet(SMALL)
    worker = fleet.start()
    fleet.publish([row(module, T0 + n) for module in MODULES for n in range(10)])
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    committed = fleet.committed(fleet.input)
    said_before = fleet.metrics()
    assert said_before

    for lose, why in (
        (truncate, "records were deleted from its head"),
        (delete, "changelog ends at offset none"),
    ):
        lose(fleet)
        message = refusal(fleet.start(), 2)
        assert message.startswith("modpulse: task ")
        assert why in message
        assert "--accept-state-loss" in message
    assert fleet.metrics() == said_before
    assert fleet.committed(fleet.input) == committed

    # On from the commit with empty windows: those that had begun miss events, so nothing more is said of them.
    worker = fleet.start("--accept-state-loss", "all").wait_until_ready()
    fleet.publish([row(module, T0 + 20 + n) for module in MODULES for n in range(3)])
    fleet.publish([row(module, T0 + 2_000 + n) for module in MODULES for n in range(3)])
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    assert fleet.ledgers()["input"]["consumed"] == fleet.ledgers()["input"]["applied"] == 24
    assert [said for said in fleet.metrics() if said["window_start"] == T0] == said_before
    assert totals_of(fleet, T0 + 2_000) == dict.fromkeys(MODULES, 3)

    # The loss is over: what comes next needs no consent.
    worker = fleet.start()
    fleet.publish([row(module, T0 + 2_030) for module in MODULES])
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    assert fleet.ledgers()["input"]["consumed"] == 28
    assert totals_of(fleet, T0 + 2_000) == dict.fromkeys(MODULES, 4)


def totals_of(fleet: Fleet, start: int) -> dict[str, int]:
    """What the record with the highest revision says of each module in the second that begins then."""
    return {
        module: said["total_requests"]
        for (module, window, begin), said in newest(fleet.metrics()).items()
        if (window, begin) == ("1s", start)
    }


def test_window_sizes_change_in_place_and_a_new_size_begins_where_it_is_whole(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL | {"topics__partitions": "1"})
    worker = fleet.start()
    fleet.publish([row("shop", T0 + n * 100) for n in range(25)])
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    worker = fleet.start(windows__sizes="1s,5s,10s")
    fleet.publish([row("shop", T0 + 2_500 + n * 100) for n in range(200)])
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    (told,) = worker.events(
        "the window sizes have changed: a new size publishes windows that start at whole_from_ms or later"
    )
    assert (told["added_ms"], told["removed_ms"]) == ([5_000], [2_000])
    kept = last(fleet.metrics())
    assert {start - T0 for _, window, start in kept if window == "5s"} == {5_000, 10_000, 15_000, 20_000}
    assert kept["shop", "10s", T0]["total_requests"] == 100, "a size that stays has lost nothing"
    assert kept["shop", "5s", T0 + 5_000]["total_requests"] == 50
    assert {kept["shop", "1s", T0 + n * 1_000]["total_requests"] for n in range(22)} == {10}


def test_missing_topics_are_named_with_the_command_that_makes_them(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL, topics=False)
    message = refusal(fleet.start(), 2)
    assert "run `modpulse topics create`" in message
    for topic in (fleet.input, fleet.settings.changelog_topic, fleet.settings.topics.dlq):
        assert topic in message
    fleet.create_topics()
    worker = fleet.start().wait_until_ready()
    assert worker.terminate() == 0
