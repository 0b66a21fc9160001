"""Everything of a system core that a position names, in one place: for writing the position, and for taking it back in."""

from dataclasses import dataclass

from pipeline.alerts.machine import AlertMachine
from pipeline.alerts.ticker import AlertTicker
from pipeline.config import CoreConfig
from pipeline.sketch.mapping import ALPHA
from pipeline.system.homes import ModuleHomes
from pipeline.system.progress import Progress
from pipeline.system.since import UNKNOWN, SystemSince
from pipeline.system.windows import SystemWindows
from pipeline.windows.stream_time import BEGIN_MS, StreamTime
from schemas.state import STATE_VERSION, Ledger, Position, ShellPosition, StartPosition, SystemPosition

# The system task reads one topic of one partition, whatever the partitions of the input.
PARTITIONS = 1


@dataclass(slots=True)
class SystemParts:
    """The parts of one core. What is not an object of its own is copied: `ledgers` to `shell`."""

    config: CoreConfig
    time: StreamTime
    ticker: AlertTicker
    alerts: AlertMachine
    progress: Progress
    homes: ModuleHomes
    windows: SystemWindows
    since: SystemSince
    changes: dict[bytes, bytes | None]
    ledgers: dict[str, Ledger]
    offsets: dict[str, int]
    dropped_open: int
    ignored_partials: int
    last_larger_ms: int | None
    start: StartPosition
    shell: ShellPosition
    alert_revisions: int = 0

    def position(self) -> Position:
        """Where the task stands."""
        closed_ms = self.time.closed_ms
        return Position(
            sizes=dict(self.config.windows.sizes),
            relative_error=ALPHA,
            partitions=PARTITIONS,
            offsets=self.offsets,
            stream_ms=self.time.stream_ms,
            closed_through_ms=None if closed_ms <= BEGIN_MS else closed_ms,
            ledger=self.ledgers,
            ticks=dict(self.ticker.ticks),
            alert_revisions=self.alerts.revision_base,
            start=self.start,
            shell=self.shell,
            system=SystemPosition(
                floor_ms=self.windows.floor_ms,
                dropped_open=self.dropped_open,
                ignored_partials=self.ignored_partials,
                last_larger_ms=self.last_larger_ms,
                classes=dict(self.since.classes),
                known_sizes=sorted(self.progress.known_sizes),
            ),
        )

    def take_position(self, position: Position, system: SystemPosition) -> None:
        """Take a position back in."""
        self.ledgers, self.offsets, self.shell = dict(position.ledger), dict(position.offsets), position.shell
        self.start, self.alert_revisions = position.start, position.alert_revisions
        self.time.stream_ms = position.stream_ms
        self.time.closed_floor_ms = BEGIN_MS if position.closed_through_ms is None else position.closed_through_ms
        sizes_ms = {size for _, size in self.config.windows.sizes}
        self.ticker.ticks = {size: end_ms for size, end_ms in position.ticks.items() if size in sizes_ms}
        self.dropped_open, self.ignored_partials = system.dropped_open, system.ignored_partials
        self.last_larger_ms, self.windows.floor_ms = system.last_larger_ms, system.floor_ms
        if position.v < STATE_VERSION:
            self.progress.known_sizes = set(position.sizes.values())
            self.since.classes = {size: UNKNOWN for size in position.sizes.values() if size in sizes_ms}
        else:
            self.progress.known_sizes = set(system.known_sizes)
            self.since.classes = {size: known for size, known in system.classes.items() if size in sizes_ms}
