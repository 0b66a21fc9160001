"""What the parts of one task share."""

from dataclasses import dataclass, field

from pipeline.config import WindowConfig
from pipeline.health.profiles import Profiles
from pipeline.modules.registry import Modules
from pipeline.outputs import Outbox
from pipeline.windows.block import Block
from pipeline.windows.stream_time import BEGIN_MS, StreamTime
from pipeline.windows.sums import Sums
from pipeline.windows.tree import WindowTree


@dataclass(slots=True)
class TaskState:
    """The windows, the registry and the outputs of one task.

    Attributes:
        whole_from_ms: by level: windows that start before are not whole, so they are kept and never published.
        revision_base: revisions begin above it.
        after_loss: the first event says from when on windows are whole; see `begin_after_loss`.
    """

    windows: WindowConfig
    partition: int
    time: StreamTime
    tree: WindowTree
    modules: Modules
    profiles: Profiles
    whole_from_ms: list[int]
    revision_base: int = 0
    after_loss: bool = False
    outbox: Outbox = field(default_factory=Outbox)
    _profiled: int = -1

    def fit_profiles(self) -> None:
        """Look up the health profiles again where a code has got another module; call it after modules were registered."""
        if self._profiled != self.modules.generation:
            self._profiled = self.modules.generation
            self.profiles.assign(self.modules.ids, self.modules.capacity)
            self.modules.silence.expected = self.profiles.expected_silence

    def begin_after_loss(self, first_ms: int) -> None:
        """The first event after a loss of state has this time: windows that began before, give or take the grace, had more."""
        from_ms = first_ms + self.windows.grace_ms
        self.whole_from_ms = [max(ms, from_ms) for ms in self.whole_from_ms]

    def sums_of(self, block: Block) -> Sums:
        """Everything of a window so far."""
        return self.tree.view(block, self.profiles.min_requests, self.modules.capacity)

    def is_whole(self, block: Block) -> bool:
        """Whether a window holds every event of its time, so that it may be published."""
        return block.start_ms >= self.whole_from_ms[block.level]

    def name_of(self, block: Block) -> str:
        """The name of a window's size."""
        return self.windows.sizes[block.level][0]


def always_whole(levels: int) -> list[int]:
    """`whole_from_ms` of a task that has every window from its beginning."""
    return [BEGIN_MS] * levels
