"""Disordered streams of a few modules, and configurations with small windows."""

from itertools import accumulate

from hypothesis import strategies as st

from pipeline.config import CoreConfig, HealthProfile
from tests.support.core.cores import START_MS, Event, config_of

GAPS_MS = (0, 0, 0, 1, 100, 500, 1_000, 2_500, 9_000)
LAGS_MS = (0, 0, 0, 0, 1, 700, 1_500, 3_000, 6_000, 14_000)
MODULES = ("checkout", "search", "süßwaren|1s", "z")
# None of them lies on the edge of a bin.
VALUES_MS = (0.0, -0.0, 1e-300, 0.1, 0.3, 1.5, 2.5, 700.0, 1_200.0, 6_000.0, 12_000.0, 1e9 + 1, 2.0**60)
MEMORY = (None, None, 0, 5 << 30, 9 << 30, 2**63 - 1)
CPU = (None, None, 0.0, -0.0, 50.5, 85.1, 99.9)
SMALL = (None, None, 0, 7)
IDS = (None, None, None, "a", "b", "c", "")
SUCCESS = (True, True, False)

_choices = st.integers(0, len(SUCCESS) * len(MEMORY) * len(CPU) * len(SMALL) ** 2 * len(IDS) - 1)
_raw = st.tuples(
    st.sampled_from(GAPS_MS), st.sampled_from(LAGS_MS), st.sampled_from(MODULES), st.sampled_from(VALUES_MS), _choices
)


def _event(head: int, raw: tuple[int, int, str, float, int]) -> Event:
    _, lag, module, value, choice = raw
    picked: list[int] = []
    for options in (SUCCESS, MEMORY, CPU, SMALL, SMALL, IDS):
        choice, index = divmod(choice, len(options))
        picked.append(index)
    success, memory, cpu, goroutines, connections, event_id = picked
    return Event(
        module,
        max(head - lag, 0),
        value,
        SUCCESS[success],
        IDS[event_id],
        MEMORY[memory],
        SMALL[goroutines],
        SMALL[connections],
        CPU[cpu],
    )


def streams(most: int = 60) -> st.SearchStrategy[list[Event]]:
    """Events in offset order: the head moves on by gaps, each event lags behind it by its own lag."""
    raw_streams = st.lists(_raw, min_size=1, max_size=8) | st.lists(_raw, min_size=most // 2, max_size=most)
    return raw_streams.map(
        lambda raws: [
            _event(head, raw)
            for head, raw in zip(accumulate((raw[0] for raw in raws), initial=START_MS), raws, strict=False)
        ]
    )


def configs(emit_interval_ms: int = 0) -> st.SearchStrategy[CoreConfig]:
    """Small windows, also such that do not divide each other, with and without grace and corrections."""
    return st.builds(
        lambda sizes, grace, corrections, worsen, improve: config_of(
            sizes,
            grace,
            corrections,
            emit_interval_ms=emit_interval_ms,
            profile=HealthProfile(min_requests=2, worsen_windows=worsen, improve_windows=improve),
        ),
        st.sampled_from([(1, 2, 6), (2, 4, 6, 12), (1,), (1, 3, 4, 12, 60)]),
        st.sampled_from([0, 1_000, 2_500]),
        st.sampled_from([0, 1_000, 3_700, 10_000]),
        st.integers(1, 3),
        st.integers(1, 3),
    )


cut_places = st.lists(st.integers(0, 10_000), max_size=12)
