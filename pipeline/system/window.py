"""One open window of the whole system: the newest partial of each partition, and what was published about it."""

from msgspec.structs import replace

from pipeline.config import HealthProfile
from pipeline.outputs import StateRecord
from pipeline.system.health import SystemHealth, health_of
from schemas.checksum import NO_CHECK
from schemas.metrics import Completeness
from schemas.partials import WINDOW_VERSION, SystemPartial, SystemWindowState, encode_window, partial_key, window_key

_NOTHING = Completeness(0, 0)


class SystemWindow:
    """A window [start, start + size).

    Attributes:
        name: of its size. level: index of its size.
        partials: the newest one by partition; never empty once the window took one, but for partitions that moved away.
        revision: of the newest record, 0 before the first.
        final: whether the final record went out, or the window opened only after its close.
        owed: whether partials came in that no record shows yet.
        said: completeness in the newest record.
        said_since_ms: `health_since` in the newest record.
    """

    __slots__ = (
        "_health", "_stored", "final", "level", "name", "owed", "partials", "revision", "said", "said_since_ms",
        "size_ms", "start_ms",
    )  # fmt: skip

    def __init__(self, name: str, level: int, size_ms: int, start_ms: int) -> None:
        self.name = name
        self.level = level
        self.size_ms = size_ms
        self.start_ms = start_ms
        self.partials: dict[int, SystemPartial] = {}
        self.revision = 0
        self.final = False
        self.owed = False
        self.said = _NOTHING
        self.said_since_ms: int | None = None
        self._stored = b""
        self._health: SystemHealth | None = None

    @property
    def end_ms(self) -> int:
        """The first millisecond after the window."""
        return self.start_ms + self.size_ms

    @property
    def age(self) -> tuple[int, int]:
        """The order in which windows close: by end, the smaller size first."""
        return self.end_ms, self.size_ms

    def take(self, partial: SystemPartial) -> None:
        """Put a partition's newest partial in place of its former one; one that says the same changes nothing.

        A partial that does not speak says that the partition has no module in the window any more.
        """
        former = self.partials.get(partial.partition)
        if partial.speaks:
            self.partials[partial.partition] = partial
        elif former is not None:
            del self.partials[partial.partition]
        changed = partial.speaks if former is None else _said(former) != _said(partial)
        if changed:
            self.owed = True
            self._health = None

    def health(self, profile: HealthProfile) -> SystemHealth:
        """The class of the system in this window, from its partials; there must be one."""
        if self._health is None:
            self._health = health_of(self.in_order(), profile)
        return self._health

    def in_order(self) -> list[SystemPartial]:
        """The partials in the order of their partitions."""
        return [self.partials[partition] for partition in sorted(self.partials)]

    def drain(self) -> list[StateRecord]:
        """What the changelog must learn about what was published."""
        key = window_key(self.size_ms, self.start_ms)
        state = SystemWindowState(
            WINDOW_VERSION,
            self.revision,
            self.final,
            self.owed,
            self.said.partitions_expected,
            self.said.partitions_seen,
            self.said_since_ms,
        )
        value = encode_window(key, state)
        if value == self._stored:
            return []
        self._stored = value
        return [StateRecord(key, value)]

    def restore(self, state: SystemWindowState, value: bytes) -> None:
        """Take `drain`'s newest record back in."""
        self.revision, self.final, self.owed = state.revision, state.final, state.owed
        self.said = Completeness(state.expected, state.seen)
        self.said_since_ms = state.since_ms
        self._stored = value

    def keys(self) -> list[bytes]:
        """The changelog keys that end with the window."""
        return [window_key(self.size_ms, self.start_ms), *(partial_key(p) for p in self.in_order())]


def _said(partial: SystemPartial) -> SystemPartial:
    """A partial without what no record shows."""
    return replace(partial, final=False, known=False, check=NO_CHECK)
