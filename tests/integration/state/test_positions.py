"""Positions against the log: what retention deleted is counted, another log is refused, who is behind is not idle."""

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from tests.integration.conftest import MakeFleet
from tests.support.broker.fleet import Fleet, WorkerProcess
from tests.support.broker.records import SMALL, SMALL_IDLE, T0, Row, module_on, row, until, wall_ms

pytestmark = pytest.mark.broker
ONE = SMALL | {"topics__partitions": "1"}
LOST = "records were deleted before they were read"
PARKED = "a task stands still; the other tasks go on"


def admin_of(fleet: Fleet) -> AdminClient:
    return AdminClient({"bootstrap.servers": fleet.servers, "log_level": 0})


def delete_before(fleet: Fleet, offset: int) -> None:
    admin = admin_of(fleet)
    for answer in admin.delete_records([TopicPartition(fleet.input, 0, offset)]).values():
        assert answer.result(10).low_watermark == offset


def make_anew(fleet: Fleet, topic: str) -> None:
    """Delete a topic and create it again, as somebody who starts over would."""
    admin = admin_of(fleet)
    for answer in admin.delete_topics([topic]).values():
        answer.result(10)
    until(lambda: topic not in admin.list_topics(timeout=10).topics, "the topic deleted")
    fleet.create_topics()


def rows(count: int, first: int = 0) -> list[Row]:
    return [row("m", T0 + first + n, event_id=f"{first + n}") for n in range(count)]


def consumed(fleet: Fleet) -> int:
    return fleet.ledgers()["input"]["consumed"]


@pytest.mark.parametrize("running", [True, False])
def test_what_retention_deleted_is_counted_and_processing_goes_on_at_once(make_fleet: MakeFleet, running: bool) -> None:
    fleet = make_fleet(ONE)
    worker = fleet.start().wait_until_ready()
    fleet.publish(rows(100))
    fleet.wait_until_processed()
    if running:
        worker.pause()  # within its session: only its position is overtaken
    else:
        assert worker.terminate() == 0
    fleet.publish(rows(3_000, 100))
    delete_before(fleet, 2_500)
    if running:
        worker.resume()
    else:
        worker = fleet.start()
    fleet.wait_until_processed()
    assert consumed(fleet) == 100 + 600
    assert [line["lost"] for line in worker.events(LOST)] == [2_400], "said once"
    assert until(lambda: worker.metric("modpulse_input_lost_records_total", task="0"), "the metric") == 2_400
    assert fleet.positions()[0]["shell"]["lost"] == {fleet.input: 2_400}
    fleet.publish(rows(50, 4_000))
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    assert len(worker.events(LOST)) == 1


