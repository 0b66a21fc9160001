"""The state of all tasks as it was read, and what is written of it for more partitions; no broker is asked."""

from collections.abc import Sequence

import pytest

from schemas.errors import StateIncompatible, StateLost
from schemas.state import POSITION_KEY, pack_position, unpack_position
from tests.support.core.cores import NOW_MS, START_MS, Event, Run
from tests.truth import partition_of
from topology.settings import Settings
from topology.state.repartition import Repartitioned, _moved, _restored
from topology.state.restore import Restored

SETTINGS = Settings()
MODULES = [f"module-{number}" for number in range(40)]
NOTHING = Restored({}, 0, 0, 0.0)


def read_of(partition: int, partitions: int, modules: Sequence[str] = MODULES) -> Restored:
    """The changelog of a task that has read an event of each of its modules."""
    run = Run(SETTINGS.core(), partition=partition, partitions=partitions)
    run.apply([Event(name, START_MS) for name in modules if partition_of(name, partitions) == partition])
    run.cut(NOW_MS)
    return Restored(dict(run.log), 0, len(run.log), 0.0)


def restored(*read: Restored, committed: dict[str, int] | None = None) -> list[list[str]]:
    """The modules of each task."""
    none: list[dict[str, int]] = [{} for _ in read]
    cores = _restored(SETTINGS, [], read, "", [committed or {}, *none[1:]])
    assert [core.partition for core in cores] == list(range(len(cores)))
    return [sorted(name for name in core.modules.codes if name in MODULES) for core in cores]


def at_home(partitions: int) -> list[list[str]]:
    return [sorted(n for n in MODULES if partition_of(n, partitions) == one) for one in range(partitions)]


def test_the_tasks_are_those_their_positions_name_though_the_changelog_has_more_partitions() -> None:
    """A run that was killed may have left more partitions behind, which are empty."""
    assert restored(read_of(0, 2), read_of(1, 2)) == at_home(2)
    assert restored(read_of(0, 2), read_of(1, 2), NOTHING, NOTHING) == at_home(2)
    assert restored(NOTHING, NOTHING, NOTHING) == []


def test_a_task_that_never_committed_is_there_and_empty() -> None:
    assert restored(NOTHING, read_of(1, 2)) == [[], at_home(2)[1]]


@pytest.mark.parametrize(
    "read", [[read_of(0, 2), read_of(1, 3)], [NOTHING, NOTHING, read_of(1, 2)]], ids=["mixed", "beyond"]
)
def test_tasks_that_were_made_for_different_numbers_of_partitions_are_refused(read: list[Restored]) -> None:
    with pytest.raises(StateIncompatible, match="were made for different numbers of partitions"):
        restored(*read)


def test_a_changelog_that_misses_something_is_refused_by_its_task() -> None:
    with pytest.raises(StateLost, match=r"task 0: .* but the group committed 99"):
        restored(read_of(0, 2), read_of(1, 2), committed={"events": 99})
    cut = read_of(1, 2)
    with pytest.raises(StateLost, match=r"task 1: .* begins at offset 5 instead of 0"):
        restored(read_of(0, 2), Restored(cut.state, 5, cut.records, 0.0))


@pytest.mark.parametrize("after", [3, 4, 8])
def test_what_is_written_gives_each_module_to_the_partition_of_its_id_and_counts_who_moved(after: int) -> None:
    read = [read_of(0, 2), read_of(1, 2)]
    logs = [dict(one.state) for one in read] + [{} for _ in range(after - 2)]
    cores = _restored(SETTINGS, [], read, "", [{}, {}])
    cuts, plan = _moved(SETTINGS, [], cores, Repartitioned(2, after, grown=("a", "b")))
    assert [partition for partition, _ in cuts] == [0, 1, *range(after)], "last words of the old tasks come first"
    for partition, cut in cuts:
        for key, value in cut.state:
            if value is None:
                logs[partition].pop(key, None)
            else:
                logs[partition][key] = value
        logs[partition][POSITION_KEY] = pack_position(cut.position)
    assert {unpack_position(log[POSITION_KEY]).partitions for log in logs} == {after}
    assert restored(*(Restored(log, 0, len(log), 0.0) for log in logs)) == at_home(after)
    moved = sum(partition_of(name, 2) != partition_of(name, after) for name in MODULES)
    records = sum(len(cut.state) + 1 for _, cut in cuts)
    assert plan == Repartitioned(2, after, len(MODULES), moved, records, ("a", "b"))
