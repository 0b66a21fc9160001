"""The system task from its changelog: a restart changes nothing, and foreign state is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import CoreConfig, WindowConfig
from pipeline.cores.module_core import ModuleCore
from pipeline.outputs import Cut
from pipeline.system.core import SystemCore
from schemas.errors import StateIncompatible
from schemas.partials import ModulesSeen, PartialRecord, SystemWindowState, encode_window
from tests.support.core import cores
from tests.support.core.cores import fixed
from tests.support.core.system_tasks import (
    BASE,
    CONFIG,
    CORRECTIONS,
    GRACE,
    HASTY,
    NOW,
    RULES,
    SIZES,
    SystemRun,
    partial,
    record_lists,
    report,
)

# A window that no record shows yet.
ANY = SystemWindowState(2, 0, False, False, 0, 0)


def outcome(cut: Cut) -> Any:
    return cut.outbox.emitted, cut.state, cut.position


@fixed(150)
@given(records=record_lists, every=st.integers(1, 7), stops=st.sets(st.integers(1, 20)))
def test_a_restart_at_any_cut_changes_nothing(records: list[PartialRecord], every: int, stops: set[int]) -> None:
    straight, stopped = SystemRun(SystemCore(HASTY, RULES)), SystemRun(SystemCore(HASTY, RULES))
    for number, low in enumerate(range(0, len(records), every), 1):
        now_ms = NOW + number * 800
        outcomes = []
        for run in (straight, stopped):
            run.now_ms = now_ms
            run.feed(*records[low : low + every])
            cut = run.core.cut(now_ms)
            run.store(cut)
            outcomes.append(outcome(cut))
        assert outcomes[0] == outcomes[1]
        assert straight.core.owes == stopped.core.owes
        if number in stops:
            stopped.core = stopped.restarted(HASTY, RULES)
            assert stopped.core.open_windows == straight.core.open_windows
            assert stopped.core.owes == straight.core.owes
    for everything in (False, True):
        now_ms += 800
        assert outcome(straight.core.cut(now_ms, everything=everything)) == outcome(
            stopped.core.cut(now_ms, everything=everything)
        )


def state_of(*values: PartialRecord) -> dict[bytes, bytes]:
    """What the changelog holds once a task has said everything of these records."""
    run = SystemRun()
    run.feed(*values)
    run.cut(everything=True)
    return dict(run.log)


def refusal(state: dict[bytes, bytes]) -> str:
    with pytest.raises(StateIncompatible) as refused:
        SystemCore(CONFIG).restore(state)
    return str(refused.value)


STATE = state_of(report(0, BASE), report(1, BASE), partial())
WINDOW, PARTIAL = f"window|10000|{BASE}".encode(), f"partial|10000|{BASE}|0".encode()


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        (b"sums|1|2|3", b"", "does not know, b'sums|1|2|3'"),
        (b"partial|10000|0|0", b"\x00", "b'partial|10000|0|0' is neither a partial nor a report"),
        (b"window|10000|0", b"\x00", "'window|10000|0' is damaged"),
        (b"alert|abc", b"\x00", "'alert|abc' is damaged"),
        (b"partial|10000|0|0", STATE[PARTIAL], "it is filed under another record's key"),
        (b"report|7", STATE[b"report|0"], "it is filed under another record's key"),
        (b"window|10000|x", encode_window(b"window|10000|x", ANY), "'window|10000|x' is damaged (invalid literal"),
        (b"window|10000", encode_window(b"window|10000", ANY), "'window|10000' is damaged (not enough values"),
        (b"window|10000|00", encode_window(b"window|10000|00", ANY), "its key is not one that a window has"),
        (b"window|0|0", encode_window(b"window|0|0", ANY), "its key is not one that a window has"),
        (b"window|10000|0", encode_window(b"window|10000|0", ANY), "a window that nobody ever sent anything of"),
    ],
)
def test_foreign_or_damaged_state_is_refused_with_what_is_wrong_and_the_way_out(
    key: bytes, value: bytes, why: str
) -> None:
    found = refusal(STATE | {key: value})
    assert why in found
    assert "application_id" in found


def test_the_records_are_taken_out_of_the_state_as_they_are_read() -> None:
    state = dict(STATE)
    core = SystemCore(CONFIG)
    core.restore(state)
    assert (state, core.open_windows, core.stream_ms) == ({}, 1, BASE)


def test_where_modules_live_is_known_again() -> None:
    core = SystemCore(CONFIG)
    core.restore(state_of(ModulesSeen(1, 0, 0, ["a", "b"]), ModulesSeen(1, 1, 0, ["b"])))
    assert core.homes.split == {"b": {0, 1}}


def test_windows_of_a_size_that_is_not_configured_any_more_are_dropped_with_all_their_records() -> None:
    run = SystemRun()
    minute = BASE - BASE % 60_000
    run.feed(report(0, BASE), report(1, BASE), partial(), partial(0, minute, 10, 60_000), partial(1, minute, 5, 60_000))
    run.cut(everything=True)
    run.core = run.restarted(CoreConfig(WindowConfig(SIZES[:2], GRACE, CORRECTIONS)), ())
    assert (run.core.removed_ms, run.core.open_windows) == ((60_000,), 1)
    run.feed(partial(1, requests=7))
    assert [(r["window"], r["total_requests"]) for r in run.cut()] == [("10s", 17)]
    assert {key.split(b"|")[1] for key in run.log if key.startswith((b"window", b"partial"))} == {b"10000"}


def test_the_state_of_a_module_task_is_no_state_of_the_system_task() -> None:
    task = cores.Run(CONFIG)
    task.apply([cores.Event("m", BASE)])
    task.cut()
    with pytest.raises(StateIncompatible, match="mixed up"):
        SystemCore(CONFIG).restore({b"position": task.log[b"position"]})
    run = SystemRun()
    run.feed(report(0, BASE))
    run.cut()
    with pytest.raises(StateIncompatible, match="mixed up"):
        ModuleCore(CONFIG).restore({b"position": run.log[b"position"]})
