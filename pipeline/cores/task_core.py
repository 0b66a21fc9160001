"""What the shell needs of a core: batches in, a `Cut` out, and back again from the changelog."""

from typing import Protocol

from pipeline.alerts.machine import AlertMachine
from pipeline.ingest.batch import RecordBatch
from pipeline.outputs import Cut
from schemas.state import Ledger, ShellPosition


class TaskCore(Protocol):
    """The pure part of one task."""

    offsets: dict[str, int]
    ledgers: dict[str, Ledger]
    alerts: AlertMachine
    shell: ShellPosition

    @property
    def stream_ms(self) -> int | None:
        """Stream time, None before the first event."""

    @property
    def heard_ms(self) -> int | None:
        """The wall clock at the newest batch that held an event; records that are no events end no silence."""

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

    def idle_until(self, to_ms: int, now_ms: int) -> None:
        """The input was read to its end and is silent: stream time moves to `to_ms`, never past the wall clock."""

    def restore(self, state: dict[bytes, bytes]) -> None:
        """Take the whole state back in, the newest value of each changelog key; call it once, on a new core.

        The records are taken out of `state` as they are read, so that the state is not held twice.

        Raises:
            StateIncompatible: a record does not fit this build or this configuration, or is damaged.
        """
