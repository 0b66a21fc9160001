"""Duplicate suppression against a dictionary, record by record."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.arrays import U8
from pipeline.ingest.dedup import ABSENT, MIN_SLOTS, SLOT_BYTES, SPARE_PANES, Deduplicator, IdTable
from pipeline.native import Native, load_native
from tests.support.core.cores import fixed

pytestmark = pytest.mark.slow

PANE_MS = 10
Item = tuple[int, int, int]  # id, event time, stream time


@pytest.fixture(scope="module", autouse=True, params=["native", "python"])
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test with the compiled table (where it was built) and with numpy's."""
    _WAY.append(load_native() if request.param == "native" else None)
    yield
    _WAY.pop()


_WAY: list[Native | None] = []


def tables() -> Native | None:
    """What holds the ids in this test."""
    return _WAY[-1]


@dataclass
class DictModel:
    """What is remembered, one record at a time."""

    keep_ms: int
    quota: int
    panes: dict[int, int] = field(default_factory=dict)
    used: dict[int, int] = field(default_factory=dict)
    skipped: int = 0

    def is_duplicate(self, id_: int, pane_end: int, stream: int) -> bool:
        """Judge and remember one id."""
        known = self.panes.get(id_)
        if known is not None and known + self.keep_ms > stream:
            return True
        if self.used.get(pane_end, 0) < self.quota:
            self.used[pane_end] = self.used.get(pane_end, 0) + 1
            self.panes[id_] = pane_end
        else:
            self.skipped += 1
            self.panes.pop(id_, None)
        return False


def stream_of(draws: Sequence[tuple[int, int, int]], keep_ms: int) -> list[Item]:
    """Events that are not late, with the stream time at each."""
    items, stream = [], 0
    for id_, gap, lag in draws:
        time = max(stream + gap - lag, 0)
        stream = max(stream, time)
        if pane_end_of(time) + keep_ms > stream:
            items.append((id_ + 1, time, stream))
    return items


def pane_end_of(time: int) -> int:
    """End of the pane of a time."""
    return time // PANE_MS * PANE_MS + PANE_MS


def hashes(segment: bytes) -> U8:
    """The ids of a stored segment."""
    return np.frombuffer(segment, "<u8").astype(np.uint64)


def judge(dedup: Deduplicator, items: Sequence[Item]) -> list[bool]:
    """One batch."""
    ids = np.array([item[0] for item in items], np.uint64)
    ends = np.array([pane_end_of(item[1]) for item in items], np.int64)
    return [bool(d) for d in dedup.duplicates(ids, ends, np.array([item[2] for item in items], np.int64))]


def parts_of(items: Sequence[Item], rng: random.Random) -> list[Sequence[Item]]:
    """The items in batches of random sizes."""
    parts, rest = [], items
    while rest:
        size = rng.choice((1, 2, 3, 7, 50))
        parts.append(rest[:size])
        rest = rest[size:]
    return parts


def sealed(dedup: Deduplicator, stream: int, keep_ms: int) -> list[tuple[int, int]]:
    """Seal every pane that is due, as the windows do."""
    return [gone for end in range(PANE_MS, stream - keep_ms + 1, PANE_MS) for gone in dedup.seal(end)]


draws = st.lists(st.tuples(st.integers(0, 12), st.sampled_from([0, 0, 1, 4, 11, 40]), st.integers(0, 35)), max_size=80)


@fixed(200)
@given(draws, st.sampled_from([0, 5, 20, 60]), st.sampled_from([1, 2, 3, 1_000]), st.integers(0, 10**6))
def test_any_batches_give_the_answers_of_a_dictionary_asked_record_by_record(
    raw: list[tuple[int, int, int]], keep_ms: int, quota: int, seed: int
) -> None:
    rng = random.Random(seed)
    items = stream_of(raw, keep_ms)
    model = DictModel(keep_ms, quota)
    expected = [model.is_duplicate(id_, pane_end_of(time), stream) for id_, time, stream in items]
    dedup, found = Deduplicator(keep_ms, quota, tables()), []
    for part in parts_of(items, rng):
        found += judge(dedup, part)
        if rng.random() < 0.5:
            sealed(dedup, part[-1][2], keep_ms)
    assert found == expected
    assert dedup.skipped == model.skipped


@fixed(100)
@given(draws, st.sampled_from([0, 5, 20, 60]), st.integers(0, 10**6))
def test_a_restart_from_the_segments_in_any_order_changes_no_answer(
    raw: list[tuple[int, int, int]], keep_ms: int, seed: int
) -> None:
    rng = random.Random(seed)
    items = stream_of(raw, keep_ms)
    model = DictModel(keep_ms, 1_000)
    expected = [model.is_duplicate(id_, pane_end_of(time), stream) for id_, time, stream in items]
    dedup, found, sequence = Deduplicator(keep_ms, 1_000, tables()), [], 0
    log: dict[tuple[int, int], bytes] = {}
    for part in parts_of(items, rng):
        found += judge(dedup, part)
        stream = part[-1][2]
        for gone in sealed(dedup, stream, keep_ms):
            del log[gone]
        for pane_end, number, ids, _ in dedup.drain(sequence):
            assert number == sequence
            assert (pane_end, number) not in log
            log[pane_end, number] = ids
            sequence += 1
        assert dedup.drain(sequence) == []
        assert all(pane_end + keep_ms > stream for pane_end, _ in log), "the changelog forgets sealed panes"
        if rng.random() < 0.5:
            dedup = Deduplicator(keep_ms, 1_000, tables())
            keys = sorted(log)
            rng.shuffle(keys)
            for key in keys:
                dedup.restore(key, key[0], hashes(log[key]))
    assert found == expected


