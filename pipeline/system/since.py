"""Since when the system has had its class, per window size: the start of the first window in a row of that class.

It follows from the classes of the windows in the order of their starts, as they are known now. So where a correction changes
the class of a window, the windows behind it follow, and the newest record of a window does not depend on which partition was
read first.
"""

from collections.abc import Callable, Iterable

from pipeline.config import HealthProfile
from pipeline.health.score import LEVELS
from pipeline.system.window import SystemWindow
from schemas.state import SystemClass

# The class of a window that an older build dropped without a note: what follows it began at a time that nobody knows.
UNKNOWN = SystemClass(-1, None)


class SystemSince:
    """The class of the newest dropped window of each size, and what follows from it for open ones.

    Attributes:
        classes: by size, ms.
    """

    def __init__(self, profile: HealthProfile, is_whole: Callable[[SystemWindow], bool]) -> None:
        self._profile = profile
        self._is_whole = is_whole
        self.classes: dict[int, SystemClass] = {}

    def classes_of(self, windows: Iterable[SystemWindow]) -> list[tuple[SystemWindow, SystemClass]]:
        """Class and since of every publishable window of one size, by start.

        Args:
            windows: all open ones of the size.
        """
        found: list[tuple[SystemWindow, SystemClass]] = []
        before: SystemClass | None = None
        for window in sorted(windows, key=lambda window: window.start_ms):
            if not window.partials or not self._is_whole(window):
                continue
            before = self.classes.get(window.size_ms) if before is None else before
            before = self._follow(before, window)
            found.append((window, before))
        return found

    def note_dropped(self, window: SystemWindow, since_ms: int | None) -> None:
        """Keep the class of a window that is dropped, for those that follow it; call it in the order of their starts."""
        level = LEVELS.index(window.health(self._profile).level)
        self.classes[window.size_ms] = SystemClass(level, since_ms)

    def _follow(self, before: SystemClass | None, window: SystemWindow) -> SystemClass:
        level = LEVELS.index(window.health(self._profile).level)
        if before is None or before.level not in (level, UNKNOWN.level):
            return SystemClass(level, window.start_ms)
        return SystemClass(level, before.since_ms)
