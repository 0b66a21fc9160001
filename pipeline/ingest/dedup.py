"""Duplicate suppression: which event ids were applied in panes that can still change.

An id is remembered until its pane is sealed (pane end + grace + corrections <= stream time). Whether that is so is decided
record by record from the remembered pane, so neither the split into batches nor the moment of cleaning up ever shows.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import I8, U8, Codes
from pipeline.native import Native

MIN_SLOTS = 1 << 10
# An id and the code of its pane.
SLOT_BYTES = 12
ABSENT = -1
NO_PANE = -1
# The pane end that a stored segment is filed under, and its number.
Segment = tuple[int, int]
# Sealed panes whose codes may stay in the table before it is made anew.
SPARE_PANES = 16
# Linear probing with well-mixed hashes takes about two looks for a hit here, and six for a miss.
MAX_LOAD = 0.7


class IdTable:
    """An open-addressing hash table in two arrays: id -> code of its pane. All operations take whole batches.

    A pane is named by its end (ms); the table holds a code of 4 bytes instead. The compiled part, where it is given, works on
    the same arrays.
    """

    __slots__ = ("_code_of", "_codes", "_ids", "_native", "_panes", "size")

    def __init__(self, native: Native | None = None) -> None:
        self._native = native
        self.size = 0
        self._code_of: dict[int, int] = {}  # by pane end, in the order of the codes
        self._panes: I8 | None = None  # pane ends by code, once they are asked for
        self._ids, self._codes = _slots(MIN_SLOTS)

    @property
    def nbytes(self) -> int:
        """Memory held, bytes."""
        return self._ids.nbytes + self._codes.nbytes

    @property
    def panes(self) -> int:
        """How many panes have a code."""
        return len(self._code_of)

    def reserve(self, more: int) -> None:
        """Make room for so many more ids."""
        slots = self._ids.size
        while self.size + more > slots * MAX_LOAD:
            slots *= 2
        if slots == self._ids.size:
            return
        old = self._ids, self._codes
        self._ids, self._codes = _slots(slots)
        if self._native is not None:
            self._native.move_ids(old, (self._ids, self._codes))
        else:
            used = old[0] != 0
            self.size = 0
            self._put(old[0][used], old[1][used], None)

    def lookup(self, ids: U8) -> tuple[I8, I8 | None]:
        """The pane end of each id (or `ABSENT`), and the slot where to begin looking for its place.

        The compiled part looks for the place by itself: no slots.
        """
        if self._native is not None:
            return self._native.look_up((self._ids, self._codes), self._pane_ends(), ids), None
        return self._lookup(ids)

    def _lookup(self, ids: U8) -> tuple[I8, I8]:
        found = np.full(ids.size, ABSENT, np.int64)
        mask = self._ids.size - 1
        slots = (ids & np.uint64(mask)).astype(np.int64)
        there = self._ids[slots]
        hit = there == ids
        onward = np.flatnonzero(~hit & (there != 0))
        while onward.size:
            slots[onward] = (slots[onward] + 1) & mask
            there = self._ids[slots[onward]]
            same = there == ids[onward]
            hit[onward] = same
            onward = onward[~same & (there != 0)]
        found[hit] = self._pane_ends()[self._codes[slots[hit]]]
        return found, slots

    def insert(self, ids: U8, pane_end: int, slots: I8 | None = None) -> None:
        """Remember ids (unique within the call) of a pane; one that is there already gets the new pane.

        Args:
            ids: hashes.
            pane_end: ms.
            slots: those `lookup` gave; nothing was reserved since.
        """
        if slots is None:
            self.reserve(ids.size)
        self._put(ids, np.full(ids.size, self._code(pane_end), np.uint32), slots)

    def _put(self, ids: U8, codes: Codes, slots: I8 | None) -> None:
        if self._native is not None:
            self.size += self._native.insert((self._ids, self._codes), ids, codes)
            return
        if slots is None:
            slots = self._lookup(ids)[1]
        mask = self._ids.size - 1
        while ids.size:
            there = self._ids[slots]
            free = there == 0
            self._ids[slots[free]] = ids[free]
            # Of several that took the same free slot the last one holds it; the others look on.
            mine = self._ids[slots] == ids
            self._codes[slots[mine]] = codes[mine]
            self.size += int(np.count_nonzero(free & mine))
            ids, codes, slots = ids[~mine], codes[~mine], (slots[~mine] + 1) & mask

    def _code(self, pane_end: int) -> int:
        code = self._code_of.get(pane_end)
        if code is None:
            code = self._code_of[pane_end] = len(self._code_of)
            self._panes = None
        return code

    def _pane_ends(self) -> I8:
        if self._panes is None:
            self._panes = np.array(list(self._code_of), np.int64)
        return self._panes

    def by_pane(self) -> list[tuple[int, U8]]:
        """The ids of each pane, by its end; panes that are sealed may be among them."""
        used = self._ids != 0
        ids, codes = self._ids[used], self._codes[used]
        return [(pane_end, ids[codes == code]) for pane_end, code in self._code_of.items()]

    def forget_through(self, pane_end_ms: int) -> None:
        """Drop every id whose pane ends at or before this time."""
        if not self.size:
            return
        kept = self._pane_ends() > pane_end_ms
        keep = (self._ids != 0) & kept[self._codes]
        ids, codes = self._ids[keep], (np.cumsum(kept) - 1).astype(np.uint32)[self._codes[keep]]
        self._panes = self._pane_ends()[kept]
        self._code_of = {pane_end: code for code, pane_end in enumerate(self._panes.tolist())}
        slots = MIN_SLOTS
        while slots * MAX_LOAD < ids.size * 1.5:
            slots *= 2
        self._ids, self._codes = _slots(slots)
        self.size = 0
        self._put(ids, codes, None)


def _slots(count: int) -> tuple[U8, Codes]:
    return np.zeros(count, np.uint64), np.zeros(count, np.uint32)


class Deduplicator:
    """Finds duplicates and keeps what must survive a crash.

    Segments that version 1 stored hold other hashes of the same pairs. While a pane of theirs is not sealed, `wants_old_ids` is
    true and events are looked up under both hashes; only the new one is stored.

    Attributes:
        skipped: ids not remembered because their pane had `max_ids_per_pane` already.
    """

    def __init__(self, keep_ms: int, max_ids_per_pane: int, native: Native | None = None) -> None:
        self._keep_ms = keep_ms
        self._max_ids_per_pane = max_ids_per_pane
        self._table = IdTable(native)
        self._per_pane: dict[int, int] = {}
        self._fresh: dict[int, list[U8]] = {}
        self._segments: dict[int, list[Segment]] = {}
        self._old_through_ms = NO_PANE
        self._old_adopted: set[int] = set()
        self.skipped = 0

    @property
    def remembered(self) -> int:
        """How many ids are held."""
        return self._table.size

    @property
    def wants_old_ids(self) -> bool:
        """Whether ids are remembered under the hashes of version 1."""
        return self._old_through_ms != NO_PANE

    @property
    def nbytes(self) -> int:
        """Memory of the table, bytes."""
        return self._table.nbytes

    @property
    def panes(self) -> int:
        """How many panes the table names; bounded by twice the open ones and `SPARE_PANES`."""
        return self._table.panes

    def duplicates(self, ids: U8, pane_ends: I8, streams: I8, old_ids: U8 | None = None) -> NDArray[np.bool_]:
        """Mark the duplicates among events in offset order, and remember the ids of the others.

        Args:
            ids: hashes, as `mix_ids` gives them.
            pane_ends: end of each event's pane, ms.
            streams: stream time at each event, ms, never falling.
            old_ids: the hashes of version 1, while `wants_old_ids`.
        """
        self._table.reserve(ids.size)
        known, slots = self._table.lookup(ids)
        if old_ids is not None:
            known = np.maximum(known, self._table.lookup(old_ids)[0])
        duplicate: NDArray[np.bool_] = (known != ABSENT) & (known + self._keep_ms > streams)
        ordered = np.sort(ids)
        repeated = ordered[1:][ordered[1:] == ordered[:-1]]
        one_by_one = np.isin(ids, repeated) if repeated.size else np.zeros(ids.size, np.bool_)
        unremembered = np.zeros(ids.size, np.bool_)
        if max(self._per_pane.values(), default=0) + ids.size > self._max_ids_per_pane:
            panes, pane_of, counts = np.unique(pane_ends, return_inverse=True, return_counts=True)
            places = self._max_ids_per_pane - np.array(
                [self._per_pane.get(pane, 0) for pane in panes.tolist()], np.int64
            )
            # A pane that is full already remembers nothing more; which ids are the last to find a place in one that is nearly
            # full depends on their order.
            one_by_one |= ((counts > places) & (places > 0))[pane_of]
            unremembered = (places <= 0)[pane_of] & ~(duplicate | one_by_one)
            self.skipped += int(np.count_nonzero(unremembered))
        fresh = np.flatnonzero(~(duplicate | one_by_one | unremembered))
        ends = pane_ends[fresh]
        for pane_end in np.unique(ends).tolist():
            of_pane = fresh[ends == pane_end]
            self._note(ids[of_pane], pane_end)
            self._table.insert(ids[of_pane], pane_end, None if slots is None else slots[of_pane])
        if one_by_one.any():
            self._one_by_one(ids, pane_ends, streams, known, duplicate, np.flatnonzero(one_by_one))
        return duplicate

    def _one_by_one(
        self, ids: U8, pane_ends: I8, streams: I8, known: I8, duplicate: NDArray[np.bool_], chosen: I8
    ) -> None:
        """Judge the chosen events in order, as if each came in a batch of its own; few need it."""
        latest: dict[int, int] = {}
        taken: dict[int, int] = {}
        for index in chosen.tolist():
            id_, pane_end = int(ids[index]), int(pane_ends[index])
            before = latest.get(id_, int(known[index]))
            duplicate[index] = before != ABSENT and before + self._keep_ms > int(streams[index])
            if duplicate[index]:
                continue
            count = taken.get(pane_end, 0) + 1
            if self._per_pane.get(pane_end, 0) + count > self._max_ids_per_pane:
                self.skipped += 1
            else:
                taken[pane_end] = count
                latest[id_] = pane_end
        by_pane: dict[int, list[int]] = {}
        for id_, pane_end in latest.items():
            by_pane.setdefault(pane_end, []).append(id_)
        for pane_end, remembered in by_pane.items():
            self._remember(np.array(remembered, np.uint64), pane_end)
            # An id accepted again, its first pane being sealed, has used up a place there too.
            self._per_pane[pane_end] += taken.pop(pane_end) - len(remembered)
        for pane_end, count in taken.items():
            self._per_pane[pane_end] = self._per_pane.get(pane_end, 0) + count

    def _remember(self, ids: U8, pane_end: int) -> None:
        self._note(ids, pane_end)
        self._table.insert(ids, pane_end)

    def _note(self, ids: U8, pane_end: int) -> None:
        self._per_pane[pane_end] = self._per_pane.get(pane_end, 0) + ids.size
        self._fresh.setdefault(pane_end, []).append(ids)

    def seal(self, pane_end_ms: int) -> list[Segment]:
        """Forget the ids of panes that end at or before this time.

        Returns:
            Each stored segment that is to be deleted.
        """
        gone = [pane for pane in self._per_pane if pane <= pane_end_ms]
        if not gone:
            return []
        if self._old_through_ms <= pane_end_ms:
            self._old_through_ms = NO_PANE
        for pane in gone:
            del self._per_pane[pane]
            self._fresh.pop(pane, None)
            self._old_adopted.discard(pane)
        # Ids that come again and again keep the table full of live ids while the panes they were in before pile up.
        crowded = self._table.panes > 2 * len(self._per_pane) + SPARE_PANES
        if crowded or sum(self._per_pane.values()) * 2 < self._table.size:
            self._table.forget_through(pane_end_ms)
        return [segment for pane in gone for segment in self._segments.pop(pane, [])]

    def drain(self, sequence: int) -> list[tuple[int, int, bytes, bool]]:
        """The ids remembered since the last drain, for the changelog.

        Returns:
            Pane end, sequence, little-endian uint64 ids, and whether hashes of version 1 may be among them.
        """
        segments = []
        for pane_end, arrays in sorted(self._fresh.items()):
            ids = np.sort(np.concatenate(arrays)).astype("<u8").tobytes()
            segments.append((pane_end, sequence, ids, pane_end in self._old_adopted))
            self._segments.setdefault(pane_end, []).append((pane_end, sequence))
            sequence += 1
        self._fresh.clear()
        self._old_adopted.clear()
        return segments

    @property
    def stored(self) -> list[Segment]:
        """Every segment that the changelog holds."""
        return [segment for segments in self._segments.values() for segment in segments]

    def adopt(self, others: Sequence["Deduplicator"], sealed_ms: int) -> None:
        """Remember all that other tasks remember; the ids are as good as new, so they are stored here.

        Which module an id is of cannot be told from its hash, so ids of modules that are not here are held too, until their panes
        are sealed. They take up places of `max_ids_per_pane`.

        Args:
            others: of tasks whose stream time is that of this one.
            sealed_ms: panes that end by then are sealed.
        """
        panes: dict[int, list[U8]] = {}
        for other in others:
            for pane_end, ids in other._table.by_pane():
                if pane_end > sealed_ms and ids.size:
                    panes.setdefault(pane_end, []).append(ids)
                    if pane_end <= other._old_through_ms:
                        self._old_adopted.add(pane_end)
                        self._old_through_ms = max(self._old_through_ms, pane_end)
        # Of an id that is known in two panes the newer one counts.
        for pane_end, arrays in sorted(panes.items()):
            self._remember(np.unique(np.concatenate(arrays)), pane_end)

    def restore(self, segment: Segment, pane_end_ms: int, ids: U8, *, old: bool = False) -> None:
        """Take a stored segment back in.

        Args:
            segment: what it was stored as.
            pane_end_ms: end of the pane that its events are in today; the base window may have got another size.
            ids: its hashes.
            old: they are those of version 1.
        """
        array = np.unique(ids)
        self._table.insert(array, pane_end_ms)
        self._per_pane[pane_end_ms] = self._per_pane.get(pane_end_ms, 0) + array.size
        self._segments.setdefault(pane_end_ms, []).append(segment)
        if old:
            self._old_through_ms = max(self._old_through_ms, pane_end_ms)
