"""The module registry to changelog records and back."""

import numpy as np

from pipeline.arrays import I8
from pipeline.health.hysteresis import are_states, of_version_1
from pipeline.modules.registry import OTHER, OTHER_CODE, Modules
from pipeline.modules.silence import ENOUGH_WINDOWS, NOT_SILENT
from pipeline.outputs import StateRecord
from pipeline.publish.statuses import MOST_STATED
from schemas.checksum import damaged
from schemas.state import CHUNK_MODULES, MODULES, STATE_VERSION, ModulesChunk, pack, unpack

# More modules than any registry holds: a record beyond is damaged, and nothing is reserved for it.
_MAX_CHUNKS = 1 << 14


def changes(modules: Modules) -> list[StateRecord]:
    """The records of every chunk that changed since the last call."""
    records = []
    for chunk in sorted(modules.dirty):
        low, high = chunk * CHUNK_MODULES, min((chunk + 1) * CHUNK_MODULES, len(modules.ids))
        codes = [code for code in range(low, high) if modules.ids[code] is not None]
        record = ModulesChunk(
            v=STATE_VERSION,
            codes=np.array(codes, "<i4").tobytes(),
            ids=[modules.ids[code] or "" for code in codes],
            last_ms=modules.last_ms[codes].astype("<i8").tobytes(),
            chains=modules.chains[:, codes].astype("<i8").tobytes(),
            runs=modules.silence.runs[codes].tobytes(),
            silent_ms=modules.silence.since_ms[codes].astype("<i8").tobytes(),
            stated=modules.stated[codes].tobytes(),
        )
        key = b"%s|%d" % (MODULES, chunk)
        records.append(StateRecord(key, pack(key, record)))
    modules.dirty.clear()
    return records


def restore_chunk(modules: Modules, levels: list[int | None], key: bytes, value: bytes) -> None:
    """Take a stored chunk back in. After the last one, `Modules.restored` must be called.

    Args:
        modules: the registry of today's window sizes.
        levels: for each size that the state was made with its level today, None where it is gone.
        key: the changelog key.
        value: its newest value.

    Raises:
        StateIncompatible: a newer build wrote the record, or the record is damaged.
    """
    record = unpack(ModulesChunk, key, value)
    try:
        _restore(modules, levels, _chunk_of(key), record)
    except ValueError as error:
        raise damaged(key, error) from error


def _chunk_of(key: bytes) -> int:
    chunk = int(key.removeprefix(MODULES + b"|"))
    if key != b"%s|%d" % (MODULES, chunk) or not 0 <= chunk < _MAX_CHUNKS:
        raise ValueError("its key is not one that a chunk has")
    return chunk


def _restore(modules: Modules, levels: list[int | None], chunk: int, record: ModulesChunk) -> None:
    codes = np.frombuffer(record.codes, "<i4").astype(np.int64)
    if (codes // CHUNK_MODULES != chunk).any() or (codes[1:] <= codes[:-1]).any() or len(record.ids) != codes.size:
        raise ValueError("its codes are not those of the chunk")
    last_ms = np.frombuffer(record.last_ms, "<i8").reshape(codes.size)
    chains = np.frombuffer(record.chains, "<i8").reshape(len(levels), codes.size)
    if record.v < STATE_VERSION:
        chains = of_version_1(chains)
        runs, since_ms = np.zeros(codes.size, np.uint8), np.full(codes.size, NOT_SILENT, np.int64)
    else:
        runs = np.frombuffer(record.runs, np.uint8).reshape(codes.size)
        since_ms = np.frombuffer(record.silent_ms, "<i8").reshape(codes.size)
    stated = np.frombuffer(record.stated, np.uint8).reshape(codes.size if record.stated else 0)
    if (
        (last_ms < 0).any()
        or (stated > MOST_STATED).any()
        or not are_states(chains).all()
        or (runs > ENOUGH_WINDOWS).any()
        or (since_ms < NOT_SILENT).any()
    ):
        raise ValueError("no registry holds its figures")
    modules.reserve((chunk + 1) * CHUNK_MODULES)
    _place(modules, codes, record.ids)
    modules.last_ms[codes] = last_ms
    for old_level, level in enumerate(levels):
        if level is not None:
            modules.chains[level, codes] = chains[old_level]
    modules.silence.runs[codes] = runs
    modules.silence.since_ms[codes] = since_ms
    if stated.size:
        modules.stated[codes] = stated


def _place(modules: Modules, codes: I8, ids: list[str]) -> None:
    for code, module_id in zip(codes.tolist(), ids, strict=True):
        taken = module_id in modules.codes and code != OTHER_CODE
        if taken or not module_id or (code == OTHER_CODE) != (module_id == OTHER):
            raise ValueError(f"module {module_id!r} cannot have code {code}")
        while len(modules.ids) <= code:
            modules.ids.append(None)
        modules.ids[code] = module_id
        modules.place(code, module_id)
