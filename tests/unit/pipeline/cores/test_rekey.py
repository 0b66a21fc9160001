"""Re-keying tasks by example: what is refused, what moves with a module, and where events of unknown modules go."""

from dataclasses import replace

import pytest

from pipeline.config import Limits, Start
from pipeline.cores.module_core import ModuleCore
from pipeline.cores.rekey import Misplaced, align, default_home, misplaced, rekey
from tests.property.test_restart import rules_of
from tests.support.core.cores import NOW_MS, START_MS, Event, Run, batch_of, config_of, last_of_each
from tests.support.core.grown import grown, mover

CONFIG = config_of((1, 2), 1_000, 60_000)


def test_a_module_that_sits_where_its_id_does_not_belong_is_reported_and_nothing_is_re_keyed() -> None:
    module = mover()
    runs = [Run(CONFIG, partition=number, partitions=2) for number in (0, 1)]
    runs[0].apply([Event(module, START_MS)])
    align([run.core for run in runs], NOW_MS)
    for run in runs:
        run.cut(everything=True)
    cores = [run.core for run in runs]
    assert misplaced(cores) == [Misplaced(module, 0, 1)]
    new = [ModuleCore(CONFIG, partition=number, partitions=3) for number in range(3)]
    with pytest.raises(ValueError, match="modules at their homes"):
        rekey(cores, new)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ("fewer", "fewer tasks"),
        ("order", "in its order"),
        ("owing", "tasks that were cut"),
        ("stream", "one stream time"),
        ("sizes", "one configuration"),
    ],
)
def test_tasks_that_cannot_be_put_together_are_refused_with_what_is_wanted(change: str, wanted: str) -> None:
    runs = [Run(CONFIG, partition=number, partitions=2) for number in (0, 1)]
    home = next(name for name in map("m{}".format, range(100)) if default_home(name, 2) == 0)
    runs[0].apply([Event(home, START_MS)])
    if change != "stream":
        align([run.core for run in runs], NOW_MS)
    if change != "owing":
        for run in runs:
            run.cut(everything=True)
    other = CONFIG if change != "sizes" else config_of((1, 4), 1_000, 60_000)
    new = [ModuleCore(other, partition=number, partitions=3) for number in range(1 if change == "fewer" else 3)]
    old = [run.core for run in runs]
    with pytest.raises(ValueError, match=wanted):
        rekey(old[::-1] if change == "order" else old, new)


@pytest.mark.parametrize("restart", [False, True])
def test_an_event_id_is_known_in_the_partition_that_its_module_moved_to(restart: bool) -> None:
    run = Run(CONFIG)
    run.apply([Event(mover(), START_MS, event_id="1")])
    new = grown([run], 2)
    if restart:
        new[1].restart()
    new[1].apply([Event(mover(), START_MS, event_id="1"), Event(mover(), START_MS, event_id="2")])
    assert (new[1].ledger.duplicate, new[1].ledger.applied) == (1, 1)
    new[1].cut(everything=True)
    assert last_of_each(new[1].metrics)[mover(), "1s", START_MS].total_requests == 2


def test_ledgers_offsets_and_what_the_shell_keeps_stay_with_their_partition() -> None:
    run = Run(CONFIG)
    run.apply([Event(mover(), START_MS), Event("x", START_MS)])
    new = grown([run], 3)
    assert new[0].core.offsets == run.core.offsets
    assert new[0].ledger == run.ledger
    assert [task.core.offsets for task in new[1:]] == [{}, {}]


def test_what_did_not_fit_moves_to_the_new_home_of_other() -> None:
    config = replace(CONFIG, limits=Limits(max_modules=1))
    run = Run(config)
    run.apply([Event("first", START_MS), Event("second", START_MS), Event("third", START_MS)])
    home = default_home("__other__", 2)
    new = grown([run], 2)
    new[home].cut(everything=True)
    new[home].apply([Event("__other__", START_MS)])
    new[home].cut(everything=True)
    assert last_of_each(new[home].metrics)["__other__", "1s", START_MS].total_requests == 3