def test_an_input_made_anew_is_refused_also_when_it_has_grown_past_the_position(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(ONE)
    worker = fleet.start().wait_until_ready()
    fleet.publish(rows(100))
    fleet.wait_until_processed()
    assert worker.terminate() == 0
    make_anew(fleet, fleet.input)
    fleet.publish(rows(150, 1_000))
    worker = fleet.start()
    assert worker.wait() == 2
    assert f"the topic {fleet.input} was deleted and made anew" in worker.log
    assert "--accept-input-reset" in worker.log.splitlines()[-1]
    assert consumed(fleet) == 100, "nothing was read"

    worker = fleet.start("--accept-input-reset", "0").wait_until_ready()
    until(lambda: fleet.committed(fleet.input) == {0: 150}, "the new log read from its beginning")
    assert worker.terminate() == 0
    assert consumed(fleet) == 250
    # Accepted for one start: the position belongs to the new topic now, so the next one needs no consent.
    worker = fleet.start().wait_until_ready()
    assert worker.terminate() == 0


def test_an_input_made_anew_under_a_running_worker_parks_its_task_and_the_others_go_on(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL | {"topics__partitions": "2"})
    worker = fleet.start().wait_until_ready()
    fleet.publish([row(module_on(p, 2), T0 + n) for p in range(2) for n in range(100)])
    fleet.wait_until_processed()
    make_anew(fleet, fleet.input)
    until(lambda: len(worker.events(PARKED)) == 2 or not worker.alive, "both tasks parked", 90)
    assert worker.alive, worker.log
    assert all("deleted and made anew" in line["error"] for line in worker.events(PARKED))
    assert worker.metric("modpulse_task_parked") == 2
    assert worker.metric("modpulse_idle", task="0") is None
    # A topic that changes makes the group share anew, which takes a moment.
    until(lambda: worker.get("/readyz")[0] == 200, "the system task goes on")
    assert "made anew" in worker.get("/readyz")[1]
    assert worker.terminate() == 0


def test_a_changelog_made_anew_under_a_running_worker_is_lost_state_and_not_written_to(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(ONE)
    worker = fleet.start().wait_until_ready()
    fleet.publish(rows(100))
    fleet.wait_until_processed()
    make_anew(fleet, fleet.settings.changelog_topic)
    until(lambda: worker.events(PARKED), "the task parked", 90)
    (line,) = worker.events(PARKED)
    assert line["task"] == "0"
    assert "its state is lost" in line["error"]
    assert worker.terminate() == 0
    worker = fleet.start()
    assert worker.wait() == 2, worker.log
    assert "--accept-state-loss 0" in worker.log.splitlines()[-1]


def test_more_partitions_under_a_running_worker_end_it_before_anything_is_counted_in_two_places(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet(SMALL | {"topics__partitions": "2"})
    worker = fleet.start().wait_until_ready()
    names = (fleet.input, fleet.settings.repartition_topic, fleet.settings.changelog_topic)
    admin = admin_of(fleet)
    for answer in admin.create_partitions([NewPartitions(name, 4) for name in names]).values():
        answer.result(10)
    assert worker.wait(60) == 2
    assert worker.log.splitlines()[-1].startswith("modpulse: ")
    assert "modpulse state repartition" in worker.log.splitlines()[-1]
    opened = {line["task"] for line in worker.events("task opened")}
    assert opened == {"0", "1", "system"}


def home_of_input(fleet: Fleet, workers: list[WorkerProcess]) -> WorkerProcess:
    """The worker that reads partition 0 of the input."""

    def found() -> list[WorkerProcess]:
        return [one for one in workers if "0" in (one.events("assigned") or [{"tasks": []}])[-1]["tasks"]]

    return until(found, "a worker with partition 0")[0]


def test_a_partition_downstream_of_one_that_stands_still_is_not_idle(make_fleet: MakeFleet) -> None:
    """All events come in on partition 0 and belong on partition 1, which is read to its end while partition 0 stands still."""
    fleet = make_fleet(
        SMALL_IDLE | {"topics__partitions": "2", "repartition": "always", "kafka__session_timeout": "30s"}
    )
    workers = [fleet.start().wait_until_ready(), fleet.start().wait_until_ready()]
    until(lambda: sum(one.metric("modpulse_tasks") or 0 for one in workers) == 3, "three tasks on two workers")
    until(lambda: all(one.metric("modpulse_tasks") for one in workers), "each has some")
    module = module_on(1, 2)
    began = wall_ms()
    stalled = home_of_input(fleet, workers)

    sent = [Row(module.encode(), row(module, began + n).value, partition=0) for n in range(6_000)]
    fleet.publish(sent[:500])
    until(lambda: fleet.ledgers()["repartition"]["applied"] == 500, "the first events applied")
    stalled.pause()
    fleet.publish(sent[500:])
    # Far longer than the idle timeout of 1 s and the corrections of 3 s.
    paused_until = wall_ms() + 7_000
    until(lambda: wall_ms() >= paused_until, "a long stall")
    stalled.resume()
    until(lambda: fleet.ledgers()["repartition"]["consumed"] == 6_000, "all events came through")
    ledger = fleet.ledgers()["repartition"]
    assert (ledger["applied"], ledger["late"]) == (6_000, 0)
    assert [one.terminate() for one in workers] == [0, 0]


def test_silence_counts_from_the_last_record_also_over_a_restart(make_fleet: MakeFleet) -> None:
    """A worker that was away closes what silence would have closed meanwhile, as soon as it is back."""
    fleet = make_fleet(SMALL | {"topics__partitions": "1", "windows__idle_timeout": "6s"})
    worker = fleet.start().wait_until_ready()
    fleet.publish([row("m", wall_ms())])
    fleet.wait_until_processed()
    processed = wall_ms()
    assert worker.terminate() == 0
    until(lambda: wall_ms() > processed + 6_500, "the idle timeout is over before the worker is back")
    worker = fleet.start().wait_until_ready()
    ready = wall_ms()
    with fleet.follow(fleet.settings.topics.module_metrics) as reader:
        reader.until_json(lambda said: any(one["status"] == "final" for one in said), "a final record")
    assert wall_ms() - ready < 5_000, "not another idle timeout"
    assert worker.terminate() == 0
