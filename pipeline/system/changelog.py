"""How the system task reads what it or its partitions wrote, and refuses what it must not continue from."""

import msgspec

from pipeline.config import CoreConfig
from pipeline.module_core import fingerprint
from pipeline.system.partial import VERSION as PARTIAL_VERSION
from pipeline.system.window import VERSION as WINDOW_VERSION
from schemas.errors import StateIncompatible
from schemas.partials import PartialRecord, SystemWindowState, decode_partial, decode_window
from schemas.state import Ledger, Position

VERSION = 1
# The system task reads one topic of one partition, whatever the partitions of the input.
PARTITIONS = 1
# msgspec lets these two through besides its own.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_record(value: bytes | None, place: str) -> PartialRecord:
    """A partial or a report.

    Raises:
        StateIncompatible: it is neither, or of another version.
    """
    try:
        record: PartialRecord = decode_partial(value or b"")
    except _UNREADABLE as error:
        raise StateIncompatible(f"{place} is neither a partial nor a report: {error}") from error
    if record.v != PARTIAL_VERSION:
        raise StateIncompatible(f"{place} is of version {record.v}; this build reads version {PARTIAL_VERSION}")
    return record


def decode_window_state(key: bytes, value: bytes) -> SystemWindowState:
    """What was published of a window.

    Raises:
        StateIncompatible: it is not that, or of another version.
    """
    try:
        state: SystemWindowState = decode_window(value)
    except _UNREADABLE as error:
        raise StateIncompatible(f"the changelog record {key[:60]!r} cannot be read: {error}") from error
    if state.v != WINDOW_VERSION:
        raise StateIncompatible(f"{key[:60]!r} is of version {state.v}; this build reads version {WINDOW_VERSION}")
    return state


def position_of(
    config: CoreConfig,
    offsets: dict[str, int],
    stream_ms: int | None,
    ledgers: dict[str, Ledger],
    ticks: dict[str, int],
    extra: dict[str, int],
) -> Position:
    """The position record; everything in it is copied."""
    copied = {topic: msgspec.structs.replace(ledger) for topic, ledger in ledgers.items()}
    mark = fingerprint(config)
    return Position(VERSION, mark, PARTITIONS, dict(offsets), stream_ms, copied, ticks=dict(ticks), extra=extra)


def check_position(config: CoreConfig, position: Position) -> None:
    """Refuse the state of another build or configuration.

    Raises:
        StateIncompatible: the version or the window sizes differ, or the state is not that of a system task.
    """
    mine = fingerprint(config)
    if position.v != VERSION or position.fingerprint != mine or position.partitions != PARTITIONS:
        raise StateIncompatible(
            f"the state of the system task was made with {position.fingerprint!r} (version {position.v},"
            f" {position.partitions} partitions), this build and configuration say {mine!r} (version {VERSION},"
            f" {PARTITIONS}): set windows.sizes back, or choose a new application_id"
        )
