"""What the position of the system task names: all of it comes back, but for what is of sizes that are gone."""

import json

from msgspec.structs import replace

from pipeline.config import CoreConfig, WindowConfig
from pipeline.sketch.mapping import ALPHA
from pipeline.system.core import SystemCore
from pipeline.system.since import UNKNOWN
from schemas.position import fingerprint_of
from schemas.state import (
    POSITION_KEY,
    Ledger,
    Position,
    ShellPosition,
    StartPosition,
    SystemClass,
    SystemPosition,
    pack_position,
)
from tests.support.core.system_tasks import BASE, CONFIG, GRACE, NOW, SIZES, SystemRun, partial, report

# Every field differs from what a new task has, and times are in the order that a task makes.
FULL = Position(
    sizes=dict(SIZES),
    relative_error=ALPHA,
    partitions=1,
    offsets={"partials": 7},
    stream_ms=BASE,
    closed_through_ms=BASE - GRACE + 1,
    ledger={"partials": Ledger(7, 7)},
    ticks={10_000: BASE - 10_000, 60_000: BASE - 60_000},
    alert_revisions=5,
    start=StartPosition(whole_from_ms=1, alerts_from_ms=2, revision_base=3, after_loss=True),
    shell=ShellPosition(topic_ids={"partials": "x"}, lost={"partials": 1}, last_record_ms=8, changelog_begin=9),
    system=SystemPosition(
        floor_ms=BASE - 700_000,
        dropped_open=2,
        ignored_partials=3,
        last_larger_ms=4,
        classes={10_000: SystemClass(1, BASE - 20_000), 60_000: SystemClass(2, None)},
        known_sizes=[10_000, 20_000],
    ),
)


def restored(value: bytes, config: CoreConfig = CONFIG) -> SystemCore:
    core = SystemCore(config)
    core.restore({POSITION_KEY: value})
    return core


def test_every_field_of_a_position_comes_back() -> None:
    assert restored(pack_position(FULL)).cut(NOW).position == FULL


def test_a_task_that_read_nothing_has_closed_nothing() -> None:
    position = SystemCore(CONFIG).cut(NOW).position
    assert (position.stream_ms, position.closed_through_ms) == (None, None)
    assert position.system == SystemPosition(known_sizes=[10_000, 30_000, 60_000])
    assert restored(pack_position(position)).cut(NOW).position == position


def test_what_is_known_of_sizes_that_are_not_configured_any_more_is_forgotten() -> None:
    config = CoreConfig(WindowConfig(SIZES[1:], GRACE, 1_000))
    position = restored(pack_position(FULL), config).cut(NOW).position
    assert position.sizes == dict(SIZES[1:])
    assert position.ticks == {60_000: BASE - 60_000}
    assert FULL.system is not None
    assert position.system == replace(FULL.system, classes={60_000: SystemClass(2, None)})


def test_after_version_1_partitions_have_its_sizes_and_nobody_knows_since_when_the_class_is() -> None:
    old = {
        "v": 1,
        "fingerprint": fingerprint_of([("10s", 10_000), ("20s", 20_000)], ALPHA),
        "partitions": 1,
        "offsets": {"partials": 1},
        "stream_ms": BASE,
        "ledger": {"partials": [1, 1, 0, 0, 0, 0, 0]},
        "extra": {"dropped_open": 0},
    }
    run = SystemRun(restored(json.dumps(old).encode()))
    system = run.core.cut(NOW).position.system
    assert system is not None
    assert (system.known_sizes, system.classes) == ([10_000, 20_000], {10_000: UNKNOWN})
    run.feed(report(0, BASE, of=1), partial(0), partial(0, BASE - BASE % 30_000, size_ms=30_000))
    assert [(r["window"], r["health_since"]) for r in run.cut()] == [("10s", None)], "no partition has windows of 30 s"
