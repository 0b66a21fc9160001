"""Where modules live: at home once that is checked, and of all partitions one counts those that found no place."""

import pytest

from pipeline.modules.homes import Homes
from pipeline.modules.registry import OTHER
from pipeline.partitioner import partition_of


@pytest.mark.parametrize("partitions", [1, 2, 3, 7, 64])
def test_exactly_one_partition_owns_what_found_no_place(partitions: int) -> None:
    owners = [p for p in range(partitions) if not Homes(p, partitions).other_elsewhere]
    assert owners == [partition_of(OTHER.encode(), partitions)]


@pytest.mark.parametrize("partitions", [1, 2, 7])
@pytest.mark.parametrize("module_id", ["checkout", "süßwaren", "", OTHER])
def test_once_homes_are_checked_a_module_is_at_home_in_exactly_one_partition(partitions: int, module_id: str) -> None:
    homes = [Homes(partition, partitions) for partition in range(partitions)]
    assert not any(home.elsewhere(module_id) for home in homes), "not before"
    for home in homes:
        home.checked = True
    at_home = [number for number, home in enumerate(homes) if not home.elsewhere(module_id)]
    assert at_home == [partition_of(module_id.encode(), partitions)]
