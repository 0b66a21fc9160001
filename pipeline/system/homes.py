"""Which partition each module lives in; one that lives in two is the sign of producers that hash keys differently.

Two tasks then write records of the same keys, each with half of the events: `repartition = "always"` mends that.
"""

from schemas.partials import ModulesSeen


class ModuleHomes:
    """Modules by partition, as their tasks report them.

    Attributes:
        split: modules seen in more than one partition, and where.
    """

    def __init__(self) -> None:
        self._chunks: dict[tuple[int, int], frozenset[str]] = {}
        self._homes: dict[str, set[int]] = {}
        self.split: dict[str, set[int]] = {}

    def note(self, seen: ModulesSeen) -> None:
        """Take the newest word about one chunk."""
        place = (seen.partition, seen.chunk)
        before, now = self._chunks.get(place, frozenset()), frozenset(seen.ids)
        self._chunks[place] = now
        for module_id in before - now:
            homes = self._homes[module_id]
            homes.discard(seen.partition)
            if len(homes) < 2:
                self.split.pop(module_id, None)
            if not homes:
                del self._homes[module_id]
        for module_id in now - before:
            homes = self._homes.setdefault(module_id, set())
            homes.add(seen.partition)
            if len(homes) > 1:
                self.split[module_id] = homes
