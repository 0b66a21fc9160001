"""Modules that fall silent, expire and come back: how the stream is cut into batches must not show."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import CoreConfig, HealthProfile, Limits
from pipeline.ingest.packed import each_forwarded
from pipeline.outputs import Cut
from tests.support.core.cores import NOW_MS, START_MS, Event, Run, batch_of, config_of, fixed, last_of_each

pytestmark = pytest.mark.usefixtures("both_ways")

INPUT, REPARTITION = "events", "repartition"


@dataclass(frozen=True, slots=True)
class Sent:
    """A record of the input, or one that another partition forwarded; under `__other__` where its module had no place there."""

    event: Event
    topic: str = INPUT
    other: bool = False
    value: bytes | None = None

    @property
    def key(self) -> bytes:
        return b"__other__" if self.other else self.event.module.encode()


def told(cut: Cut) -> object:
    """Everything of a cut but the reports, which a restart repeats; the order of records of different keys is not promised."""
    box, partials = cut.outbox, [partial for partial in cut.partials if partial.key.startswith(b"partial")]
    letters = sorted(box.rejected, key=lambda letter: (letter.topic, letter.offset))
    return sorted(box.emitted), letters, each_forwarded(box), sorted(partials), sorted(cut.state), cut.position


def feed(run: Run, records: Sequence[Sent], offsets: dict[str, int]) -> None:
    """Apply records as batches of one topic each."""
    for topic, group in groupby(records, key=lambda record: record.topic):
        part = list(group)
        values = [record.event.value if record.value is None else record.value for record in part]
        keys = [record.key for record in part]
        first = offsets[topic]
        offsets[topic] += len(part)
        run.core.apply(batch_of(values, keys, first=first, topic=topic, forwarded=topic == REPARTITION), NOW_MS)


def play(
    config: CoreConfig, partitions: int, stretches: Sequence[Sequence[Sent]], sizes: Sequence[int], restarts: int
) -> list[object]:
    """What each cut says: one after each stretch, whose records come in batches of some sizes.

    Args:
        config: of the core.
        partitions: of the input.
        stretches: the records.
        sizes: of batches, again and again.
        restarts: bit i says to restart after cut i.
    """
    run, offsets, says = Run(config, partitions=partitions), {INPUT: 0, REPARTITION: 0}, []
    for number, stretch in enumerate(stretches):
        low = 0
        while low < len(stretch):
            size = sizes[(low + number) % len(sizes)]
            feed(run, stretch[low : low + size], offsets)
            low += size
        run.cut(NOW_MS + number)
        says.append(told(run.cuts[-1]))
        if restarts >> number & 1:
            run.restart(seed=number)
    run.cut(NOW_MS + 1_000_000, everything=True)
    return [*says, told(run.cuts[-1])]


MODULES = ("a", "a", "b", "c", "süß")
GAPS_MS = (0, 0, 100, 900, 3_000, 6_500, 8_600, 20_000)
LAGS_MS = (0, 0, 0, 0, 700, 1_600, 4_000, 9_000)
# Read one by one: a letter for the dead, a number written another way, a record without a value.
ODD = (None, None, None, None, b"{garbage", b"1", b"")

records = st.builds(
    lambda gap, lag, module, success, id_, topic, other, odd: (
        gap, lag, module, success, id_, topic, other and topic == REPARTITION, odd,
    ),
    st.sampled_from(GAPS_MS),
    st.sampled_from(LAGS_MS),
    st.sampled_from(MODULES),
    st.booleans(),
    st.sampled_from([None, None, "1", "2"]),
    st.sampled_from([INPUT, INPUT, INPUT, REPARTITION]),
    st.booleans(),
    st.sampled_from(ODD),
)  # fmt: skip


@st.composite
def streams_of_guests(draw: st.DrawFn) -> list[list[Sent]]:
    """Stretches of records of a few modules that come and go; now and then one is refused, or the future's."""
    head, stretches = START_MS, []
    for raws in draw(st.lists(st.lists(records, min_size=1, max_size=14), min_size=1, max_size=5)):
        stretch = []
        for gap, lag, module, success, id_, topic, other, odd in raws:
            head += gap
            event = Event(module, max(head - lag, 0), success=success, event_id=id_)
            event = replace(event, time=NOW_MS + 10_000_000) if odd == b"1" else event
            stretch.append(Sent(event, topic, other, odd if odd not in (b"1", None) else None))
        stretches.append(stretch)
    return stretches


