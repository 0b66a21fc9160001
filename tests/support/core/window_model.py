"""Which event is in which window, by brute force: one record at a time, in plain dictionaries, under settings that may change.

Nothing of the core is used: no panes, no columns, no batches. What a record must show of its events is in `model.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pipeline.config import CoreConfig
from tests.support.core.cores import Event

OTHER = "__other__"
NEVER_MS = -(1 << 62)


@dataclass(frozen=True, slots=True)
class Applied:
    """An event with its offset."""

    event: Event
    offset: int


class Key(NamedTuple):
    """Module (as it is counted), size and start of a window."""

    module: str
    size: int
    start: int


Step = tuple[Literal["close"], int, int] | tuple[Literal["afresh", "expired"], str] | tuple[Literal["removed"], int]


class WindowModel:
    """All windows of one partition.

    Attributes:
        members: the events of each window at last; `finals`: those of each window at its close. Both hold published windows only.
        dropped: windows that were open when their size was removed, with their events then.
        late: offsets of events that came too late. duplicates: of those whose id was known.
        steps: closes of windows, modules that are judged afresh or expire, and sizes that are removed, in their order.
        first: how many steps came before the first event of a window.
        place: how many steps came before the close of a window, or before it opened too late to close.
        known: end of the newest pane of each module that has a place.
    """

    def __init__(self, config: CoreConfig) -> None:
        self.config = config
        self.stream: int | None = None
        self.members: dict[Key, list[Applied]] = {}
        self.finals: dict[Key, list[Applied]] = {}
        self.dropped: dict[Key, list[Applied]] = {}
        self.late: list[int] = []
        self.duplicates: list[int] = []
        self.steps: list[Step] = []
        self.place: dict[tuple[int, int], int] = {}
        self.first: dict[Key, int] = {}
        self.known: dict[str, int] = {}
        self._other_last: int | None = None
        self._ids: dict[tuple[str, str], int] = {}
        self._closed_floor = self._sealed_floor = NEVER_MS
        self._whole_from: dict[int, int] = {}

    @property
    def sizes(self) -> list[int]:
        """Window sizes of now, ms."""
        return [size for _, size in self.config.windows.sizes]

    @property
    def base(self) -> int:
        """The base window of now, ms."""
        return self.sizes[0]

    @property
    def _keep(self) -> int:
        return self.config.windows.grace_ms + self.config.windows.corrections_ms

    @property
    def _closed(self) -> int:
        if self.stream is None:
            return self._closed_floor
        return max(self._closed_floor, self.stream - self.config.windows.grace_ms)

    @property
    def _sealed(self) -> int:
        if self.stream is None:
            return self._sealed_floor
        return max(self._sealed_floor, (self.stream - self._keep) // self.base * self.base)

    def take(self, events: Sequence[Event], first: int = 0) -> "WindowModel":
        """Take in events in offset order."""
        for offset, event in enumerate(events, first):
            self._take(Applied(event, offset))
        return self

    def reconfigure(self, config: CoreConfig) -> None:
        """Go on under other settings, as after a restart."""
        self._closed_floor, self._sealed_floor = self._closed, self._sealed
        self._ids = {k: end for k, end in self._ids.items() if -(-end // self.base) * self.base > self._sealed}
        before = set(self.sizes)
        self.config = config
        now = set(self.sizes)
        for key in [key for key in self.members if key.size in before - now]:
            members = self.members.pop(key)
            if key.start + key.size > self._sealed_floor:
                self.dropped[key] = members
                self.finals.pop(key, None)
            else:
                self.members[key] = members
        for size in before - now:
            self._whole_from.pop(size, None)
            self.steps.append(("removed", size))
        if self.stream is not None:
            self._whole_from |= dict.fromkeys(now - before, self.stream + 1)
        self._settle(None)

    def advance(self, stream_ms: int, spared: str | None = None) -> None:
        """Move stream time (never back), and do what is due."""
        if self.stream is None or stream_ms > self.stream:
            self.stream = stream_ms
            self._settle(spared)

    def _settle(self, spared: str | None) -> None:
        due = {(key.start + key.size, key.size) for key in self.members if key.size in self.sizes}
        for end, size in sorted(due):
            start = end - size
            if (size, start) not in self.place and end <= self._closed:
                self.place[size, start] = len(self.steps)
                self.steps.append(("close", size, start))
                self.finals |= {k: list(m) for k, m in self.members.items() if k[1:] == (size, start)}
        boundary = max(self._sealed, 0) // self.base * self.base
        for module in [name for name, last in self.known.items() if name != spared and self._due(last) <= boundary]:
            del self.known[module]
            self.steps.append(("expired", module))

    def _due(self, last: int) -> int:
        """The sealed base boundary at which a module expires whose newest pane ended there."""
        expiry = self.config.limits.module_expiry_ms
        return max([((last + expiry) // self.base + 1) * self.base, *(-(-last // size) * size for size in self.sizes)])

    def _take(self, applied: Applied) -> None:
        event = applied.event
        sealed_before = max(self._sealed, 0) // self.base * self.base
        is_new = event.module not in self.known
        fits = not is_new or len(self.known) < self.config.limits.max_modules
        name = event.module if fits else OTHER
        if is_new and fits:
            self.known[name] = sealed_before
        self.advance(event.time, name)
        assert self.stream is not None
        pane_end = event.time // self.base * self.base + self.base
        if pane_end + self._keep <= self.stream or event.time < self._sealed_floor:
            self.late.append(applied.offset)
            return
        if event.event_id and self.config.dedup:
            known = self._ids.get((event.module, event.event_id))
            if known is not None and -(-known // self.base) * self.base > self._sealed:
                self.duplicates.append(applied.offset)
                return
            self._ids[event.module, event.event_id] = pane_end
        self._note_seen(name, pane_end, first=is_new and fits)
        for size in self.sizes:
            key = Key(name, size, event.time // size * size)
            if key.start < self._whole_from.get(size, NEVER_MS):
                continue
            if key.start + size <= self._closed:
                self.place.setdefault((size, key.start), len(self.steps))
            self.first.setdefault(key, len(self.steps))
            self.members.setdefault(key, []).append(applied)

    def _note_seen(self, name: str, pane_end: int, *, first: bool) -> None:
        last = self._other_last if name == OTHER else self.known[name]
        expiry = self.config.limits.module_expiry_ms
        if not first and last is not None and pane_end - last > expiry:
            self.steps.append(("afresh", name))
        newest = pane_end if last is None else max(last, pane_end)
        if name == OTHER:
            self._other_last = newest
        else:
            self.known[name] = newest
