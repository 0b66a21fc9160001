"""The modules a task knows: the places there are, who loses one and when, and what must be written down."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Limits, WindowConfig
from pipeline.modules.identifiers import hash_module, hash_module_version_1
from pipeline.modules.registry import NEVER_MS, OTHER, OTHER_CODE, Expired, Modules, old_hashes
from schemas.state import CHUNK_MODULES
from tests.support.core.cores import START_MS, Event, Run, batch_of, config_of, fixed
from tests.support.core.ingested import CLOCK_MS, counted, small
from tests.support.records.poison import AT_MS, raw

MODULE = b"checkout"
SIZES = (10, 20, 60)


def registry(most: int = 5, expiry_ms: int = 25) -> Modules:
    """Panes of 10 ms, larger windows of 20 and 60 ms."""
    sizes = tuple((f"{size}ms", size) for size in SIZES)
    return Modules(Limits(max_modules=most, module_expiry_ms=expiry_ms), WindowConfig(sizes=sizes))


def added(modules: Modules, *ids: str, at_ms: int = 0) -> list[int]:
    """The codes of new modules."""
    codes = [modules.add(module_id) for module_id in ids]
    for code in codes:
        modules.settled(code, at_ms)
    return codes


@pytest.mark.usefixtures("both_ways")
def test_a_silent_module_gives_its_place_to_a_new_one_once_no_window_holds_it() -> None:
    run = Run(replace(config_of((1, 8), 0, 2_000), limits=Limits(max_modules=1, module_expiry_ms=1_000)))
    names = {}
    for second in range(16):
        run.apply([Event("a" if second == 0 else "b", START_MS + second * 1_000)])
        run.cut(everything=True)
        names[second] = run.metrics[-1].module_id
    first = min(second for second, name in names.items() if name == "b")
    assert first >= 10, "not before its window of 8 s is sealed, 2 s after its end"
    assert [names[second] for second in range(1, 16)] == ["__other__"] * (first - 1) + ["b"] * (16 - first)
    finals = {(record.module_id, record.window) for record in run.metrics if record.status == "final"}
    assert ("a", "8s") in finals


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("what", ["future", "labels", "timestamp", "forwarded"])
def test_a_record_that_is_not_counted_takes_no_place_among_the_modules(what: str) -> None:
    run = Run(replace(small(), limits=Limits(max_modules=1)))
    name = '"nobody"'
    value = {
        "future": raw(AT_MS, module_id=name, timestamp=str(2 * AT_MS)),
        "labels": raw(AT_MS, ',"labels":{"' + "k" * 99 + '":""}', module_id=name),
        "timestamp": raw(AT_MS, module_id=name, timestamp='"yesterday"'),
        "forwarded": raw(AT_MS, module_id=name),
    }[what]
    run.core.apply(batch_of([value], [b"somebody" if what == "forwarded" else b"nobody"]), CLOCK_MS)
    run.core.apply(batch_of([raw(AT_MS)], [MODULE], first=1), CLOCK_MS)
    run.cut()
    assert run.ledger.applied == 1
    assert set(counted(run)) == {"checkout"}


def test_there_are_as_many_places_as_allowed_and_the_rest_is_counted_together() -> None:
    modules = registry(most=2)
    assert added(modules, "a", "b") == [1, 2]
    assert (modules.full, modules.room, modules.tracked) == (True, 0, 2)
    assert modules.add("c") == OTHER_CODE
    assert (modules.newest_overflow, "c" in modules.codes, modules.ids) == ("c", False, [OTHER, "a", "b"])


def test_a_limit_that_was_lowered_takes_no_module_away() -> None:
    modules = registry(most=1)
    for code, module_id in enumerate(("a", "b", "c"), 1):
        modules.ids.append(module_id)
        modules.place(code, module_id)
    modules.restored()
    assert (modules.tracked, modules.room, modules.full) == (3, 0, True)


def codes_of(expired: list[Expired]) -> list[int]:
    return [one.code for one in expired]


@pytest.mark.parametrize("restart", [False, True])
def test_the_lowest_free_code_goes_first_also_after_a_restart(restart: bool) -> None:
    modules = registry()
    added(modules, "a", "b", "c", "d")
    modules.seen(np.array([2, 4]), 1_000)
    assert codes_of(modules.expire(500)) == [1, 3]
    if restart:
        modules.restored()
    assert added(modules, "e", "f", "g", at_ms=500) == [1, 3, 5]
    assert modules.ids == [OTHER, "e", "b", "f", "d", "g"]


def test_a_module_that_gets_a_place_again_has_none_of_the_past_of_its_code() -> None:
    modules = registry()
    (code,) = added(modules, "a")
    modules.set_chains(1, np.array([code]), np.array([77]))
    for start in (0, 10, 20):
        modules.close_pane(start, np.array([0, 1]))
    modules.close_pane(30, None)
    assert modules.silence.closed.tolist() == [code]
    assert codes_of(modules.expire(10_000)) == [code]
    assert added(modules, "b", at_ms=10_000) == [code]
    assert (bool(modules.chains[:, code].any()), modules.silence.closed.size) == (False, 0)
    assert modules.hashes[code] == hash_module("b")
    assert (modules.codes, modules.keys) == ({OTHER: 0, "b": 1}, {OTHER.encode(): 0, b"b": 1})


def test_growing_keeps_what_is_known_and_says_that_columns_changed() -> None:
    modules = registry(most=500)
    added(modules, "a", at_ms=7)
    modules.set_chains(2, np.array([1]), np.array([5]))
    before, capacity = modules.generation, modules.capacity
    modules.reserve(4 * capacity)
    assert (
        modules.capacity == modules.chains.shape[1] == modules.silence.runs.size == modules.hashes.size == 4 * capacity
    )
    assert (modules.last_ms[1], modules.chains[2, 1], modules.hashes[1]) == (7, 5, hash_module("a"))
    assert modules.generation > before
    assert modules.known.nonzero()[0].tolist() == [0, 1]


def test_members_are_written_by_chunks_once_and_other_is_none_of_them() -> None:
    modules = registry(most=10 * CHUNK_MODULES)
    names = [f"m{number}" for number in range(1, CHUNK_MODULES + 2)]
    added(modules, *names)
    assert modules.drain_members() == [(0, names[: CHUNK_MODULES - 1]), (1, names[CHUNK_MODULES - 1 :])]
    assert modules.drain_members() == []
    modules.seen(np.array([CHUNK_MODULES]), 1_000)
    assert CHUNK_MODULES + 1 in codes_of(modules.expire(500))
    assert modules.drain_members() == [(0, []), (1, names[CHUNK_MODULES - 1 : CHUNK_MODULES])]


def test_hashes_of_version_1_are_made_for_codes_that_mean_a_module() -> None:
    modules = registry()
    added(modules, "a", "b")
    modules.seen(np.array([2]), 1_000)
    modules.expire(500)
    assert old_hashes(modules)[:4].tolist() == [hash_module_version_1(OTHER), 0, hash_module_version_1("b"), 0]


def is_due(last_ms: int, sealed_ms: int, expiry_ms: int) -> bool:
    """By the words of the class: more than the expiry ago, and every window of the newest pane is sealed."""
    ends = [end for size in SIZES for end in range(size, sealed_ms + 3 * size, size) if end - size < last_ms <= end]
    return sealed_ms - last_ms > expiry_ms and all(end <= sealed_ms for end in ends)


@fixed(200)
@given(
    st.integers(0, 90),
    st.lists(
        st.one_of(
            st.tuples(st.just("seal"), st.integers(1, 9)),
            st.tuples(st.sampled_from("abcdef"), st.integers(0, 4)),
        ),
        max_size=30,
    ),
    st.sampled_from([None, 1, 2]),
)
def test_a_module_expires_at_the_first_boundary_at_which_it_is_due_and_no_later_one_is_announced(
    expiry_ms: int, steps: list[tuple[str, int]], spared: int | None
) -> None:
    modules, last, sealed = registry(expiry_ms=expiry_ms), dict[str, int](), 10
    for what, number in steps:
        if what == "seal":
            for _ in range(number):
                sealed += 10
                due = {module for module, ms in last.items() if is_due(ms, sealed, expiry_ms)}
                assert modules.next_due_ms(sealed) <= sealed or not due
                held = None if spared is None or spared >= len(modules.ids) else modules.ids[spared]
                due -= {held} if held else set()
                names = dict(enumerate(modules.ids))
                assert {names[code] for code in codes_of(modules.expire(sealed, spared))} == due
                last = {module: ms for module, ms in last.items() if module not in due}
        elif what in last or not modules.full:
            if what not in last:
                added(modules, what, at_ms=sealed)
                last[what] = sealed
            pane_end = sealed + 10 * number
            modules.seen(np.array([modules.codes[what]]), pane_end)
            last[what] = max(last[what], pane_end)
    assert set(modules.codes) == {OTHER, *last}
    if not last:
        assert modules.next_due_ms(sealed) == NEVER_MS


@fixed(200)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 15)), min_size=1, max_size=12), st.integers(0, 60))
def test_who_comes_back_is_found_as_if_each_event_came_by_itself(events: list[tuple[int, int]], expiry_ms: int) -> None:
    modules = registry(expiry_ms=expiry_ms)
    added(modules, "a", "b")
    modules.add("new")  # no event of it was applied yet
    modules.seen(np.array([1]), 20)
    modules.seen(np.array([2]), 70)
    newest, back = {1: 20, 2: 70}, []
    for index, (code, pane) in enumerate(events):
        if code in newest and pane * 10 - newest[code] > expiry_ms:
            back.append(index)
        newest[code] = max(newest.get(code, 0), pane * 10)
    codes, ends = np.array(events, np.int64).T
    assert modules.returns(codes, ends * 10) == back
