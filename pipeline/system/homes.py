"""Which partition each module lives in; one that lives in two is the sign of producers that hash keys differently.

Two tasks then write records of the same keys, each with half of the events: `repartition = "always"` mends that.
"""

from collections import Counter

from schemas.partials import ModulesSeen


class ModuleHomes:
    """Modules by partition, as their tasks report them.

    Attributes:
        split: modules seen in more than one partition, and where.
    """

    def __init__(self) -> None:
        self._chunks: dict[tuple[int, int], frozenset[str]] = {}
        # By module and partition: in how many chunks. A module can move between chunks of one partition.
        self._homes: dict[str, Counter[int]] = {}
        self.split: dict[str, set[int]] = {}

    def note(self, seen: ModulesSeen) -> None:
        """Take the newest word about one chunk."""
        place = (seen.partition, seen.chunk)
        before, now = self._chunks.get(place, frozenset()), frozenset(seen.ids)
        self._chunks[place] = now
        for module_id in before - now:
            self._count(module_id, seen.partition, -1)
        for module_id in now - before:
            self._count(module_id, seen.partition, 1)

    def _count(self, module_id: str, partition: int, by: int) -> None:
        homes = self._homes.setdefault(module_id, Counter())
        homes[partition] += by
        where = {home for home, chunks in homes.items() if chunks > 0}
        if len(where) > 1:
            self.split[module_id] = where
        else:
            self.split.pop(module_id, None)
        if not where:
            del self._homes[module_id]
