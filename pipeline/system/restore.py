"""The system core's state from its changelog, also one that version 1 or another configuration wrote."""

from pipeline.cores.position_check import take_position
from pipeline.system.parts import PARTITIONS, SystemParts
from schemas.checksum import damaged
from schemas.errors import StateIncompatible
from schemas.partials import (
    ModulesSeen,
    PartitionReport,
    SystemPartial,
    decode_partial,
    decode_window,
    partial_key,
    window_key,
)
from schemas.state import Position

State = dict[bytes, bytes]


def restore_system(parts: SystemParts, state: State) -> tuple[int, ...]:
    """Take the whole state back in; the records are taken out of `state` as they are read.

    Args:
        parts: of a new core.
        state: the newest value of each changelog key; not empty.

    Returns:
        The window sizes of the state that are not configured any more; their windows are dropped, with tombstones.

    Raises:
        StateIncompatible: a record does not fit this build or this configuration, or is damaged.
    """
    position = _restore_position(parts, state)
    while state:
        _restore(parts, *state.popitem())
    for window in parts.windows:
        if not window.revision and not window.partials:
            raise damaged(
                window_key(window.size_ms, window.start_ms), "it is of a window that nobody ever sent anything of"
            )
        # Version 1 kept which windows are final with the windows alone.
        if window.final:
            parts.time.closed_floor_ms = max(parts.time.closed_floor_ms, window.end_ms)
    return tuple(size for size in position.sizes.values() if not parts.windows.has_size(size))


def _restore_position(parts: SystemParts, state: State) -> Position:
    position = take_position(state)
    if position.system is None or position.partitions != PARTITIONS:
        raise StateIncompatible(
            f"the state is of a task that reads {position.partitions} partitions, not of the system task: the changelog topics"
            " were mixed up; choose a new application_id"
        )
    parts.take_position(position, position.system)
    return position


def _restore(parts: SystemParts, key: bytes, value: bytes) -> None:
    kind = key.partition(b"|")[0]
    if kind in (b"partial", b"report", b"seen"):
        record = decode_partial(value, f"the changelog record {key[:80]!r}")
        if partial_key(record) != key:
            raise damaged(key, "it is filed under another record's key")
        if isinstance(record, PartitionReport):
            parts.progress.note(record)
        elif isinstance(record, ModulesSeen):
            parts.homes.note(record)
        else:
            _restore_partial(parts, key, record)
    elif kind == b"window":
        _restore_window(parts, key, value)
    elif kind == b"alert":
        parts.alerts.restore(key, value)
    else:
        raise StateIncompatible(
            f"the changelog holds a record that this build does not know, {key[:60]!r}: go back to the build that wrote it, or"
            " choose a new application_id"
        )


def _restore_partial(parts: SystemParts, key: bytes, partial: SystemPartial) -> None:
    if parts.windows.has_size(partial.size_ms):
        parts.windows.open(partial.size_ms, partial.start_ms).partials[partial.partition] = partial
    else:
        parts.changes[key] = None


def _restore_window(parts: SystemParts, key: bytes, value: bytes) -> None:
    state = decode_window(key, value)
    try:
        size_ms, start_ms = (int(part) for part in key.split(b"|")[1:])
    except ValueError as error:
        raise damaged(key, error) from error
    if key != window_key(size_ms, start_ms) or size_ms < 1:
        raise damaged(key, "its key is not one that a window has")
    if parts.windows.has_size(size_ms):
        parts.windows.open(size_ms, start_ms).restore(state, value)
    else:
        parts.changes[key] = None
