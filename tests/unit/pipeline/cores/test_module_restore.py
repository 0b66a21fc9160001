"""A module task from its changelog: the order of the records is of no account, and what contradicts itself is refused."""

from typing import Any

import msgspec
import numpy as np
import pytest

from pipeline.cores.module_core import ModuleCore
from schemas.errors import StateIncompatible
from schemas.state import POSITION_KEY, IdSegment, pack, pack_position, unpack_position
from tests.support.core.cores import START_MS, Event, Run, config_of, finals_of

CONFIG = config_of((2, 4), 1_000, 60_000)


def run_of_all_kinds() -> Run:
    """A task with windows, modules and event ids in its changelog."""
    run = Run(CONFIG)
    run.apply([Event(f"m{n}", START_MS + 40 * n, event_id=str(n)) for n in range(100)])
    run.cut(everything=True)
    return run


STATE = run_of_all_kinds().log
IDS = next(key for key in sorted(STATE) if key.startswith(b"ids|"))
PANE_END, SEQUENCE = (int(part) for part in IDS.split(b"|")[1:])


def refusal(state: dict[bytes, bytes], *, partitions: int = 1) -> str:
    with pytest.raises(StateIncompatible) as refused:
        ModuleCore(CONFIG, partitions=partitions).restore(state)
    assert "application_id" in str(refused.value)
    return str(refused.value)


def with_position(**changes: Any) -> dict[bytes, bytes]:
    position = msgspec.structs.replace(unpack_position(STATE[POSITION_KEY]), **changes)
    return STATE | {POSITION_KEY: pack_position(position)}


def test_the_records_are_taken_out_of_the_state_as_they_are_read() -> None:
    state = dict(STATE)
    core = ModuleCore(CONFIG)
    core.restore(state)
    assert (state, core.resized, core.modules.tracked) == ({}, None, 100)


def test_a_task_without_any_state_begins_anew() -> None:
    core = ModuleCore(CONFIG)
    core.restore({})
    assert (core.stream_ms, core.open_windows, core.offsets) == (None, 0, {})


def test_the_first_cut_after_a_restart_has_nothing_to_write_but_where_it_is() -> None:
    run = run_of_all_kinds()
    run.restart()
    run.cut(everything=True)
    assert run.cuts[-1].state == []
    assert run.cuts[-1].outbox.emitted == []
    assert run.cuts[-1].position == run.cuts[-2].position


def test_the_state_of_another_number_of_partitions_is_refused_with_the_command_that_helps() -> None:
    found = refusal(dict(STATE), partitions=3)
    assert "the input had 1 partitions when the state was made and has 3 now;" in found
    assert "run `modpulse state repartition`" in found


def test_a_record_that_this_build_does_not_know_is_named() -> None:
    found = refusal(STATE | {b"mystery|" + b"x" * 90: b""})
    assert repr((b"mystery|" + b"x" * 90)[:60]) in found
    assert "go back to the build that wrote it" in found


def test_windows_that_know_more_modules_than_the_registry_or_fewer_requests_than_were_published_are_refused() -> None:
    assert "no module is known in chunk 1" in refusal({k: v for k, v in STATE.items() if k != b"modules|1"})
    found = refusal(
        {k: v for k, v in STATE.items() if not k.startswith(b"modules|")} | {b"modules|1": STATE[b"modules|1"]}
    )
    assert "contradict each other (the window of 2000 ms from" in found
    assert "holds unknown modules" in found
    found = refusal({k: v for k, v in STATE.items() if not k.startswith(b"sums|")})
    assert "misses requests that its records counted" in found


@pytest.mark.parametrize(
    ("key", "ids", "why"),
    [
        (f"ids|{PANE_END}|{SEQUENCE}", [1, 0], "no hash is 0"),
        (f"ids|{PANE_END}|0{SEQUENCE}", [1], "its key is not one that a segment has"),
        (f"ids|{PANE_END}|999", [1], "its key is not one that a segment has"),
        (f"ids|{PANE_END}|-1", [1], "its key is not one that a segment has"),
        (f"ids|0|{SEQUENCE}", [1], "its key is not one that a segment has"),
        (f"ids|{PANE_END}", [1], "not enough values to unpack"),
        (f"ids|x|{SEQUENCE}", [1], "invalid literal for int"),
    ],
)
def test_a_segment_of_ids_that_no_task_wrote_is_refused_by_its_key(key: str, ids: list[int], why: str) -> None:
    segment = IdSegment(2, np.array(ids, "<u8").tobytes())
    found = refusal(STATE | {key.encode(): pack(key.encode(), segment)})
    assert f"{key!r} is damaged ({why}" in found


def test_a_segment_of_half_a_hash_is_refused() -> None:
    assert "damaged (buffer size" in refusal(STATE | {IDS: pack(IDS, IdSegment(2, b"1234567"))})


def test_a_number_that_the_position_has_not_given_out_yet_is_none_of_a_segment() -> None:
    ModuleCore(CONFIG).restore(dict(STATE))
    assert "its key is not one that a segment has" in refusal(with_position(sequence=0))


def test_windows_of_a_size_that_is_new_are_whole_from_the_next_event_on_and_the_start_has_a_say() -> None:
    later = START_MS + 100_000
    for start, expected in ((None, START_MS + 3_961), (later, later)):
        position = unpack_position(STATE[POSITION_KEY])
        begun = msgspec.structs.replace(position.start, whole_from_ms=start)
        core = ModuleCore(config_of((2, 4, 12), 1_000, 60_000))
        core.restore(with_position(start=begun))
        assert core.resized is not None
        assert (core.resized.added_ms, core.resized.removed_ms) == ((12_000,), ())
        assert core.parts().position().whole_from_ms == {12_000: expected}


@pytest.mark.parametrize(
    ("grace_ms", "final"), [(1_000, [True, True, False]), (3_000, [True, False, False]), (10_000, [True, False, False])]
)
def test_a_longer_grace_opens_no_closed_window_again_and_a_shorter_one_closes_what_is_due(
    grace_ms: int, final: list[bool]
) -> None:
    run = Run(config_of((2,), 3_000, 60_000))
    run.apply([Event("m", START_MS), Event("m", START_MS + 2_000), Event("m", START_MS + 5_000)])
    run.cut(everything=True)
    run.config = config_of((2,), grace_ms, 60_000)
    run.restart()
    run.cut(everything=True)
    blocks = sorted(run.core.parts().state.tree, key=lambda block: block.start_ms)
    assert [block.final for block in blocks] == final
    assert len(finals_of(run.metrics)) == sum(final), "each once"
