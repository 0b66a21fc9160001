"""The modules a task knows: id <-> code, at most `max_modules` of them, the rest counted as `__other__`."""

import heapq
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import I8, U8
from pipeline.config import Limits, WindowConfig
from pipeline.modules.identifiers import hash_module, hash_module_version_1
from pipeline.modules.silence import Silence
from schemas.state import CHUNK_MODULES

OTHER = "__other__"
OTHER_KEY = OTHER.encode()
OTHER_CODE = 0
_FIRST_CAPACITY = 64
NEVER_MS = (1 << 63) - 1
# In `last_ms`: no event of the module was applied yet.
UNSEEN_MS = 0


class Expired(NamedTuple):
    """A module that was forgotten.

    Attributes:
        code: the one it had.
        due_ms: the event time at which it was due.
        stated: whether a `health-status` record speaks of it.
    """

    code: int
    module_id: str
    due_ms: int
    stated: bool


class Modules:
    """The registry. Codes are small, dense and stable across restarts; code 0 is `__other__`.

    A module is due to expire when what is sealed has passed its newest pane by more than the expiry, and every window that
    holds an event of it is sealed. Both follow from the end of its newest pane, so who is due is a function of event times.

    Attributes:
        ids: module id by code, None where the code is free.
        codes: code by module id.
        keys: code by record key (the id's UTF-8 bytes).
        hashes: 64-bit hash by code.
        last_ms: end of the newest pane each module was seen in; at first, up to when panes were sealed when it was registered.
        chains: packed hysteresis state, shape (sizes, capacity).
        silence: which modules have fallen silent.
        stated: what the newest `health-status` record says, see `publish.statuses`; 0 where there is none.
        overflowed: events counted under `__other__` because the registry was full.
        generation: changes whenever a code gets a module.
        newest_overflow: one of the ids turned away, for the warning.
        dirty: chunks to write to the changelog.
    """

    def __init__(self, limits: Limits, windows: WindowConfig) -> None:
        self._max_modules = limits.max_modules
        self._expiry_ms = limits.module_expiry_ms
        self._sizes_ms = [size for _, size in windows.sizes]
        self.ids: list[str | None] = [OTHER]
        self.codes: dict[str, int] = {OTHER: OTHER_CODE}
        self.keys: dict[bytes | None, int] = {OTHER.encode(): OTHER_CODE}
        self.hashes: U8 = np.zeros(_FIRST_CAPACITY, np.uint64)
        self.hashes[OTHER_CODE] = hash_module(OTHER)
        self.last_ms: I8 = np.zeros(_FIRST_CAPACITY, np.int64)
        self.chains: I8 = np.zeros((len(windows.sizes), _FIRST_CAPACITY), np.int64)
        self.silence = Silence(_FIRST_CAPACITY)
        self.stated: NDArray[np.uint8] = np.zeros(_FIRST_CAPACITY, np.uint8)
        self._free: list[int] = []  # a heap: the lowest goes first, after a restart too
        self._next_due_ms: int | None = None  # None: to be looked for. Else no module is due before.
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
        return not self.room

    @property
    def room(self) -> int:
        """How many new modules would get a code of their own."""
        return max(self._max_modules - self.tracked, 0)

    @property
    def silent(self) -> int:
        """How many modules have fallen silent and sent nothing since."""
        return self.silence.count(self.last_ms)

    @property
    def known(self) -> NDArray[np.bool_]:
        """By code, whether a module has it."""
        known = np.zeros(self.capacity, np.bool_)
        known[: len(self.ids)] = [module_id is not None for module_id in self.ids]
        return known

    def add(self, module_id: str) -> int:
        """Give a new module a code, or `OTHER_CODE` when the registry is full; `settled` must follow."""
        if self.full:
            self.newest_overflow = module_id
            return OTHER_CODE
        if self._free:
            code = heapq.heappop(self._free)
            self.ids[code] = module_id
        else:
            code = len(self.ids)
            self.ids.append(module_id)
        self.place(code, module_id)
        self.dirty.add(code // CHUNK_MODULES)
        self.changed_members.add(code // CHUNK_MODULES)
        return code

    def settled(self, code: int, sealed_through_ms: int) -> None:
        """Note that the events that brought a new module were applied or refused.

        Args:
            code: of the module.
            sealed_through_ms: up to when panes were sealed before its first record. A module whose events were all late is kept
                as long as one that was seen then.
        """
        if self.last_ms[code] == UNSEEN_MS:
            self.last_ms[code] = sealed_through_ms
        if self._next_due_ms is not None:
            self._next_due_ms = min(self._next_due_ms, int(self._due_ms(self.last_ms[code : code + 1])[0]))

    def place(self, code: int, module_id: str) -> None:
        """Let a code mean a module; the caller has put the id into `ids`."""
        self.reserve(code + 1)
        self.codes[module_id] = code
        self.keys[module_id.encode()] = code
        self.hashes[code] = hash_module(module_id)
        self.generation += 1

    def reserve(self, columns: int) -> None:
        """Make room for so many codes."""
        while columns > self.capacity:
            self.hashes = np.concatenate((self.hashes, np.zeros_like(self.hashes)))
            self.last_ms = np.concatenate((self.last_ms, np.zeros_like(self.last_ms)))
            self.chains = np.concatenate((self.chains, np.zeros_like(self.chains)), axis=1)
            self.stated = np.concatenate((self.stated, np.zeros_like(self.stated)))
            self.silence.grow(self.capacity)
            self.generation += 1

    def seen(self, codes: I8, pane_end_ms: int) -> None:
        """Note that these modules had events in a pane."""
        newer = codes[self.last_ms[codes] < pane_end_ms]
        if newer.size:
            self.last_ms[newer] = pane_end_ms
            self.dirty.update(np.unique(newer // CHUNK_MODULES).tolist())

    def returns(self, codes: I8, pane_ends: I8) -> list[int]:
        """Which of some events, in offset order, bring a module back that was away for longer than the expiry.

        Whether the module really expired in between is of no account: its class is judged afresh from that event on.

        Returns:
            Indices into the events, rising.
        """
        last_ms = self.last_ms[codes]
        seen = last_ms != UNSEEN_MS
        away = seen & (pane_ends - last_ms > self._expiry_ms)
        if not seen.all() and int(pane_ends.max()) - int(pane_ends.min()) > self._expiry_ms:
            away |= ~seen
        if not away.any():
            return []
        newest: dict[int, int] = {}
        back = []
        for index in np.flatnonzero(np.isin(codes, codes[away])).tolist():
            code, pane_end = int(codes[index]), int(pane_ends[index])
            before = newest.get(code, int(self.last_ms[code]))
            if before != UNSEEN_MS and pane_end - before > self._expiry_ms:
                back.append(index)
            newest[code] = max(before, pane_end)
        return back

    def judge_afresh(self, codes: I8) -> None:
        """Forget the classes of modules."""
        self.chains[:, codes] = 0
        self.dirty.update(np.unique(codes // CHUNK_MODULES).tolist())

    def set_chains(self, level: int, codes: I8, states: I8) -> None:
        """Store hysteresis states after a final window."""
        changed = codes[self.chains[level, codes] != states]
        self.chains[level, codes] = states
        self.dirty.update(np.unique(changed // CHUNK_MODULES).tolist())

    def state(self, codes: I8, status: int) -> None:
        """Note what the newest `health-status` record of modules says."""
        self.stated[codes] = status
        self.dirty.update(np.unique(codes // CHUNK_MODULES).tolist())

    def close_pane(self, start_ms: int, counts: I8 | None) -> None:
        """Note at the close of a base window who had events in it; see `Silence`.

        Args:
            start_ms: of the window.
            counts: requests by code; None where nobody had any.
        """
        changed = self.silence.close_pane(start_ms, counts, len(self.ids))
        self.dirty.update(np.unique(changed // CHUNK_MODULES).tolist())

    def correct_pane(self, codes: I8, pane_end_ms: int) -> None:
        """Note events that came after the close of their base window."""
        changed = self.silence.correct_pane(codes, pane_end_ms)
        self.dirty.update(np.unique(changed // CHUNK_MODULES).tolist())

    def _due_ms(self, last_ms: I8) -> I8:
        """The sealed base boundary at which modules are due, from the ends of their newest panes."""
        base_ms = self._sizes_ms[0]
        due = ((last_ms + self._expiry_ms) // base_ms + 1) * base_ms
        for size in self._sizes_ms:
            np.maximum(due, -(-last_ms // size) * size, out=due)
        return due

    def due_ms(self, last_ms: int) -> int:
        """A sealed base boundary before which no module is due whose newest pane ends then or later."""
        base_ms = self._sizes_ms[0]
        return ((last_ms + self._expiry_ms) // base_ms + 1) * base_ms

    def next_due_ms(self, through_ms: int) -> int:
        """A sealed base boundary before which no module is due; exact where it is not after `through_ms`."""
        if self._next_due_ms is None or self._next_due_ms <= through_ms:
            codes = np.flatnonzero(self.known)[1:]
            self._next_due_ms = int(self._due_ms(self.last_ms[codes]).min()) if codes.size else NEVER_MS
        return self._next_due_ms

    def expire(self, sealed_through_ms: int, spared: int | None = None) -> list[Expired]:
        """Free the codes of the modules that are due, and answer which.

        Args:
            sealed_through_ms: the base boundary up to which panes are sealed.
            spared: the code of the module whose event moves stream time.
        """
        if self.next_due_ms(sealed_through_ms) > sealed_through_ms:
            return []
        due_ms = self._due_ms(self.last_ms)
        due = self.known & (due_ms <= sealed_through_ms)
        due[OTHER_CODE] = False
        if spared is not None:
            due[spared] = False
        expired: list[Expired] = []
        gone: list[int] = np.flatnonzero(due).tolist()
        for code in gone:
            module_id = self.ids[code]
            assert module_id is not None
            del self.codes[module_id], self.keys[module_id.encode()]
            self.ids[code] = None
            heapq.heappush(self._free, code)
            expired.append(Expired(code, module_id, int(due_ms[code]), bool(self.stated[code])))
            self.dirty.add(code // CHUNK_MODULES)
            self.changed_members.add(code // CHUNK_MODULES)
        self.last_ms[gone] = 0
        self.chains[:, gone] = 0
        self.stated[gone] = 0
        self.silence.forget(gone)
        self._next_due_ms = None
        return expired

    def drain_members(self) -> list[tuple[int, list[str]]]:
        """(chunk, ids) of every chunk in which a module appeared or expired since the last drain."""
        chunks = sorted(self.changed_members)
        self.changed_members.clear()
        slices = (self.ids[max(chunk * CHUNK_MODULES, 1) : (chunk + 1) * CHUNK_MODULES] for chunk in chunks)
        return [(chunk, [i for i in ids if i is not None]) for chunk, ids in zip(chunks, slices, strict=True)]

    def restored(self) -> None:
        """Call once after every module was placed: codes of no module are free."""
        self._free = [code for code, module_id in enumerate(self.ids) if module_id is None]
        self._next_due_ms = None


def old_hashes(modules: Modules) -> U8:
    """The hash by code that version 1 had; made anew at each call, for it is wanted only after an upgrade."""
    hashes = np.zeros(modules.capacity, np.uint64)
    hashes[: len(modules.ids)] = [0 if i is None else hash_module_version_1(i) for i in modules.ids]
    return hashes