def feed(run: Run, module: str, *, forwarded: bool) -> None:
    """One event, from the input or from another partition."""
    event = Event(module, START_MS)
    batch = batch_of([event.value], [module.encode()], first=run.offset, topic="t", forwarded=forwarded)
    run.core.apply(batch, NOW_MS)
    run.offset += 1
    run.cut()


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("forwarded", [False, True])
@pytest.mark.parametrize("restart", [False, True])
def test_after_the_growth_an_unknown_module_goes_to_its_home_also_when_it_was_forwarded(
    forwarded: bool, restart: bool
) -> None:
    old = Run(CONFIG)
    old.apply([Event("known", START_MS)])
    new = grown([old], 2)
    if restart:
        new[0].restart()
    stray = mover()
    feed(new[0], stray, forwarded=forwarded)
    assert [record.module_id for record in new[0].forwarded] == [stray]
    assert stray not in new[0].core.modules.codes
    feed(new[1], stray, forwarded=True)
    assert not new[1].forwarded
    assert stray in new[1].core.modules.codes


def test_before_any_growth_a_module_lives_where_its_events_come_in() -> None:
    run = Run(CONFIG, partition=0, partitions=2)
    feed(run, mover(), forwarded=False)
    assert not run.forwarded


def test_alerts_move_with_their_modules_and_keep_their_revisions() -> None:
    run = Run(CONFIG, rules_of(CONFIG))
    run.apply([Event(mover(), START_MS, success=False), Event("x", START_MS + 2_500)])
    align([run.core], NOW_MS)
    run.cut(everything=True)
    raised = {e.key: e.revision for e in run.emitted if e.role == "module_alerts"}
    new = [Run(CONFIG, rules_of(CONFIG), partition=number, partitions=2) for number in (0, 1)]
    rekey([run.core], [task.core for task in new])
    new[0].log = run.log
    for task in new:
        task.cut(everything=True)
    assert not [key for key in new[0].log if key.startswith(b"alert|")]
    new[1].restart()
    new[1].apply([Event(mover(), START_MS + 3_000), Event(mover(), START_MS + 9_000)])
    new[1].cut(everything=True)
    said = [(e.key, e.revision) for e in new[1].emitted if e.key in raised]
    assert dict(reversed(said)) == {key: revision + 1 for key, revision in raised.items()}


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("fallen", [False, True])
def test_a_silent_module_stays_silent_where_it_goes_and_a_regular_one_is_missed_there(
    fallen: bool, restart: bool
) -> None:
    run = Run(CONFIG)
    run.apply([Event(mover(), START_MS + second * 1_000) for second in range(3)])
    run.apply([Event("x", START_MS + (5_000 if fallen else 4_000))])
    new = grown([run], 2)
    if restart:
        new[1].restart()
    assert new[1].core.modules.silent == int(fallen)
    new[1].core.idle_until(START_MS + 9_000, NOW_MS)
    assert new[1].core.modules.silent == 1
    new[1].apply([Event(mover(), START_MS + 9_000)])
    assert new[1].core.modules.silent == 0


def test_revisions_begin_above_the_highest_base_of_all_tasks_and_the_position_keeps_it() -> None:
    """A module may come from a task that began anew with a base to one that did not."""
    module = mover()
    runs = [Run(CONFIG, partition=0, partitions=1, start=Start(revision_base=5_000, alerts_from_ms=START_MS))]
    runs[0].apply([Event(module, START_MS)])
    new = grown(runs, 2)
    assert [run.core.parts().position().start.revision_base for run in new] == [5_000, 5_000]
    new[1].restart()
    new[1].apply([Event(module, START_MS + 10_000)])
    new[1].cut(everything=True)
    assert min(record.revision for record in new[1].metrics) > 5_000
    assert new[1].core.parts().position().start.alerts_from_ms == START_MS
