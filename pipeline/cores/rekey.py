"""The tasks of N partitions as those of M: modules move to the partition of their id, with all that is theirs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from pipeline.cores.module_core import ModuleCore
from pipeline.cores.module_parts import ModuleParts
from pipeline.cores.rekey_windows import Move, move_windows
from pipeline.modules.registry import OTHER, OTHER_CODE, Modules
from pipeline.outputs import StateRecord
from pipeline.partitioner import partition_of
from pipeline.windows.persist import dirty_keys, tombstones
from pipeline.windows.stream_time import BEGIN_MS
from schemas.alert_state import state_key
from schemas.state import CHUNK_MODULES, IDS

Home = Callable[[str, int], int]


def default_home(module_id: str, partitions: int) -> int:
    """The partition that Kafka's default partitioner sends a module to."""
    return partition_of(module_id.encode(), partitions)


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A module that is known in a partition which is not its home."""

    module_id: str
    partition: int
    home: int


def misplaced(cores: Sequence[ModuleCore], home: Home = default_home) -> list[Misplaced]:
    """The modules that do not live where `home` puts them; while there is one, the tasks cannot be re-keyed.

    Producers that hash keys otherwise send modules elsewhere, and then nobody can tell where they will go.
    """
    found = []
    for core in cores:
        parts = core.parts()
        for module_id, code in sorted(parts.state.modules.codes.items()):
            where = home(module_id, len(cores))
            if where != core.partition and (code != OTHER_CODE or _holds_other(parts)):
                found.append(Misplaced(module_id, core.partition, where))
    return found


def _holds_other(parts: ModuleParts) -> bool:
    """Whether any window counts requests under `__other__`."""
    tree, capacity = parts.state.tree, parts.state.modules.capacity
    return any(int(tree.counts(block, capacity)[OTHER_CODE]) for block in tree)


def align(cores: Sequence[ModuleCore], now_ms: int) -> None:
    """Advance all tasks to the newest stream time among them, and to what is closed and sealed in any.

    Call it before `rekey`, and write what the cores say then. Events that come later than that are late, as they would be if
    all modules had always shared one partition.

    Args:
        cores: of all partitions, restored.
        now_ms: the wall clock.
    """
    times = [core.parts().state.time for core in cores]
    streams = [time.stream_ms for time in times if time.stream_ms is not None]
    if streams:
        newest = max(streams), max(time.closed_ms for time in times), max(time.sealed_ms for time in times)
        for core in cores:
            core.advance_to(newest, now_ms)


def rekey(cores: Sequence[ModuleCore], new: Sequence[ModuleCore], home: Home = default_home) -> None:
    """Fill the new tasks with what the old ones hold; the old ones must not be used afterwards.

    Ledgers, offsets and what the shell keeps of a partition stay with it. The new tasks check homes from then on. Their first
    cut writes the whole state, with tombstones for what the partition does not hold any more, and says every open window again,
    so that the system aggregate follows. Write the first cuts of all tasks in one transaction.

    Args:
        cores: all old tasks by partition, restored under one configuration, aligned (`align`) and cut with `everything`.
        new: all new tasks by partition, without state, at least as many.
        home: the partition of a module, by its id and the number of partitions.

    Raises:
        ValueError: a task is missing, still owes outputs, is not aligned, or holds a module that does not belong to it.
    """
    old_parts, new_parts = [core.parts() for core in cores], [core.parts() for core in new]
    _check(cores, new, old_parts, home)
    moves = _moves(old_parts, len(new), home)
    for core, parts, mine in zip(new, new_parts, moves, strict=True):
        former = old_parts[core.partition] if core.partition < len(cores) else None
        _take_position(parts, old_parts, former)
        _move_modules(parts.state.modules, mine, [old.state.modules for old in old_parts])
        parts.state.fit_profiles()
        move_windows(parts, old_parts, mine)
        _move_alerts(parts, old_parts, home, len(new))
        parts.dedup.adopt([old_parts[move.source].dedup for move in mine], parts.state.time.sealed_pane_ms)
        if former is not None:
            _end_former(parts, former)
        core.take_parts(parts)


def _check(cores: Sequence[ModuleCore], new: Sequence[ModuleCore], parts: Sequence[ModuleParts], home: Home) -> None:
    faults = {
        "no task": not cores,
        "fewer tasks than before": len(new) < len(cores),
        "the tasks of one configuration": any(
            core.config.windows != cores[0].config.windows for core in (*cores, *new)
        ),
        "every partition in its order": [core.partition for core in cores] != list(range(len(cores)))
        or [core.partition for core in new] != list(range(len(new))),
        "tasks that were cut": any(core.owes for core in cores),
        "tasks at one stream time": len(
            {(p.state.time.stream_ms, p.state.time.closed_ms, p.state.time.sealed_ms) for p in parts}
        )
        > 1,
        "modules at their homes": bool(misplaced(cores, home)),
    }
    for what, found in faults.items():
        if found:
            raise ValueError(f"partitions cannot be re-keyed: wanted {what}")


def _moves(old_parts: Sequence[ModuleParts], partitions: int, home: Home) -> list[list[Move]]:
    """By new partition: whose modules it gets. Those that stay come first, in the order of their codes."""
    pairs: list[dict[int, list[tuple[int, int]]]] = [{} for _ in range(partitions)]
    taken = [1] * partitions
    for target in range(partitions):
        order = sorted(range(len(old_parts)), key=lambda source: (source != target, source))
        for source in order:
            for code, module_id in enumerate(old_parts[source].state.modules.ids):
                if module_id is None or home(module_id, partitions) != target:
                    continue
                if code == OTHER_CODE:
                    if home(OTHER, len(old_parts)) == source:
                        pairs[target].setdefault(source, []).append((OTHER_CODE, OTHER_CODE))
                else:
                    pairs[target].setdefault(source, []).append((code, taken[target]))
                    taken[target] += 1
    return [
        [Move(source, *np.array(codes, np.int64).T) for source, codes in sorted(by_source.items())]
        for by_source in pairs
    ]


def _take_position(parts: ModuleParts, old_parts: Sequence[ModuleParts], former: ModuleParts | None) -> None:
    state = parts.state
    state.time.stream_ms = old_parts[0].state.time.stream_ms
    state.time.closed_floor_ms = max(old.state.time.closed_floor_ms for old in old_parts)
    state.time.sealed_floor_ms = max(old.state.time.sealed_floor_ms for old in old_parts)
    state.whole_from_ms = [max(marks) for marks in zip(*(old.state.whole_from_ms for old in old_parts), strict=True)]
    state.revision_base = max(old.state.revision_base for old in old_parts)
    parts.closer.counted_through_ms = max(old.closer.counted_through_ms for old in old_parts)
    sizes_ms = {size for old in old_parts for size in old.ticker.ticks}
    parts.ticker.ticks = {size: max(old.ticker.ticks.get(size, BEGIN_MS) for old in old_parts) for size in sizes_ms}
    # The position keeps the start, so a task that gets modules of several tasks begins like the latest of them.
    alerts_from_ms = [old.start.alerts_from_ms for old in old_parts if old.start.alerts_from_ms is not None]
    parts.start = replace(
        (former or old_parts[0]).start,
        revision_base=state.revision_base,
        alerts_from_ms=max(alerts_from_ms, default=None),
    )
    parts.ticker.alerts_from_ms = parts.start.alerts_from_ms
    parts.homes_checked = True
    if former is not None:
        parts.ledgers, parts.offsets = former.ledgers, former.offsets
        parts.sequence, parts.shell = former.sequence, former.shell


def _move_modules(modules: Modules, moves: Sequence[Move], old: Sequence[Modules]) -> None:
    for move in moves:
        source = old[move.source]
        for old_code, code in zip(move.old_codes.tolist(), move.new_codes.tolist(), strict=True):
            module_id = source.ids[old_code]
            assert module_id is not None
            if code != OTHER_CODE:
                modules.ids.extend([None] * (code + 1 - len(modules.ids)))
                modules.ids[code] = module_id
                modules.place(code, module_id)
        codes, old_codes = move.new_codes, move.old_codes
        modules.last_ms[codes] = source.last_ms[old_codes]
        modules.chains[:, codes] = source.chains[:, old_codes]
        modules.stated[codes] = source.stated[old_codes]
        modules.silence.runs[codes] = source.silence.runs[old_codes]
        modules.silence.since_ms[codes] = source.silence.since_ms[old_codes]
    chunks = set(range(-(-len(modules.ids) // CHUNK_MODULES)))
    modules.dirty |= chunks
    modules.changed_members |= chunks
    modules.restored()


def _move_alerts(parts: ModuleParts, old_parts: Sequence[ModuleParts], home: Home, partitions: int) -> None:
    mine = parts.state.partition
    for old in old_parts:
        states = [state for state in old.alerts.states() if home(state.module_id or OTHER, partitions) == mine]
        parts.alerts.adopt(states, old.alerts.revision_base)


def _end_former(parts: ModuleParts, former: ModuleParts) -> None:
    """Tombstones for what the partition held and does not hold any more, and empty chunks where its registry was longer."""
    chunks = set(range(-(-len(former.state.modules.ids) // CHUNK_MODULES)))
    parts.state.modules.dirty |= chunks
    parts.state.modules.changed_members |= chunks
    gone = list(former.closer.deleted)
    for block in former.state.tree:
        gone += tombstones(block)
    gone += [StateRecord(b"%s|%d|%d" % (IDS, *segment), None) for segment in former.dedup.stored]
    mine = {state.fingerprint for state in parts.alerts.states()}
    gone += [
        StateRecord(state_key(state.fingerprint), None)
        for state in former.alerts.states()
        if state.fingerprint not in mine
    ]
    rewritten = {key for block in parts.state.tree for key in dirty_keys(block)}
    parts.closer.deleted += [record for record in gone if record.key not in rewritten]
