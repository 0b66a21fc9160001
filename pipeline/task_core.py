"""What the shell needs of a core: batches in, a `Cut` out, and back again from the changelog."""

from typing import Protocol

from pipeline.alerts.machine import AlertMachine
from pipeline.ingest.batch import RecordBatch
from pipeline.outputs import Cut
from schemas.state import Ledger


class TaskCore(Protocol):
    """The pure part of one task."""

    offsets: dict[str, int]
    ledgers: dict[str, Ledger]
    alerts: AlertMachine
    stream_ms: int | None

    @property
    def buffered_bytes(self) -> int:
        """Outputs waiting for the next cut."""

    @property
    def open_windows(self) -> int:
        """How many windows can still change."""

    @property
    def idle(self) -> bool:
        """Whether stream time is following the wall clock."""

    def apply(self, batch: RecordBatch, now_ms: int) -> None:
        """Take in a batch."""

    def cut(self, now_ms: int, *, everything: bool = False) -> Cut:
        """Collect everything to be written since the last cut."""

    def idle_until(self, silent_since_ms: int, stream_then_ms: int | None, now_ms: int) -> None:
        """The input is silent."""

    def restore(self, key: bytes, value: bytes) -> None:
        """Take one changelog record back in."""

    def restored(self) -> None:
        """Call once after the last `restore`."""