guest_configs = st.builds(
    lambda sizes, grace, corrections, places, expiry, improve: replace(
        config_of(
            sizes,
            grace,
            corrections,
            profile=HealthProfile(min_requests=1, worsen_windows=1, improve_windows=improve),
        ),
        limits=Limits(max_modules=places, module_expiry_ms=expiry),
    ),
    st.sampled_from([(1,), (1, 2, 8), (2, 6)]),
    st.sampled_from([0, 500, 2_500]),
    st.sampled_from([0, 1_000, 5_000]),
    st.integers(1, 4),
    st.sampled_from([1, 1_000, 4_000, 15_000]),
    st.integers(1, 3),
)


batch_sizes = st.lists(st.integers(1, 20), min_size=1, max_size=5)


@fixed(150)
@given(guest_configs, st.integers(1, 3), streams_of_guests(), batch_sizes, st.integers(0, 63))
def test_batches_and_restarts_change_no_byte_however_modules_come_and_go(
    config: CoreConfig, partitions: int, stretches: list[list[Sent]], sizes: list[int], restarts: int
) -> None:
    one_by_one = play(config, partitions, stretches, [1], restarts=0)
    assert play(config, partitions, stretches, sizes, restarts) == one_by_one


def health_of(config: CoreConfig, batches: Sequence[Sequence[Event]]) -> dict[tuple[str, str, int], str]:
    """The class in the last record of each window."""
    run = Run(config)
    for batch in batches:
        run.apply(batch)
    run.cut(everything=True)
    return {key: record.health.status for key, record in last_of_each(run.metrics).items()}


PROFILE = HealthProfile(min_requests=1, worsen_windows=1, improve_windows=3)


def test_a_module_that_comes_back_is_judged_afresh_after_the_windows_that_its_record_closes() -> None:
    """One record both closes the window of 8 s in which the module failed, and brings the module back for the next one."""
    config = replace(config_of((1, 8), 500, 1_000, profile=PROFILE), limits=Limits(module_expiry_ms=4_000))
    back = START_MS + 8_600
    events = [Event("m", START_MS, success=False), Event("clock", START_MS + 4_000), Event("m", back)]
    events += [Event("clock", START_MS + 40_000)]
    found = health_of(config, [[event] for event in events])
    assert found["m", "8s", START_MS] == "critical"
    assert found["m", "8s", START_MS + 8_000] == found["m", "1s", START_MS + 8_000] == "healthy"
    assert health_of(config, [events]) == found


def test_whoever_is_away_for_the_expiry_makes_room_at_the_record_that_says_so_and_not_at_the_next_batch() -> None:
    config = replace(config_of((1,), 0, 0), limits=Limits(max_modules=1, module_expiry_ms=2_000))
    events = [Event("a", START_MS), Event("b", START_MS + 10_000), Event("b", START_MS + 10_001)]
    for batches in ([events], [[event] for event in events], [events[:1], events[1:]]):
        run = Run(config)
        for batch in batches:
            run.apply(batch)
        run.cut(everything=True)
        assert {key[0]: record.total_requests for key, record in last_of_each(run.metrics).items()} == {
            "a": 1,
            "__other__": 1,
            "b": 1,
        }, "the record that lets `a` expire was looked up before"


def test_a_module_does_not_expire_by_its_own_event() -> None:
    config = replace(config_of((1,), 0, 0), limits=Limits(max_modules=1, module_expiry_ms=2_000))
    run = Run(config)
    run.apply([Event("a", START_MS), Event("a", START_MS + 10_000), Event("b", START_MS + 10_001)])
    assert run.core.modules.overflowed == 1


def test_idle_time_lets_modules_expire_too() -> None:
    config = replace(config_of((1,), 0, 0), limits=Limits(max_modules=1, module_expiry_ms=2_000))
    run = Run(config)
    run.apply([Event("a", START_MS)])
    run.core.idle_until(START_MS + 3_999, NOW_MS)
    assert run.core.modules.tracked == 1
    run.core.idle_until(START_MS + 4_000, NOW_MS)
    assert run.core.modules.tracked == 0


@pytest.mark.parametrize("restart", [False, True])
def test_a_module_that_takes_over_a_code_does_not_take_over_the_health_of_the_one_before(restart: bool) -> None:
    """The correction comes to a window that closed while the code belonged to the module that has expired since."""
    profile = HealthProfile(min_requests=1, worsen_windows=1, improve_windows=5)
    limits = Limits(module_expiry_ms=2_000)
    run = Run(replace(config_of((1,), 0, 5_000, profile=profile), limits=limits))
    run.apply([Event("old", START_MS, success=False)])
    for second in range(1, 12):
        run.apply([Event("clock", START_MS + second * 1_000)])
    assert "old" not in run.core.modules.codes
    run.cut()
    if restart:
        run.restart()
    run.apply([Event("new", START_MS + 7_000)])
    run.cut()
    assert last_of_each(run.metrics)["new", "1s", START_MS + 7_000].health.status == "healthy"
