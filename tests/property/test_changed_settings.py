"""Settings that change between two runs over one state: nothing counts twice, nothing is lost, and a window closes once."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import CoreConfig, HealthConfig, HealthProfile, Limits, Threshold, default_thresholds
from tests.property.test_restart import rules_of
from tests.support.core.cores import NOW_MS, START_MS, Event, Run, config_of, fixed, split
from tests.support.core.model import check_run
from tests.support.core.streams import cut_places, streams
from tests.support.core.window_model import WindowModel

pytestmark = pytest.mark.usefixtures("both_ways")

WITHOUT_BURSTS = default_thresholds() | {"error_burst": Threshold(None, None, 10.0)}  # the one that knows of panes


def configs_of(sizes: st.SearchStrategy[tuple[int, ...]], profile: HealthProfile) -> st.SearchStrategy[CoreConfig]:
    """Configurations that differ in everything but their health."""
    return st.builds(
        lambda sizes, grace, corrections, places, expiry: replace(
            config_of(sizes, grace, corrections, profile=profile),
            limits=Limits(max_modules=places, module_expiry_ms=expiry),
        ),
        sizes,
        st.sampled_from([0, 1_000, 2_500, 7_000]),
        st.sampled_from([0, 1_000, 3_700, 10_000]),
        st.sampled_from([1, 2, 3, 200]),
        st.sampled_from([1_000, 2_000, 6_000, 86_400_000]),
    )


def profile_of(thresholds: str, improve: int) -> HealthProfile:
    """With error bursts, or without."""
    known = default_thresholds() if thresholds == "all" else WITHOUT_BURSTS
    return HealthProfile(known, min_requests=2, worsen_windows=1, improve_windows=improve)


# More modules than a chunk holds, all unwell: their chunks outlive them.
crowds = st.sampled_from([0, 0, 0, 70, 135]).map(
    lambda count: [Event(f"guest-{number:03}", START_MS, success=False) for number in range(count)]
)


def play(
    configs: Sequence[CoreConfig], events: Sequence[Event], places: Sequence[int], batches: Sequence[int]
) -> tuple[Run, WindowModel]:
    """Run the events through one state, the configuration changing at some places; with the model of the same."""
    run, model = Run(configs[0]), WindowModel(configs[0])
    run.rules = rules_of(configs[0])
    cuts = sorted({0, len(events), *(place % (len(events) + 1) for place in places)})
    for number, (low, high) in enumerate(pairwise(cuts)):
        if number:
            config = configs[number % len(configs)]
            run.config, run.rules = config, rules_of(config)
            run.restart(seed=number)
            model.reconfigure(config)
        model.take(events[low:high], low)
        for part in split(events[low:high], batches):
            run.apply(part)
            run.cut(NOW_MS + run.offset)
    run.cut(NOW_MS + 1_000_000, everything=True)
    return run, model


def agree(run: Run, model: WindowModel, *, health: bool) -> None:
    """Everything that came out is what the model says."""
    assert [letter.offset for letter in run.rejected] == model.late
    assert (run.ledger.late, run.ledger.duplicate) == (len(model.late), len(model.duplicates))
    assert run.core.stream_ms == model.stream
    assert set(run.core.modules.codes) - {"__other__"} == set(model.known)
    check_run(run.metrics, model, health=health)


def with_crowd(crowd: Sequence[Event], events: Sequence[Event], place: int) -> list[Event]:
    """The crowd all at once at some place, at the beginning or when windows are open already."""
    place %= len(events)
    time = events[place].time
    return [*events[:place], *(replace(guest, time=time) for guest in crowd), *events[place:]]


many_events = st.builds(with_crowd, crowds, streams(), st.integers(0, 60))
change_places = st.lists(st.integers(0, 10_000), min_size=1, max_size=3)


@fixed(80)
@given(
    st.integers(1, 3).flatmap(
        lambda improve: st.lists(
            configs_of(st.sampled_from([(1, 2, 6), (1, 3, 12)]), profile_of("all", improve)), min_size=2, max_size=3
        ).map(lambda configs: [replace(c, windows=replace(c.windows, sizes=configs[0].windows.sizes)) for c in configs])
    ),
    many_events,
    change_places,
    cut_places,
)
def test_grace_corrections_places_and_expiry_may_change(
    configs: list[CoreConfig], events: list[Event], places: list[int], batches: list[int]
) -> None:
    run, model = play(configs, events, places, batches)
    agree(run, model, health=True)


FINE = st.sampled_from([(1,), (1, 2, 6), (1, 3, 4, 12), (1, 2, 4, 12), (1, 6), (1, 12, 60)])
ANY = st.sampled_from(
    [(1,), (1, 2, 6), (1, 3, 4, 12), (2, 4, 12), (2, 6), (3, 12), (4, 12, 60), (6,), (6, 60), (5, 10, 60)]
)


@fixed(80)
@given(
    st.lists(configs_of(FINE, profile_of("all", 2)), min_size=2, max_size=3),
    many_events,
    change_places,
    cut_places,
)
def test_window_sizes_may_come_and_go_over_the_same_base(
    configs: list[CoreConfig], events: list[Event], places: list[int], batches: list[int]
) -> None:
    run, model = play(configs, events, places, batches)
    agree(run, model, health=True)


@fixed(80)
@given(
    st.lists(configs_of(ANY, profile_of("without bursts", 2)), min_size=2, max_size=3),
    many_events,
    change_places,
    cut_places,
)
def test_the_base_size_may_change_too(
    configs: list[CoreConfig], events: list[Event], places: list[int], batches: list[int]
) -> None:
    run, model = play(configs, events, places, batches)
    agree(run, model, health=True)


profiles = st.builds(
    HealthProfile,
    st.sampled_from([WITHOUT_BURSTS, default_thresholds()]),
    st.integers(0, 5),
    st.sampled_from([80.0, 99.0]),
    st.sampled_from([50.0, 70.0]),
    st.integers(1, 3),
    st.integers(1, 3),
)


@fixed(60)
@given(
    st.lists(
        st.builds(
            lambda config, profile, dedup: replace(config, health=HealthConfig(profile), dedup=dedup),
            configs_of(st.sampled_from([(1, 2, 6), (2, 6), (1, 3, 12)]), HealthProfile()),
            profiles,
            st.booleans(),
        ),
        min_size=2,
        max_size=3,
    ),
    many_events,
    change_places,
    cut_places,
)
def test_thresholds_and_duplicate_suppression_may_change_and_no_figure_does(
    configs: list[CoreConfig], events: list[Event], places: list[int], batches: list[int]
) -> None:
    run, model = play(configs, events, places, batches)
    agree(run, model, health=False)
