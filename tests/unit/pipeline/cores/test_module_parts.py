"""What the position of a module task names: all of it comes back, but for what is of sizes that are gone."""

import pytest
from msgspec.structs import replace

from pipeline.config import CoreConfig
from pipeline.cores.module_core import ModuleCore
from pipeline.cores.module_parts import ModuleParts
from pipeline.sketch.mapping import ALPHA
from schemas.state import Ledger, Position, ShellPosition, StartPosition, pack_position, unpack_position
from tests.support.core.cores import NOW_MS, START_MS, Event, Run, config_of

CONFIG = config_of((2, 4), 1_000, 10_000)
# Every field differs from what a new task has.
FULL = Position(
    sizes={"2s": 2_000, "4s": 4_000},
    relative_error=ALPHA,
    partitions=3,
    offsets={"events": 7},
    stream_ms=START_MS,
    closed_through_ms=START_MS - 500,
    sealed_through_ms=START_MS - 6_000,
    ledger={"events": Ledger(7, 7)},
    sequence=4,
    ticks={2_000: START_MS - 2_000, 4_000: START_MS - 4_000},
    whole_from_ms={4_000: START_MS - 40_000},
    counted_through_ms=START_MS - 2_000,
    alert_revisions=5,
    homes_checked=True,
    start=StartPosition(alerts_from_ms=START_MS - 50_000, revision_base=3, after_loss=True),
    shell=ShellPosition(topic_ids={"events": "x"}, lost={"events": 1}, last_record_ms=8, changelog_begin=9),
)


def parts_of(config: CoreConfig = CONFIG) -> ModuleParts:
    return ModuleCore(config, partitions=3).parts()


def test_every_field_of_a_position_comes_back() -> None:
    parts = parts_of()
    parts.take_position(FULL)
    assert parts.position() == FULL


def test_what_the_task_was_told_when_it_began_is_in_force_again() -> None:
    parts = parts_of()
    parts.take_position(FULL)
    assert (parts.state.revision_base, parts.state.after_loss) == (3, True)
    assert (parts.ticker.alerts_from_ms, parts.alerts.revision_base) == (START_MS - 50_000, 5)


def test_a_new_task_has_read_closed_sealed_and_counted_nothing() -> None:
    position = parts_of().position()
    assert (position.stream_ms, position.closed_through_ms) == (None, None)
    assert (position.sealed_through_ms, position.counted_through_ms) == (None, None)
    assert (position.offsets, position.ticks, position.whole_from_ms) == ({}, {}, {})
    again = parts_of()
    again.take_position(position)
    assert again.position() == position


def test_what_is_known_of_sizes_that_are_not_configured_any_more_is_forgotten() -> None:
    parts = parts_of(config_of((2, 6), 1_000, 10_000))
    parts.take_position(FULL)
    position = parts.position()
    assert position.sizes == {"2s": 2_000, "6s": 6_000}
    assert (position.ticks, position.whole_from_ms) == ({2_000: START_MS - 2_000}, {})


@pytest.mark.parametrize("after", [StartPosition(), StartPosition(whole_from_ms=START_MS)])
def test_a_start_is_for_all_sizes_and_one_that_says_nothing_leaves_them_whole(after: StartPosition) -> None:
    parts = parts_of()
    parts.begin(after)
    marks = {} if after.whole_from_ms is None else dict.fromkeys((2_000, 4_000), START_MS)
    assert (parts.position().whole_from_ms, parts.position().start) == (marks, after)


def test_what_a_size_kept_of_its_own_counts_more_than_the_start() -> None:
    parts = parts_of()
    parts.take_position(replace(FULL, start=StartPosition(whole_from_ms=1), whole_from_ms={2_000: 2, 4_000: 3}))
    assert parts.position().whole_from_ms == {2_000: 2, 4_000: 3}


def test_a_position_that_was_written_does_not_follow_the_task() -> None:
    run = Run(CONFIG)
    run.apply([Event("m", START_MS)])
    run.cut()
    position = run.cuts[-1].position
    written = pack_position(position)
    run.apply([Event("m", START_MS + 10_000)], NOW_MS)
    assert pack_position(position) == written
    assert unpack_position(written).offsets == {"events": 1}
