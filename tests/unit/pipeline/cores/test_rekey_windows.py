"""Open windows where their modules go: column by column, whatever their widths, and said again or withdrawn."""

import pytest

from pipeline.config import HealthProfile
from pipeline.cores.rekey import default_home
from schemas.partials import ModulesSeen, PartitionReport, SystemPartial, decode_partial
from tests.support.core.cores import START_MS, Event, Run, config_of, last_of_each
from tests.support.core.grown import grown, mover

CONFIG = config_of((1, 2), 1_000, 60_000)


def partials_of(run: Run) -> list[SystemPartial]:
    """What the newest cut said to the system task about windows."""
    told = [decode_partial(partial.value, "test") for partial in run.cuts[-1].partials]
    return [record for record in told if isinstance(record, SystemPartial)]


def test_the_partition_that_a_module_left_withdraws_its_windows_and_says_who_is_left() -> None:
    run = Run(CONFIG)
    run.apply([Event(mover(), START_MS, event_id="1")])
    new = grown([run], 2)
    assert [(p.partition, p.requests) for p in partials_of(new[0])] == [(0, 0), (0, 0)]
    assert [(p.partition, p.requests) for p in partials_of(new[1])] == [(1, 1), (1, 1)]
    told = [decode_partial(partial.value, "test") for run in new for partial in run.cuts[-1].partials]
    seen = {record.partition: record.ids for record in told if isinstance(record, ModulesSeen)}
    assert seen == {0: [], 1: [mover()]}
    assert [r.partitions_expected for r in told if isinstance(r, PartitionReport)] == [2, 2]
    kinds = {key.partition(b"|")[0] for key in new[0].log}
    assert kinds == {b"modules", b"position"}, "what moved away has tombstones"


def test_a_reading_after_the_move_is_newer_than_one_before_it_at_the_same_event_time() -> None:
    """Offsets of two partitions cannot be compared."""
    run = Run(CONFIG)
    run.apply([Event("x", START_MS)] * 50)
    run.apply([Event(mover(), START_MS, memory=1, cpu=1.0)])
    new = grown([run], 2)
    new[1].apply([Event(mover(), START_MS, memory=2, cpu=2.0)])
    new[1].cut(everything=True)
    record = last_of_each(new[1].metrics)[mover(), "1s", START_MS]
    assert (record.memory_bytes, record.cpu_percent) == (2, 2.0)


@pytest.mark.parametrize("restart", [False, True])
def test_hundreds_of_modules_in_windows_of_every_width_find_their_homes(restart: bool) -> None:
    """Windows that opened before the registry grew have fewer columns than those after."""
    run = Run(CONFIG)
    events = [
        Event(f"m{n}", START_MS + n * 20, float(n), n % 7 > 0, f"{n}", memory=n if n % 2 else None) for n in range(300)
    ]
    for low in range(0, 300, 50):
        run.apply(events[low : low + 50])
    if restart:
        run.cut()
        run.restart()
    new = grown([run], 3)
    for task in new:
        assert {default_home(module, 3) for module in task.core.modules.codes if module != "__other__"} == {
            task.partition
        }
        if restart:
            task.restart()
    again = Event("m299", events[-1].time, 5.0, event_id="again", memory=7)
    home = new[default_home("m299", 3)]
    home.apply([events[-1], again])
    home.cut(everything=True)
    steady = Run(CONFIG)
    steady.apply([*events, events[-1], again])
    steady.cut(everything=True)
    found = last_of_each([record for task in (run, *new) for record in task.metrics])
    assert found == last_of_each(steady.metrics)
    assert sum(task.core.modules.tracked for task in new) == 300


def moved_module(run: Run) -> Run:
    """The task that `mover` goes to, with its old changelog nowhere."""
    return grown([run], 2)[1]


def test_a_final_window_stays_final_and_its_next_record_is_a_correction_of_a_higher_revision() -> None:
    run = Run(CONFIG)
    run.apply([Event(mover(), START_MS, 3.0), Event("clock", START_MS + 9_000)])
    new = moved_module(run)
    before = last_of_each(run.metrics)[mover(), "1s", START_MS]
    revision = max(r.revision for r in run.metrics if (r.module_id, r.window_start) == (mover(), START_MS))
    new.apply([Event(mover(), START_MS, 5.0)])
    new.cut(everything=True)
    (record,) = [r for r in new.metrics if (r.window, r.window_start) == ("1s", START_MS)]
    assert (record.status, record.revision, record.total_requests) == ("corrected", revision + 1, 2)
    assert (before.response_time_ms.max, record.response_time_ms.min, record.response_time_ms.max) == (3.0, 3.0, 5.0)


def test_a_task_holds_no_window_of_which_its_modules_know_nothing() -> None:
    run = Run(CONFIG)
    stays = next(name for name in map("s{}".format, range(100)) if default_home(name, 2) == 0)
    run.apply([Event(mover(), START_MS), Event(stays, START_MS + 5_000)])
    old, new = grown([run], 2)
    assert {block.start_ms - START_MS for block in new.core.parts().state.tree} == {0}
    assert {block.start_ms - START_MS for block in old.core.parts().state.tree} == {4_000, 5_000}


def test_a_module_whose_old_task_had_no_such_window_is_judged_in_it_by_the_class_that_it_has() -> None:
    """The new task has the window, closed, by a module of another task."""
    profile = HealthProfile(min_requests=1, worsen_windows=1, improve_windows=9)
    config = config_of((1,), 0, 60_000, profile=profile)
    unwell, other = (
        next(
            name for name in map("m{}".format, range(999)) if (default_home(name, 2), default_home(name, 3)) == (old, 2)
        )
        for old in (0, 1)
    )
    runs = [Run(config, partition=number, partitions=2) for number in (0, 1)]
    runs[0].apply([Event(unwell, START_MS, success=False)])
    runs[1].apply([Event(other, START_MS + 1_000), Event(other, START_MS + 5_000)])
    new = grown(runs, 3)[2]
    new.apply([Event(unwell, START_MS + 1_000)])
    new.cut(everything=True)
    record = last_of_each(new.metrics)[unwell, "1s", START_MS + 1_000]
    assert (record.health.status, record.health.since) == ("critical", START_MS)
