"""A module that lives in two partitions is found out, and forgotten when it has moved."""

from pipeline.system.homes import ModuleHomes
from schemas.partials import ModulesSeen


def seen(partition: int, *ids: str, chunk: int = 0) -> ModulesSeen:
    return ModulesSeen(1, partition, chunk, list(ids))


def test_a_module_of_two_partitions_is_split() -> None:
    homes = ModuleHomes()
    homes.note(seen(0, "a", "b"))
    assert homes.split == {}
    homes.note(seen(1, "b", "c"))
    assert homes.split == {"b": {0, 1}}


def test_a_module_that_expires_in_one_partition_is_split_no_more() -> None:
    homes = ModuleHomes()
    homes.note(seen(0, "a", "b"))
    homes.note(seen(1, "b"))
    homes.note(seen(0, "a"))
    assert homes.split == {}
    homes.note(seen(2, "b"))
    assert homes.split == {"b": {1, 2}}


def test_chunks_of_one_partition_do_not_replace_each_other() -> None:
    homes = ModuleHomes()
    homes.note(seen(0, "a", chunk=0))
    homes.note(seen(0, "b", chunk=1))
    homes.note(seen(1, "a"))
    assert homes.split == {"a": {0, 1}}


def test_the_same_word_twice_changes_nothing() -> None:
    homes = ModuleHomes()
    for _ in range(2):
        homes.note(seen(0, "a"))
        homes.note(seen(1, "a"))
    assert homes.split == {"a": {0, 1}}


def test_a_module_that_moves_between_chunks_of_its_partition_keeps_its_home() -> None:
    homes = ModuleHomes()
    homes.note(seen(0, "a", chunk=5))
    homes.note(seen(0, "a", chunk=2))
    homes.note(seen(0, chunk=5))
    homes.note(seen(1, "a"))
    assert homes.split == {"a": {0, 1}}
    homes.note(seen(0, chunk=2))
    assert homes.split == {}
