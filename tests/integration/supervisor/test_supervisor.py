"""`modpulse run --workers N` on a real broker: one address, one log, N workers that share the partitions."""

import os
import signal
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from schemas.state import Ledger
from tests.integration.conftest import MakeFleet
from tests.support.broker.fleet import Fleet, WorkerProcess
from tests.support.broker.records import SMALL, T0, Row, event, module_on, row, until
from tests.support.shell.scrapes import Increases, counter_of, ledger_gauge_of

pytestmark = pytest.mark.broker
TASKS = 5
OUTCOMES = Ledger.__struct_fields__


def pids(supervisor: WorkerProcess) -> dict[int, int]:
    """The newest process of each worker."""
    return {line["worker"]: line["pid"] for line in supervisor.events("worker started")}


def wait_until_shared(supervisor: WorkerProcess) -> None:
    """Return when both workers are ready and have two tasks or more, and all of them together."""

    def shared() -> bool:
        held = [supervisor.metric("modpulse_tasks", worker=str(number)) or 0 for number in range(2)]
        return supervisor.get("/readyz")[0] == 200 and sum(held) == TASKS and min(held) >= 2

    until(shared, lambda: f"shared tasks; {supervisor.get('/readyz')}\n{supervisor.log}")


def rows(run: str, count: int) -> list[Row]:
    """Events for all four partitions, with some of every other fate."""
    modules = [module_on(partition, 4) for partition in range(4)]
    good = [row(modules[n % 4], T0 + n % 400, event_id=f"{run}{n}") for n in range(count)]
    foreign = [Row(b"nobody", event(modules[n % 4], T0 + n), partition=n % 4) for n in range(20)]
    return [*good, *good[:7], *(Row(modules[n % 4].encode(), b"{") for n in range(11)), *foreign]


def wait_until_told(fleet: Fleet, supervisor: WorkerProcess, increases: Increases) -> dict[str, int]:
    """Return the ledger of both sources when metrics say the same: the gauge as it stands, the counters as they rose."""
    fleet.wait_until_processed()
    ledgers = fleet.ledgers()
    truth = {outcome: ledgers["input"][outcome] + ledgers["repartition"][outcome] for outcome in OUTCOMES}
    sources = (fleet.input, fleet.settings.repartition_topic)

    def shown(outcome: str) -> float:
        name, label = ledger_gauge_of(outcome)
        return sum(supervisor.metric(name, topic=topic, **label) or 0 for topic in sources)

    def risen(outcome: str) -> float:
        name, label = counter_of(outcome)
        return sum(increases.of(name, topic=topic, **label) for topic in sources)

    def told() -> bool:
        increases.take(supervisor.get("/metrics")[1])
        return all(shown(outcome) == truth[outcome] == risen(outcome) for outcome in OUTCOMES)

    until(told, lambda: f"{truth} in the metrics\n{supervisor.get('/metrics')[1]}")
    return truth


def test_two_workers_share_the_partitions_one_is_killed_and_comes_back_and_the_sums_are_the_ledger(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet(SMALL, windows__corrections="1h")
    supervisor = fleet.start("--workers", "2")
    wait_until_shared(supervisor)
    increases = Increases()
    increases.take(supervisor.get("/metrics")[1])
    fleet.publish(rows("a", 2_000))
    before = wait_until_told(fleet, supervisor, increases)
    assert before["duplicate"] == 7
    assert before["invalid"] == 11
    assert before["forwarded"] == 20

    first = pids(supervisor)
    os.kill(first[1], signal.SIGKILL)
    until(lambda: pids(supervisor)[1] != first[1], lambda: f"another process\n{supervisor.log}")
    (end,) = supervisor.events("worker ended")
    assert (end["worker"], end["signal"]) == (1, "SIGKILL")
    wait_until_shared(supervisor)
    increases.take(supervisor.get("/metrics")[1])
    fleet.publish(rows("b", 1_000))
    after = wait_until_told(fleet, supervisor, increases)
    assert after["consumed"] == before["consumed"] + 1_000 + 7 + 11 + 2 * 20
    assert supervisor.metric("modpulse_worker_restarts_total", worker="1") == 1
    assert supervisor.metric("modpulse_worker_restarts_total", worker="0") == 0
    assert supervisor.metric("modpulse_worker_up") == 2
    assert supervisor.get("/livez") == (200, "ok\n")

    assert supervisor.terminate() == 0
    clean = [line.get("worker", "supervisor") for line in supervisor.events("stopped cleanly")]
    assert sorted(map(str, clean)) == ["0", "1", "supervisor"]
    assert all(
        isinstance(line["worker"], int) for line in supervisor.events() if line["logger"] == "topology.worker.worker"
    )


def test_static_members_have_names_of_their_own_and_die_with_their_supervisor(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL, kafka__group_instance_id="host-7")
    supervisor = fleet.start("--workers", "2")
    wait_until_shared(supervisor)
    admin = AdminClient({"bootstrap.servers": fleet.servers})
    group = fleet.settings.application_id
    members = admin.describe_consumer_groups([group])[group].result(10).members
    assert sorted(member.group_instance_id for member in members) == ["host-7-0", "host-7-1"]

    left = pids(supervisor)
    supervisor.kill()
    until(lambda: not any(map(alive, left.values())), f"workers {left} gone")


def alive(pid: int) -> bool:
    """Whether a process is there that is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_wrong_setting_of_the_workers_ends_all_with_2_and_their_words(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(topics=False)
    supervisor = fleet.start("--workers", "2")
    assert supervisor.wait() == 2, supervisor.log
    words = [line for line in supervisor.log.splitlines() if "run `modpulse topics create`" in line]
    assert words
    assert all(line.startswith(("worker=0 modpulse: ", "worker=1 modpulse: ")) for line in words)
