"""The open windows of the system, and which partials come too late for them."""

from collections.abc import Iterator

from pipeline.config import WindowConfig
from pipeline.system.window import SystemWindow


class SystemWindows:
    """Open windows by size and start.

    Attributes:
        floor_ms: end of the newest window that was dropped; windows that end there or before are not opened again.
    """

    def __init__(self, config: WindowConfig) -> None:
        self._levels = {size_ms: (level, name) for level, (name, size_ms) in enumerate(config.sizes)}
        self._open: dict[tuple[int, int], SystemWindow] = {}
        self.floor_ms: int | None = None

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[SystemWindow]:
        return iter(self._open.values())

    def has_size(self, size_ms: int) -> bool:
        """Whether windows of that size are configured."""
        return size_ms in self._levels

    def get(self, size_ms: int, start_ms: int) -> SystemWindow | None:
        """The window, if it is open."""
        return self._open.get((size_ms, start_ms))

    def of_size(self, size_ms: int) -> list[SystemWindow]:
        """All open windows of a size."""
        return [window for window in self if window.size_ms == size_ms]

    def is_over(self, end_ms: int) -> bool:
        """Whether a window that ends there and is not open was dropped, or may have been."""
        return self.floor_ms is not None and end_ms <= self.floor_ms

    def open(self, size_ms: int, start_ms: int) -> SystemWindow:
        """The window, made when it is not there; its size must be configured."""
        window = self._open.get((size_ms, start_ms))
        if window is None:
            level, name = self._levels[size_ms]
            window = self._open[(size_ms, start_ms)] = SystemWindow(name, level, size_ms, start_ms)
        return window

    def ended(self, end_ms: int) -> list[SystemWindow]:
        """The windows that end at or before a time, in the order in which they close."""
        return sorted((window for window in self if window.end_ms <= end_ms), key=lambda window: window.age)

    def by_size(self) -> list[SystemWindow]:
        """All windows, the smallest size first, each size by start."""
        return sorted(self, key=lambda window: (window.level, window.start_ms))

    def oldest(self) -> SystemWindow:
        """The window that would close first."""
        return min(self, key=lambda window: window.age)

    def drop(self, window: SystemWindow) -> None:
        """Forget a window and open none that ended with it or before."""
        del self._open[(window.size_ms, window.start_ms)]
        self.raise_floor(window.end_ms)

    def raise_floor(self, end_ms: int) -> None:
        """Open no window any more that ends at or before a time; the floor never sinks."""
        self.floor_ms = end_ms if self.floor_ms is None else max(self.floor_ms, end_ms)
