"""The modules a task knows: id <-> code, at most `max_modules` of them, the rest counted as `__other__`."""

import numpy as np

from pipeline.ingest.identifiers import U8, hash_text
from pipeline.sketch.mapping import I8
from schemas.state import CHUNK_MODULES, ModulesChunk, decoder, pack

OTHER = "__other__"
OTHER_KEY = OTHER.encode()
OTHER_CODE = 0
VERSION = 1
_FIRST_CAPACITY = 64


class Modules:
    """The registry. Codes are small, dense and stable across restarts; code 0 is `__other__`.

    Attributes:
        ids: module id by code, None where the code is free.
        codes: code by module id.
        keys: code by record key (the id's UTF-8 bytes).
        hashes: 64-bit hash by code.
        last_ms: end of the newest pane each module was seen in.
        chains: packed hysteresis state, shape (sizes, capacity).
        overflowed: events counted under `__other__` because the registry was full.
        generation: changes whenever a code gets a module.
        newest_overflow: one of the ids turned away, for the warning.
    """

    def __init__(self, max_modules: int, sizes: int, expiry_ms: int) -> None:
        self._max_modules = max_modules
        self._expiry_ms = expiry_ms
        self.ids: list[str | None] = [OTHER]
        self.codes: dict[str, int] = {OTHER: OTHER_CODE}
        self.keys: dict[bytes | None, int] = {OTHER.encode(): OTHER_CODE}
        self.hashes: U8 = np.zeros(_FIRST_CAPACITY, np.uint64)
        self.hashes[OTHER_CODE] = hash_text(OTHER)
        self.last_ms: I8 = np.zeros(_FIRST_CAPACITY, np.int64)
        self.chains: I8 = np.zeros((sizes, _FIRST_CAPACITY), np.int64)
        self._free: list[int] = []
        self.generation = 0
        self.dirty: set[int] = set()
        self.changed_members: set[int] = set()
        self.overflowed = 0
        self.newest_overflow = ""

    @property
    def capacity(self) -> int:
        """How many columns a block needs; a power of two times 64."""
        return len(self.last_ms)

    @property
    def tracked(self) -> int:
        """How many modules have a code of their own."""
        return len(self.codes) - 1

    @property
    def full(self) -> bool:
        """Whether a new module would go to `__other__`."""
        return self.tracked >= self._max_modules

    def add(self, module_id: str) -> int:
        """Give a new module a code, or `OTHER_CODE` when the registry is full."""
        if self.full:
            self.newest_overflow = module_id
            return OTHER_CODE
        if self._free:
            code = self._free.pop()
            self.ids[code] = module_id
        else:
            code = len(self.ids)
            self.ids.append(module_id)
        self._place(code, module_id)
        self.dirty.add(code // CHUNK_MODULES)
        self.changed_members.add(code // CHUNK_MODULES)
        return code

    def _place(self, code: int, module_id: str) -> None:
        while code >= self.capacity:
            self.hashes = np.concatenate((self.hashes, np.zeros_like(self.hashes)))
            self.last_ms = np.concatenate((self.last_ms, np.zeros_like(self.last_ms)))
            self.chains = np.concatenate((self.chains, np.zeros_like(self.chains)), axis=1)
        self.codes[module_id] = code
        self.keys[module_id.encode()] = code
        self.hashes[code] = hash_text(module_id)
        self.generation += 1

    def seen(self, codes: I8, pane_end_ms: int) -> None:
        """Note that these modules had events in a pane; one that was away for longer than the expiry is judged afresh."""
        newer = codes[self.last_ms[codes] < pane_end_ms]
        if newer.size:
            # Whether it was really expired in between depends on when that is looked at; this does not.
            self.chains[:, newer[pane_end_ms - self.last_ms[newer] > self._expiry_ms]] = 0
            self.last_ms[newer] = pane_end_ms
            self.dirty.update(np.unique(newer // CHUNK_MODULES).tolist())

    def set_chains(self, level: int, codes: I8, states: I8) -> None:
        """Store hysteresis states after a final window."""
        changed = codes[self.chains[level, codes] != states]
        self.chains[level, codes] = states
        self.dirty.update(np.unique(changed // CHUNK_MODULES).tolist())

    def expire(self, before_ms: int, in_use: I8) -> list[int]:
        """Free the codes of modules not seen since, and answer which; `in_use` marks codes that an open window still holds."""
        gone = []
        for code in np.flatnonzero(
            (self.last_ms[: len(self.ids)] < before_ms) & (in_use[: len(self.ids)] == 0)
        ).tolist():
            module_id = self.ids[code]
            if code == OTHER_CODE or module_id is None:
                continue
            gone.append(code)
            del self.codes[module_id], self.keys[module_id.encode()]
            self.ids[code] = None
            self.last_ms[code] = 0
            self.chains[:, code] = 0
            self._free.append(code)
            self.dirty.add(code // CHUNK_MODULES)
            self.changed_members.add(code // CHUNK_MODULES)
        return gone

    def drain_members(self) -> list[tuple[int, list[str]]]:
        """(chunk, ids) of every chunk in which a module appeared or expired since the last drain."""
        chunks = sorted(self.changed_members)
        self.changed_members.clear()
        slices = (self.ids[max(chunk * CHUNK_MODULES, 1) : (chunk + 1) * CHUNK_MODULES] for chunk in chunks)
        return [(chunk, [i for i in ids if i is not None]) for chunk, ids in zip(chunks, slices, strict=True)]

    def drain(self) -> list[tuple[int, bytes]]:
        """(chunk, record) of every chunk changed since the last drain."""
        records = []
        for chunk in sorted(self.dirty):
            low, high = chunk * CHUNK_MODULES, min((chunk + 1) * CHUNK_MODULES, len(self.ids))
            codes = [code for code in range(low, high) if self.ids[code] is not None]
            record = ModulesChunk(
                VERSION,
                np.array(codes, "<i4").tobytes(),
                [self.ids[code] or "" for code in codes],
                self.last_ms[codes].astype("<i8").tobytes(),
                self.chains[:, codes].astype("<i8").tobytes(),
            )
            records.append((chunk, pack(record)))
        self.dirty.clear()
        return records

    def restore(self, value: bytes) -> None:
        """Take a stored chunk back in."""
        record = _decode(value)
        codes = np.frombuffer(record.codes, "<i4").astype(np.int64)
        for code, module_id in zip(codes.tolist(), record.ids, strict=True):
            while len(self.ids) <= code:
                self.ids.append(None)
            self.ids[code] = module_id
            self._place(code, module_id)
        self.last_ms[codes] = np.frombuffer(record.last_ms, "<i8")
        self.chains[:, codes] = np.frombuffer(record.chains, "<i8").reshape(self.chains.shape[0], codes.size)

    def restored(self) -> None:
        """Call once after the last `restore`: codes in no chunk are free."""
        self._free = [code for code, module_id in enumerate(self.ids) if module_id is None]


_decode = decoder(ModulesChunk).decode