def test_a_quota_is_taken_up_again_after_a_restart() -> None:
    first = Deduplicator(100, 2, tables())
    assert judge(first, [(1, 0, 0), (2, 1, 1), (3, 2, 2)]) == [False] * 3
    ((pane_end, sequence, ids, _),) = first.drain(9)
    second = Deduplicator(100, 2, tables())
    second.restore((pane_end, sequence), pane_end, hashes(ids))
    assert judge(second, [(1, 0, 2), (2, 0, 2), (3, 0, 2), (4, 0, 2)]) == [True, True, False, False]
    assert (second.skipped, second.remembered) == (2, 2)
    assert second.drain(10) == []
    assert second.seal(PANE_MS) == [(PANE_MS, 9)]


def test_an_id_beyond_the_quota_is_counted_each_time_also_within_one_batch() -> None:
    items = [(1, 0, 0), (2, 1, 1), (2, 2, 2)]
    together, apart = Deduplicator(100, 1, tables()), Deduplicator(100, 1, tables())
    one_by_one = [judge(apart, [item])[0] for item in items]
    assert one_by_one == [False, False, False]
    assert judge(together, items) == one_by_one


def test_an_id_comes_new_exactly_when_stream_time_reaches_the_end_of_its_pane_plus_the_time_kept() -> None:
    for stream, duplicate in ((29, True), (30, False), (31, False)):
        for together in (True, False):
            dedup = Deduplicator(20, 100, tables())
            items = [(7, 3, 3), (7, stream, stream)]
            answers = judge(dedup, items) if together else [judge(dedup, [item])[0] for item in items]
            assert answers == [False, duplicate]


def test_memory_is_given_back_when_panes_are_sealed() -> None:
    dedup, ids = Deduplicator(0, 10**6, tables()), iter(range(1, 10**6))
    largest = 0
    for pane in range(40):
        time = pane * PANE_MS
        judge(dedup, [(next(ids) * 0x9E3779B97F4A7C15 % 2**64 or 1, time, time) for _ in range(3_000)])
        largest = max(largest, dedup.remembered)
        dedup.seal(time)
    assert largest <= 9_000
    dedup.seal(10**9)
    assert dedup.remembered == 0
    assert dedup.nbytes == MIN_SLOTS * SLOT_BYTES


def test_the_panes_that_the_table_names_are_bounded_by_the_open_ones_however_ids_come_again() -> None:
    """Each id comes again a little after it was forgotten, so nearly all ids in the table are live at any time."""
    keep_ms, open_panes, most = 30, 5, 0
    dedup = Deduplicator(keep_ms, 1_000, tables())
    for pane in range(600):
        time = pane * PANE_MS
        judge(dedup, [((3 * pane + k) % 21 + 1, time, time) for k in range(3)])
        sealed_through = time - keep_ms
        dedup.seal(sealed_through - sealed_through % PANE_MS)
        most = max(most, dedup.panes)
    assert most <= 2 * open_panes + SPARE_PANES + 1
    assert [judge(dedup, [(k + 1, time, time)]) for k in range(21)].count([True]) == 12, "those of four panes"


@pytest.mark.parametrize("seed", range(2))
def test_the_table_equals_a_dictionary_also_where_slots_collide(seed: int) -> None:
    rng = random.Random(seed)
    table, model = IdTable(tables()), dict[int, int]()
    # Many ids share their low bits, so they want the same slot whatever the size of the table.
    pool = [rng.choice((5, 6, 2**64 - 1)) % 2**16 + (rng.getrandbits(40) << 24) for _ in range(1_500)]
    pool = sorted({id_ % 2**64 or 1 for id_ in pool})
    for step in range(40):
        chosen = rng.sample(pool, rng.randrange(1, 120))
        panes = [rng.randrange(1, 100) for _ in chosen]
        for id_, pane in zip(chosen, panes, strict=True):
            model[id_] = pane
        for pane in set(panes):
            table.insert(np.array([id_ for id_ in chosen if model[id_] == pane], np.uint64), pane)
        if step % 20 == 19:
            limit = rng.randrange(30, 60)
            table.forget_through(limit)
            model = {id_: pane for id_, pane in model.items() if pane > limit}
        assert table.size == len(model)
    found = table.lookup(np.array(pool, np.uint64))[0].tolist()
    assert found == [model.get(id_, ABSENT) for id_ in pool]
    assert table.lookup(np.empty(0, np.uint64))[0].size == 0


def test_ids_that_version_1_stored_are_found_under_their_old_hash_until_their_pane_is_sealed() -> None:
    keep_ms, new, old = 20, np.array([7], np.uint64), np.array([1_007], np.uint64)
    dedup = Deduplicator(keep_ms, 100, tables())
    dedup.restore((PANE_MS, 0), PANE_MS, old, old=True)
    ends = np.array([2 * PANE_MS], np.int64)
    for stream, duplicate in ((29, True), (30, False), (30, True)):
        assert dedup.wants_old_ids
        found = dedup.duplicates(new, ends, np.array([stream], np.int64), old)
        assert found.tolist() == [duplicate], "the last time under the new hash"
    assert [ids for _, _, ids, _ in dedup.drain(1)] == [new.tobytes()]
    assert dedup.seal(PANE_MS) == [(PANE_MS, 0)]
    assert not dedup.wants_old_ids
