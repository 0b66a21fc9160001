"""Which member of the group has which tasks, as the coordinator and the workers' logs say."""

from confluent_kafka.admin import AdminClient

from tests.support.broker.fleet import Fleet, WorkerProcess
from tests.support.broker.records import until


def shares(fleet: Fleet) -> dict[str, set[tuple[str, int]]]:
    """Member -> what the group's coordinator says it has; empty while the group is in a rebalance."""
    group = fleet.settings.application_id
    admin = AdminClient({"bootstrap.servers": fleet.servers})
    described = admin.describe_consumer_groups([group])[group].result(10)
    if described.state.name != "STABLE":
        return {}
    return {
        member.member_id: {(tp.topic, tp.partition) for tp in member.assignment.topic_partitions}
        for member in described.members
    }


def tasks_of(fleet: Fleet, share: set[tuple[str, int]]) -> set[str]:
    """The tasks of one member. Input and repartition topic always come in pairs of equal partitions."""
    inputs = {partition for topic, partition in share if topic == fleet.input}
    assert inputs == {partition for topic, partition in share if topic == fleet.settings.repartition_topic}
    system = {"system"} if (fleet.settings.partials_topic, 0) in share else set()
    return {str(partition) for partition in inputs} | system


def wait_until_shared(fleet: Fleet, members: int) -> dict[str, set[str]]:
    """Return the tasks of each member when so many share everything and all have opened what is theirs."""

    def shared() -> dict[str, set[str]]:
        ended = [worker.log for worker in fleet.workers if not worker.alive and "stopped cleanly" not in worker.log]
        assert ended == []
        found = {member: tasks_of(fleet, share) for member, share in shares(fleet).items()}
        opened = sorted(sorted(newest_tasks(worker)) for worker in fleet.workers if worker.alive)
        return found if len(found) == members and opened == sorted(map(sorted, found.values())) else {}

    return until(shared, lambda: f"{members} members: {shares(fleet)}")


def newest_tasks(worker: WorkerProcess) -> list[str]:
    """The tasks a worker said it has, when it last said so."""
    said = worker.events("assigned")
    return said[-1]["tasks"] if said else []
