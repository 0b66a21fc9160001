"""Who gets which partitions: partition n of the input and of the repartition topic always go to the same worker.

A task owns both, because a module's events may come in on either. As few tasks as possible move when a worker joins or
leaves (each move is a restore): members say what they held, and keep it up to a fair share. The single partition of the
system aggregate is one more task. The idea is Kafka Streams' sticky task assignment, without standby tasks.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

Task = tuple[str, int]
VERSION = 0


def share(tasks: Iterable[Task], held: Mapping[str, set[Task]]) -> dict[str, list[Task]]:
    """Give every task to one member, evenly to within one, keeping what each held as far as that allows.

    Args:
        tasks: all tasks.
        held: member id -> the tasks it held before; every member has an entry.
    """
    wanted = sorted(tasks)
    members = sorted(held)
    floor, extra = divmod(len(wanted), len(members))
    taken: set[Task] = set()
    kept: dict[str, list[Task]] = {}
    # Those that held most keep one more, where the tasks do not divide evenly.
    for member in sorted(members, key=lambda m: (-len(held[m]), m)):
        mine = [task for task in wanted if task in held[member] and task not in taken]
        quota = floor + (1 if extra > 0 and len(mine) > floor else 0)
        extra -= quota > floor
        kept[member] = mine[:quota]
        taken.update(kept[member])
    for task in wanted:
        if task not in taken:
            poorest = min(members, key=lambda m: (len(kept[m]), m))
            kept[poorest].append(task)
    return kept


def make_assignor(paired_topics: tuple[str, ...]) -> type[AbstractPartitionAssignor]:
    """An assignor class (aiokafka keeps assignors as classes) for one consumer.

    Args:
        paired_topics: topics whose equal partition numbers belong together; any other topic stands alone.
    """

    class TaskAssignor(AbstractPartitionAssignor):  # type: ignore[misc]
        name = "modpulse-tasks"
        held: list[Task] = []  # noqa: RUF012 - one class per consumer, on purpose

        @classmethod
        def assign(
            cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
        ) -> dict[str, ConsumerProtocolMemberAssignment]:
            topics = sorted({topic for metadata in members.values() for topic in metadata.subscription})
            parts: dict[Task, list[tuple[str, int]]] = defaultdict(list)
            for topic in topics:
                group = paired_topics[0] if topic in paired_topics else topic
                for partition in cluster.partitions_for_topic(topic) or ():
                    parts[group, partition].append((topic, partition))
            held = {member: _read(metadata.user_data) for member, metadata in members.items()}
            answer = {}
            for member, tasks in share(parts, held).items():
                by_topic: dict[str, list[int]] = defaultdict(list)
                for task in tasks:
                    for topic, partition in parts[task]:
                        by_topic[topic].append(partition)
                assigned = [(topic, sorted(partitions)) for topic, partitions in sorted(by_topic.items())]
                answer[member] = ConsumerProtocolMemberAssignment(VERSION, assigned, b"")
            return answer

        @classmethod
        def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
            return ConsumerProtocolMemberMetadata(VERSION, sorted(topics), json.dumps(cls.held).encode())

        @classmethod
        def on_assignment(cls, assignment: ConsumerProtocolMemberAssignment) -> None:
            pairs = ((topic, partition) for topic, partitions in assignment.assignment for partition in partitions)
            group = paired_topics[0]
            cls.held = sorted({(group if topic in paired_topics else topic, partition) for topic, partition in pairs})

    return TaskAssignor


def _read(user_data: Any) -> set[Task]:
    """What a member says it held; another program in the group says nothing we can use."""
    try:
        return {(str(topic), int(partition)) for topic, partition in json.loads(user_data or b"[]")}
    except (ValueError, TypeError, OverflowError, RecursionError):
        return set()
