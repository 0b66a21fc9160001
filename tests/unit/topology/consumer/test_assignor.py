"""Who gets which task: every task once, evenly, moving no more than evenness asks for."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from hypothesis import given
from hypothesis import strategies as st

from topology.consumer.assignor import Task, _read, make_assignor, share

PAIR = ("events", "repartition")
TOPICS = {"events": 6, "repartition": 6, "partials": 1}


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Task], dict[str, set[Task]]]:
    """Tasks, and members who say what they held: perhaps tasks that are gone, perhaps the same as another."""
    tasks = [("t", number) for number in range(draw(st.integers(0, 12)))]
    members = [f"m{number}" for number in range(draw(st.integers(1, 6)))]
    claimable = [*tasks, ("t", 99), ("gone", 0)]
    return tasks, {member: set(draw(st.lists(st.sampled_from(claimable), max_size=8))) for member in members}


@st.composite
def honest_situations(draw: st.DrawFn) -> tuple[list[Task], dict[str, set[Task]]]:
    """The same where no two members claim one task, as after any rebalance all took part in."""
    tasks, held = draw(situations())
    owners = {task: draw(st.sampled_from([None, *held])) for task in tasks}
    gone = {("gone", 0)} if draw(st.booleans()) else set()
    return tasks, {member: {task for task in tasks if owners[task] == member} | gone for member in held}


@given(situations())
def test_every_task_has_one_member_and_shares_are_even(situation: tuple[list[Task], dict[str, set[Task]]]) -> None:
    tasks, held = situation
    shares = share(tasks, held)
    assert shares.keys() == held.keys()
    assert sorted(task for mine in shares.values() for task in mine) == sorted(tasks)
    sizes = [len(mine) for mine in shares.values()]
    assert max(sizes) - min(sizes) <= 1


@given(honest_situations())
def test_no_task_moves_that_need_not(situation: tuple[list[Task], dict[str, set[Task]]]) -> None:
    tasks, held = situation
    shares = share(tasks, held)
    kept = sum(len(set(mine) & held[member]) for member, mine in shares.items())
    # The best there is: all keep up to the floor, and as many as there are places keep one more.
    floor, extra = divmod(len(tasks), len(held))
    holdings = [len(mine & set(tasks)) for mine in held.values()]
    best = sum(min(count, floor) for count in holdings) + min(extra, sum(count > floor for count in holdings))
    assert kept == best


@given(honest_situations())
def test_a_rebalance_without_a_reason_moves_nothing(situation: tuple[list[Task], dict[str, set[Task]]]) -> None:
    tasks, held = situation
    once = {member: set(mine) for member, mine in share(tasks, held).items()}
    assert {member: set(mine) for member, mine in share(tasks, once).items()} == once


def cluster() -> Any:
    return SimpleNamespace(partitions_for_topic=lambda topic: set(range(TOPICS[topic])))


def rebalance(members: Mapping[str, Any]) -> dict[str, dict[str, list[int]]]:
    """One round: every member's class says what it held, one assigns, every class is told."""
    said: dict[str, ConsumerProtocolMemberMetadata] = {name: one.metadata(TOPICS) for name, one in members.items()}
    answer: dict[str, ConsumerProtocolMemberAssignment] = next(iter(members.values())).assign(cluster(), said)
    for name, one in members.items():
        one.on_assignment(answer[name])
    return {name: dict(assignment.assignment) for name, assignment in answer.items()}


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_paired_topics_stay_together_however_members_come_and_go(counts: list[int]) -> None:
    members: dict[str, Any] = {}
    born = 0
    for count in counts:
        while len(members) > count:
            members.pop(min(members))
        while len(members) < count:
            members[f"m{born}"] = make_assignor(PAIR)
            born += 1
        given_out = rebalance(members)
        for topic, partitions in TOPICS.items():
            assert sorted(p for mine in given_out.values() for p in mine.get(topic, [])) == list(range(partitions))
        for mine in given_out.values():
            assert mine.get("events") == mine.get("repartition")
        assert rebalance(members) == given_out


def test_a_member_that_says_something_else_held_nothing() -> None:
    """Another program in the group, or an older build: its user data is not ours to trust."""
    members = {"old": make_assignor(PAIR), "new": make_assignor(PAIR)}
    said = {name: one.metadata(TOPICS) for name, one in members.items()}
    for data in (b"\xff", b"{}", b"[1]", b"", None, b'[["events"]]', b"null"):
        said["old"] = ConsumerProtocolMemberMetadata(0, sorted(TOPICS), data)
        answer = members["new"].assign(cluster(), said)
        assert sorted(answer) == ["new", "old"]


@pytest.mark.parametrize(("held", "counts"), [([5, 0, 0], [2, 2, 2]), ([2, 3, 1], [2, 2, 2]), ([3, 4, 0], [2, 3, 2])])
def test_the_member_that_held_most_keeps_the_one_more_where_shares_are_uneven(
    held: list[int], counts: list[int]
) -> None:
    tasks = [("t", number) for number in range(sum(counts))]
    places = [sum(held[:index]) for index in range(len(held))]
    said = {f"m{n}": set(tasks[low : low + held[n]]) for n, low in enumerate(places)}
    assert [len(share(tasks, said)[f"m{n}"]) for n in range(len(held))] == counts


def test_members_agree_whatever_order_they_are_named_in() -> None:
    """The leader may change from one rebalance to the next."""
    tasks = [("t", number) for number in range(7)]
    held = {"a": {("t", 3)}, "b": set[Task](), "c": {("t", 3), ("t", 4)}}
    assert share(reversed(tasks), dict(reversed(held.items()))) == share(tasks, held)


@pytest.mark.parametrize("said", [b'[["t", 1e999]]', b"[" * 100_000, b"\xff", b"{}", b'[["t"]]', b"[1]"])
def test_what_another_program_says_of_itself_in_the_group_is_nothing_to_us(said: bytes) -> None:
    assert _read(said) == set()
