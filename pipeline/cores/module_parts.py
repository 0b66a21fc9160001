"""Everything of a module core that a position names, in one place: for writing the position, and for taking it back in."""

from dataclasses import dataclass

from pipeline.alerts.machine import AlertMachine
from pipeline.alerts.ticker import AlertTicker
from pipeline.config import CoreConfig
from pipeline.cores.closer import Closer
from pipeline.ingest.dedup import Deduplicator
from pipeline.publish.emitter import Emitter
from pipeline.publish.task_state import TaskState
from pipeline.sketch.mapping import ALPHA
from pipeline.windows.stream_time import BEGIN_MS
from schemas.state import Ledger, Position, ShellPosition, StartPosition


@dataclass(slots=True)
class ModuleParts:
    """The parts of one core. What is not an object of its own is copied: `ledgers` to `shell`."""

    config: CoreConfig
    partitions: int
    state: TaskState
    ticker: AlertTicker
    emitter: Emitter
    alerts: AlertMachine
    dedup: Deduplicator
    closer: Closer
    ledgers: dict[str, Ledger]
    offsets: dict[str, int]
    sequence: int
    homes_checked: bool
    start: StartPosition
    shell: ShellPosition

    def position(self) -> Position:
        """Where the task stands."""
        state = self.state
        sizes_ms = [size for _, size in state.windows.sizes]
        return Position(
            sizes=dict(state.windows.sizes),
            relative_error=ALPHA,
            partitions=self.partitions,
            offsets=self.offsets,
            stream_ms=state.time.stream_ms,
            closed_through_ms=_or_none(state.time.closed_ms),
            sealed_through_ms=_or_none(state.time.sealed_ms),
            ledger=self.ledgers,
            sequence=self.sequence,
            ticks=dict(self.ticker.ticks),
            whole_from_ms={size: ms for size, ms in zip(sizes_ms, state.whole_from_ms, strict=True) if ms > BEGIN_MS},
            counted_through_ms=_or_none(self.closer.counted_through_ms),
            alert_revisions=self.alerts.revision_base,
            homes_checked=self.homes_checked,
            start=self.start,
            shell=self.shell,
        )

    def take_position(self, position: Position) -> None:
        """Take a position back in, but for the windows of sizes that are gone or new."""
        state = self.state
        state.time.stream_ms = position.stream_ms
        state.time.closed_floor_ms = _or_begin(position.closed_through_ms)
        state.time.sealed_floor_ms = _or_begin(position.sealed_through_ms)
        self.begin(position.start)
        sizes_ms = [size for _, size in state.windows.sizes]
        state.whole_from_ms = [position.whole_from_ms.get(size, BEGIN_MS) for size in sizes_ms]
        self.ticker.ticks = {size: end_ms for size, end_ms in position.ticks.items() if size in sizes_ms}
        self.alerts.revision_base = position.alert_revisions
        self.closer.counted_through_ms = _or_begin(position.counted_through_ms)
        self.ledgers, self.offsets = dict(position.ledger), dict(position.offsets)
        self.sequence, self.homes_checked, self.shell = position.sequence, position.homes_checked, position.shell

    def begin(self, start: StartPosition) -> None:
        """Do as the task was told when it began without state."""
        self.start = start
        self.state.revision_base = self.alerts.revision_base = start.revision_base
        self.ticker.alerts_from_ms = start.alerts_from_ms
        self.state.after_loss = start.after_loss
        if start.whole_from_ms is not None:
            self.state.whole_from_ms = [start.whole_from_ms] * len(self.state.whole_from_ms)


def _or_none(time_ms: int) -> int | None:
    return None if time_ms <= BEGIN_MS else time_ms


def _or_begin(time_ms: int | None) -> int:
    return BEGIN_MS if time_ms is None else time_ms
