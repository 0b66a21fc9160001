"""What falls due as stream time moves: closes, silence, seals and expiry, oldest first, each once."""

from dataclasses import replace

import pytest

from pipeline.config import Limits, Start
from pipeline.cores.closer import Closer
from pipeline.windows.stream_time import BEGIN_MS
from tests.support.core.cores import NOW_MS, START_MS, Event, Run, config_of

CONFIG = config_of((1, 2), 500, 2_000)


def at(second: float, module: str = "m", event_id: str | None = None) -> Event:
    return Event(module, START_MS + int(second * 1_000), event_id=event_id)


def closer_of(run: Run) -> Closer:
    return run.core.parts().closer


def statuses(run: Run) -> list[tuple[str, float, str]]:
    """What was said so far: size, start in seconds, status."""
    return [(r.window, (r.window_start - START_MS) / 1_000, r.status) for r in run.metrics]


def test_stream_time_moves_only_forward_and_what_lies_behind_it_does_nothing() -> None:
    run = Run(CONFIG)
    run.apply([at(0), at(1.2)])
    closer = closer_of(run)
    closer.advance(START_MS + 1_100, NOW_MS)
    assert run.core.stream_ms == START_MS + 1_200
    closer.advance(START_MS + 1_499, NOW_MS)
    run.cut()
    assert "final" not in {status for _, _, status in statuses(run)}
    closer.advance(START_MS + 1_500, NOW_MS)
    run.cut()
    assert [said for said in statuses(run) if said[2] == "final"] == [("1s", 0, "final")]


def test_windows_that_fall_due_at_once_close_by_their_end_then_the_smaller_first_and_each_closes_once() -> None:
    run = Run(CONFIG)
    run.apply([at(second) for second in (1, 0, 3, 2)])
    for _ in range(2):
        closer_of(run).settle(NOW_MS)
        closer_of(run).advance(START_MS + 4_600, NOW_MS)
    run.cut()
    finals = [said[:2] for said in statuses(run) if said[2] == "final"]
    assert finals == [("1s", 0), ("1s", 1), ("2s", 0), ("1s", 2), ("1s", 3), ("2s", 2)]


def test_what_the_changelog_holds_of_a_sealed_window_and_of_its_ids_is_deleted() -> None:
    run = Run(CONFIG)
    run.apply([at(0, event_id="a"), at(1, event_id="b")])
    run.cut()
    end_ms = START_MS + 1_000
    gone = {key for key in run.log if f"|{START_MS}|".encode() in key and b"|1000|" in key}
    gone |= {key for key in run.log if key.startswith(b"ids|%d|" % end_ms)}
    assert {key.partition(b"|")[0] for key in gone} == {b"sums", b"meta", b"ids"}
    closer_of(run).advance(end_ms + 2_499, NOW_MS)
    assert closer_of(run).deleted == []
    closer_of(run).advance(end_ms + 2_500, NOW_MS)
    assert {record.key for record in closer_of(run).deleted} == gone
    assert {record.value for record in closer_of(run).deleted} == {None}
    run.cut()
    assert closer_of(run).deleted == []


@pytest.mark.parametrize(
    ("seconds", "to", "counted"),
    [
        ([0], 1.4, None),
        ([0], 1.5, 1),
        ([0, 0.5], 5.7, 5),
        ([0, 7], 7.4, 6),
        ([3, 0], 3.4, None),  # one that opened after its close begins no count
    ],
)
def test_base_windows_are_counted_for_silence_as_they_close_with_and_without_events(
    seconds: list[float], to: float, counted: int | None
) -> None:
    run = Run(CONFIG)
    run.apply([at(second) for second in seconds])
    closer_of(run).advance(START_MS + int(to * 1_000), NOW_MS)
    found = closer_of(run).counted_through_ms
    assert found == (BEGIN_MS if counted is None else START_MS + counted * 1_000)


def test_a_window_that_is_not_whole_makes_nobody_silent() -> None:
    """Who spoke in it before the task began is not known."""
    for start, silent in ((None, 1), (Start(whole_from_ms=START_MS + 4_000), 0)):
        run = Run(CONFIG, start=start)
        run.apply([at(0), at(1), at(2)])
        run.apply([at(3, "clock")])
        closer_of(run).advance(START_MS + 4_500, NOW_MS)
        assert run.core.modules.silent == silent


def test_the_module_whose_event_moves_stream_time_is_spared_and_any_other_expires() -> None:
    run = Run(replace(config_of((1,), 0, 0), limits=Limits(module_expiry_ms=2_000)))
    run.apply([at(0, "a"), at(0, "b")])
    spared = run.core.modules.codes["b"]
    closer_of(run).advance(START_MS + 60_000, NOW_MS, spared)
    assert set(run.core.modules.codes) == {"__other__", "b"}


def test_a_window_that_opens_after_its_close_is_final_at_once_and_any_other_is_not() -> None:
    run = Run(CONFIG)
    run.apply([at(2.5)])
    parts = run.core.parts()
    tree, capacity = parts.state.tree, parts.state.modules.capacity
    late, open_ = tree.open(0, START_MS + 1_000, capacity), tree.open(0, START_MS + 2_000, capacity)
    for block in (late, open_):
        parts.closer.close_late(block)
    assert (late.final, open_.final) == (True, False)
