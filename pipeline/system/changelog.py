"""How the system task reads what it or its partitions wrote, and refuses what it must not continue from."""

import msgspec

from pipeline.config import CoreConfig
from pipeline.module_core import check_position
from pipeline.system.partial import VERSION as PARTIAL_VERSION
from pipeline.system.window import VERSION as WINDOW_VERSION
from schemas.errors import StateIncompatible
from schemas.partials import PartialRecord, SystemWindowState, decode_partial, decode_window
from schemas.state import Position

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


def check_system_position(config: CoreConfig, position: Position) -> None:
    """Refuse the state of another configuration or of another kind of task.

    Raises:
        StateIncompatible: the window sizes differ, or the state is not that of a system task.
    """
    check_position(config, position)
    if position.partitions != PARTITIONS:
        raise StateIncompatible(
            f"the state is of a task that reads {position.partitions} partitions, that of the system task reads"
            f" {PARTITIONS}: the changelog topics were mixed up; choose a new application_id"
        )
