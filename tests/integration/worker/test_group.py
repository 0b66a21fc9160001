"""What the group refuses reaches the operator within seconds, also from a worker that has nothing to do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import ResourceType

from tests.integration.conftest import MakeFleet
from tests.support.broker.fleet import Fleet, WorkerProcess
from tests.support.broker.own_broker import SecureBroker, fleet_on
from tests.support.broker.records import SMALL, T0, row, until

pytestmark = pytest.mark.broker
ONE = SMALL | {"topics__partitions": "1"}
SOON_S = 15.0


@pytest.fixture(scope="module")
def secure() -> Iterator[SecureBroker]:
    """A broker with users and grants; its user may do everything but take part in groups."""
    broker = SecureBroker()
    with broker.process:
        broker.set_secret("secret-1")
        broker.grant(ResourceType.TOPIC, ResourceType.TRANSACTIONAL_ID, ResourceType.BROKER)
        yield broker


@pytest.fixture
def secured(secure: SecureBroker, tmp_path: Path) -> Iterator[tuple[Fleet, dict[str, str]]]:
    """An application there, and what its workers are started with."""
    secret = tmp_path / "secret"
    secret.write_text("secret-1", "utf-8")
    secure.set_secret("secret-1")
    with fleet_on(secure.process, tmp_path, ONE) as fleet:
        yield fleet, secure.settings_of(secret)


def last_line(worker: WorkerProcess) -> str:
    return worker.log.splitlines()[-1]


def test_a_group_that_may_not_be_read_is_said_at_once(secured: tuple[Fleet, dict[str, str]]) -> None:
    fleet, settings = secured
    worker = fleet.start(**settings)
    assert worker.wait(SOON_S) == 2
    assert "GroupAuthorizationFailed" in last_line(worker)
    assert "grant the ACL" in last_line(worker)


def test_a_grant_that_is_taken_back_ends_a_standby_worker_too(
    secure: SecureBroker, secured: tuple[Fleet, dict[str, str]]
) -> None:
    fleet, settings = secured
    secure.grant(ResourceType.GROUP)
    try:
        workers = [fleet.start(**settings).wait_until_ready() for _ in range(3)]
        until(lambda: sorted(one.metric("modpulse_tasks") or 0 for one in workers) == [0, 1, 1], "one without a task")
    finally:
        secure.revoke(ResourceType.GROUP)
    assert [one.wait(SOON_S) for one in workers] == [2, 2, 2]
    assert all("grant the ACL" in last_line(one) for one in workers)


def test_a_rotated_secret_is_taken_up_without_a_restart(
    secure: SecureBroker, secured: tuple[Fleet, dict[str, str]], tmp_path: Path
) -> None:
    fleet, settings = secured
    secure.grant(ResourceType.GROUP)
    try:
        worker = fleet.start(**settings).wait_until_ready()
        fleet.publish([row("m", T0 + n) for n in range(10)])
        fleet.wait_until_processed()
        secure.set_secret("secret-2")
        (tmp_path / "secret").write_text("secret-2", "utf-8")
        until(lambda: worker.events("credentials have changed; new connections use them"), "the file read again")
        secure.process.restart()
        fleet.publish([row("m", T0 + 100 + n) for n in range(10)])
        fleet.wait_until_processed()
        assert worker.events("beginning again from the checkpoint") == []
        assert "secret-1" not in worker.log
        assert "secret-2" not in worker.log
        assert worker.terminate() == 0
    finally:
        secure.revoke(ResourceType.GROUP)


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("kafka__session_timeout", "5s", "kafka.session_timeout"),
        ("kafka__transaction_timeout", "20m", "kafka.transaction_timeout"),
    ],
)
def test_a_setting_the_broker_refuses_for_good_ends_the_worker_and_is_named(
    make_fleet: MakeFleet, setting: str, value: str, named: str
) -> None:
    fleet = make_fleet(ONE)
    worker = fleet.start(**{setting: value})
    assert worker.wait(SOON_S) == 2
    assert named in last_line(worker)
    assert worker.events("beginning again from the checkpoint") == []


def test_two_workers_of_one_name_are_told_so(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL | {"topics__partitions": "2", "kafka__group_instance_id": "twin"})
    workers = [fleet.start(), fleet.start()]
    ended = until(lambda: [one for one in workers if not one.alive], "one of the two ends", 90)
    assert ended[0].wait() == 2
    assert "another worker uses kafka.group_instance_id = twin" in ended[0].log


def test_a_worker_stopped_while_it_joins_leaves_the_group(make_fleet: MakeFleet) -> None:
    """The group waits for a dead member; a third one joins meanwhile and is stopped before it was given anything."""
    session_s = 10
    fleet = make_fleet(SMALL | {"kafka__session_timeout": f"{session_s}s"})
    first = fleet.start().wait_until_ready()
    until(lambda: first.metric("modpulse_tasks") == 5, "all tasks on the first")
    second = fleet.start().wait_until_ready()
    until(lambda: (first.metric("modpulse_tasks") or 5) < 5, "some on the second")
    second.kill()
    third = fleet.start()
    until(lambda: third.events("[^--_Thread]: Starting..."), "the third joins")
    until(lambda: first.get("/readyz")[0] != 200, "a rebalance is under way", 5)
    assert third.terminate() == 0
    until(lambda: first.metric("modpulse_tasks") == 5, "all tasks on the first again", session_s + 6)
    assert first.terminate() == 0
