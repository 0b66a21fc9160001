"""Where a module lives: its own partition, and for the events of modules that found no place the one owner of `__other__`."""

from pipeline.modules.registry import OTHER_KEY
from pipeline.partitioner import partition_of


class Homes:
    """What one task knows of homes.

    Attributes:
        checked: events of unknown modules go to the partition that their id belongs to.
        other_elsewhere: another partition counts `__other__`.
    """

    def __init__(self, partition: int, partitions: int) -> None:
        """Of this partition of so many."""
        self._partition = partition
        self._partitions = partitions
        self.checked = False
        self.other_elsewhere = partition_of(OTHER_KEY, partitions) != partition

    def elsewhere(self, module_id: str) -> bool:
        """Whether an unknown module belongs to another partition."""
        return self.checked and partition_of(module_id.encode(), self._partitions) != self._partition
