"""Which larger sizes a cut publishes: each at most every interval, and not all of them in one cut.

A cut in which every size publishes every module is many times the work of the others, and all results wait for it.
"""


class LargerPace:
    """Keeps which sizes have news, and when each was last published."""

    def __init__(self, levels: int, interval_ms: int) -> None:
        self._larger = range(1, levels)
        self._interval_ms = interval_ms
        self._published_ms = [0] * levels
        self._owed: set[int] = set()
        self._last_cut_ms: int | None = None

    @property
    def owes(self) -> bool:
        """Whether any size has news."""
        return bool(self._owed)

    def news(self) -> None:
        """Every larger size may have news."""
        self._owed.update(self._larger)

    def take(self, now_ms: int, *, everything: bool) -> list[int]:
        """The sizes to publish now, by level; they have no news afterwards.

        So many are taken that all of them are within one interval, however far apart the cuts are.

        Args:
            now_ms: the wall clock; it may have stepped back.
            everything: all that have news, whenever they were published.
        """
        since_ms = self._interval_ms if self._last_cut_ms is None else now_ms - self._last_cut_ms
        self._last_cut_ms = now_ms
        if everything:
            chosen = sorted(self._owed)
        else:
            ready = [level for level in self._larger if level in self._owed and self._is_due(level, now_ms)]
            most = len(self._larger)
            if 0 <= since_ms < self._interval_ms:
                most = max(-(-most * since_ms // self._interval_ms), 1)
            chosen = sorted(sorted(ready, key=self._published_ms.__getitem__)[:most])
        for level in chosen:
            self._published_ms[level] = now_ms
        self._owed.difference_update(chosen)
        return chosen

    def _is_due(self, level: int, now_ms: int) -> bool:
        return not 0 <= now_ms - self._published_ms[level] < self._interval_ms
