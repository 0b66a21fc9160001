"""A module core's state from its changelog, also one that version 1 or another configuration wrote.

The position comes first: it says under which window sizes the other records were written. Then the registry, for a window can
only hold modules that it knows; then the rest. What contradicts itself is refused: it would give wrong records for as long as its
windows last.
"""

import numpy as np

from pipeline.arrays import U8
from pipeline.cores import registry_state
from pipeline.cores.module_parts import ModuleParts
from pipeline.cores.position_check import take_position
from pipeline.cores.unpersist import KINDS, check_windows, restore_window
from pipeline.health.hysteresis import of_version_1
from pipeline.windows import layout as at
from pipeline.windows.persist import chunks_of
from pipeline.windows.resize import Resized, resize
from pipeline.windows.stream_time import BEGIN_MS
from pipeline.windows.tree import WindowTree
from schemas.checksum import damaged
from schemas.errors import StateIncompatible
from schemas.state import IDS, MODULES, STATE_VERSION, IdSegment, Position, unpack

State = dict[bytes, bytes]


def restore_module(parts: ModuleParts, state: State) -> Resized | None:
    """Take the whole state back in; the records are taken out of `state` as they are read.

    Args:
        parts: of a new core.
        state: the newest value of each changelog key; not empty.

    Returns:
        What became of windows where the window sizes are not those that the state was made with.

    Raises:
        StateIncompatible: a record does not fit this build or this configuration, or is damaged.
    """
    position = _restore_position(parts, state)
    old_sizes_ms = list(position.sizes.values())
    sizes_ms = [size for _, size in parts.config.windows.sizes]
    kinds = _by_kind(state)
    _restore_registry(parts, position, kinds.pop(MODULES, {}))
    tree = WindowTree(old_sizes_ms)
    for kind in KINDS:
        records = kinds.pop(kind, {})
        while records:
            restore_window(tree, parts.state.modules.capacity, *records.popitem())
    resized = _restore_windows(parts, position, tree, sizes_ms)
    _restore_ids(parts, position, kinds.pop(IDS, {}))
    alerts = kinds.pop(b"alert", {})
    while alerts:
        parts.alerts.restore(*alerts.popitem())
    for records in kinds.values():
        key = next(iter(records))
        raise StateIncompatible(
            f"the changelog holds a record that this build does not know, {key[:60]!r}: go back to the build that wrote it, or"
            " choose a new application_id"
        )
    return resized


def _restore_position(parts: ModuleParts, state: State) -> Position:
    position = take_position(state)
    if position.system is not None:
        raise StateIncompatible(
            "the state is that of the system task: the changelog topics were mixed up; choose a new application_id"
        )
    if position.partitions != parts.partitions:
        raise StateIncompatible(
            f"the input had {position.partitions} partitions when the state was made and has {parts.partitions} now;"
            " modules may have moved: run `modpulse state repartition`, or choose a new application_id"
        )
    parts.take_position(position)
    return position


def _by_kind(state: State) -> dict[bytes, State]:
    """The records by the first part of their key; `state` is empty then."""
    kinds: dict[bytes, State] = {}
    while state:
        key, value = state.popitem()
        kinds.setdefault(key.partition(b"|")[0], {})[key] = value
    return kinds


def _restore_registry(parts: ModuleParts, position: Position, records: State) -> None:
    modules = parts.state.modules
    sizes_ms = [size for _, size in parts.config.windows.sizes]
    old_sizes_ms = list(position.sizes.values())
    levels = [sizes_ms.index(size) if size in sizes_ms else None for size in old_sizes_ms]
    for key in sorted(records):
        registry_state.restore_chunk(modules, levels, key, records[key])
    modules.restored()
    if old_sizes_ms != sizes_ms or position.v < STATE_VERSION:
        modules.dirty |= chunks_of(np.flatnonzero(modules.known))
    parts.state.fit_profiles()


def _restore_windows(parts: ModuleParts, position: Position, tree: WindowTree, sizes_ms: list[int]) -> Resized | None:
    state = parts.state
    capacity = state.modules.capacity
    # A window whose first record was not due yet is in the changelog only as the panes it is made of.
    for block in list(tree):
        tree.open_over(block, capacity)
    try:
        check_windows(tree, state.modules.known)
    except ValueError as error:
        raise StateIncompatible(
            f"the changelog records of windows contradict each other ({error}): restore the changelog topic, or choose a new"
            " application_id"
        ) from error
    if position.v < STATE_VERSION:
        _finish_version_1(parts, tree)
    resized = None
    if list(tree.sizes_ms) == sizes_ms:
        state.tree.levels = tree.levels
    else:
        resized = resize(tree, state.tree, state.time.stream_ms, state.profiles.min_requests, capacity)
        parts.closer.deleted += resized.deleted
        _begin_sizes(parts, resized)
    closed_ms = state.time.closed_floor_ms
    for block in state.tree:
        block.final = block.end_ms <= closed_ms
        block.touched = True
        block.grow(capacity)
    return resized


def _begin_sizes(parts: ModuleParts, resized: Resized) -> None:
    """From when on windows of the new sizes are whole."""
    state = parts.state
    begin = [ms for ms in (resized.whole_from_ms, parts.start.whole_from_ms) if ms is not None]
    for level, (_, size) in enumerate(state.windows.sizes):
        if size in resized.added_ms:
            state.whole_from_ms[level] = max(begin, default=BEGIN_MS)


def _finish_version_1(parts: ModuleParts, tree: WindowTree) -> None:
    """Version 1 kept which windows are final with the windows alone, and no start of any class."""
    state = parts.state
    known = np.flatnonzero(state.modules.known)
    for block in tree:
        if block.final:
            state.time.closed_floor_ms = max(state.time.closed_floor_ms, block.end_ms)
            unset = known[block.meta[at.BEFORE, known] == 0]
            block.meta[at.BEFORE, unset] = of_version_1(np.zeros(unset.size, np.int64))
            block.dirty_meta |= chunks_of(unset)
    base_ms = tree.sizes_ms[0]
    if state.time.closed_floor_ms > BEGIN_MS:
        parts.closer.counted_through_ms = state.time.closed_floor_ms // base_ms * base_ms


def _restore_ids(parts: ModuleParts, position: Position, records: State) -> None:
    base_ms = parts.config.windows.base_ms
    segments = []
    while records:
        key, value = records.popitem()
        segment = unpack(IdSegment, key, value)
        try:
            ids: U8 = np.frombuffer(segment.ids, "<u8").astype(np.uint64)
            pane_end, sequence = (int(part) for part in key.split(b"|")[1:])
            if key != b"%s|%d|%d" % (IDS, pane_end, sequence) or not 0 <= sequence < position.sequence or pane_end <= 0:
                raise ValueError("its key is not one that a segment has")
            if not ids.all():
                raise ValueError("no hash is 0")
        except ValueError as error:
            raise damaged(key, error) from error
        segments.append((pane_end, sequence, ids, segment.old or segment.v < STATE_VERSION))
    # Of an id that was accepted again once its first pane was sealed, the newer pane counts.
    for pane_end, sequence, ids, old in sorted(segments, key=lambda segment: segment[:2]):
        parts.dedup.restore((pane_end, sequence), -(-pane_end // base_ms) * base_ms, ids, old=old)
