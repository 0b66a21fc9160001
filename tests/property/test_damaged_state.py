"""A damaged changelog record is refused by its key, or is what it was; it never gives a core that goes on with other figures."""

import base64
import contextlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import CoreConfig, Limits
from pipeline.cores.module_core import ModuleCore
from pipeline.cores.task_core import TaskCore
from pipeline.system.core import SystemCore
from schemas.errors import StateIncompatible
from schemas.partials import PartitionReport, encode_partial
from schemas.state import POSITION_KEY, pack_position
from tests.property.test_restart import rules_of
from tests.support.core.cores import NOW_MS, START_MS, Event, Run, batch_of, config_of, fixed
from tests.support.paths import DATA

State = dict[bytes, bytes]
V1 = DATA / "state-v1"
V1_SIZES = (("10s", 10_000), ("30s", 30_000), ("1m", 60_000), ("5m", 300_000))


def good_run() -> Run:
    """A task with state of every kind."""
    old = config_of((2, 4), 1_000, 60_000)
    run = Run(old, rules_of(old))
    gauges = {"memory": 5, "goroutines": 7, "connections": 1, "cpu": 50.5}
    events = [Event(f"m{n % 70}", START_MS + 40 * n, 0.5 * n, n % 3 > 0, f"{n}", **gauges) for n in range(300)]  # type: ignore[arg-type]
    run.apply(events)
    run.cut()
    run.config = config_of((2, 4, 8), 1_000, 60_000)
    run.rules = rules_of(run.config)
    run.restart()
    run.apply([Event(f"m{n}", START_MS + 12_000 + n, event_id=f"later-{n}") for n in range(40)])
    run.cut(everything=True)
    assert {key.partition(b"|")[0] for key in run.log} == {
        b"sums", b"carried", b"meta", b"modules", b"ids", b"alert", b"position",
    }  # fmt: skip
    return run


def system_state(config: CoreConfig, partials: list[bytes]) -> State:
    """What the system task keeps of these partials."""
    core = SystemCore(config)
    report = encode_partial(PartitionReport(1, 1, 2, START_MS, False, {2_000: 0, 4_000: 0}))
    values: list[bytes | None] = [*partials, report]
    core.apply(batch_of(values, [None] * len(values)), NOW_MS)
    cut = core.cut(NOW_MS, everything=True)
    state = {record.key: record.value for record in cut.state if record.value is not None}
    return state | {POSITION_KEY: pack_position(cut.position)}


RUN = good_run()
SYSTEM_CONFIG = config_of((2, 4, 8), 1_000, 60_000)
STATES: dict[str, State] = {
    "module": dict(RUN.log),
    "system": system_state(SYSTEM_CONFIG, [p.value for cut in RUN.cuts[-1:] for p in cut.partials]),
}


def core_of(task: str) -> TaskCore:
    """An empty core of the task."""
    return ModuleCore(RUN.config, RUN.rules) if task == "module" else SystemCore(SYSTEM_CONFIG)


def told(core: TaskCore) -> object:
    """Everything that a core keeps and says of it."""
    cut = core.cut(NOW_MS + 10_000, everything=True)
    return sorted(cut.outbox.emitted), sorted(cut.partials), sorted(cut.state, key=lambda r: r.key), cut.position


GOOD: dict[str, object] = {}
for name, known in STATES.items():
    whole = core_of(name)
    whole.restore(dict(known))
    GOOD[name] = told(whole)

KINDS = [(name, kind) for name, known in STATES.items() for kind in sorted({key.partition(b"|")[0] for key in known})]
changes = st.one_of(
    st.tuples(st.just("flip"), st.integers(0, 10**6), st.integers(1, 255)),
    st.tuples(st.just("cut"), st.integers(0, 10**6), st.just(0)),
    st.tuples(st.just("extend"), st.integers(1, 9), st.integers(0, 255)),
    st.tuples(st.just("repeat"), st.integers(0, 10**6), st.just(0)),
)


def damaged(value: bytes, change: tuple[str, int, int]) -> bytes:
    """The value, damaged."""
    kind, place, byte = change
    if kind == "flip":
        place %= len(value)
        return value[:place] + bytes([value[place] ^ byte]) + value[place + 1 :]
    if kind == "cut":
        return value[: place % len(value)]
    if kind == "extend":
        return value + bytes([byte]) * place
    return value[place % len(value) :] + value


@fixed(600)
@given(st.sampled_from(KINDS), st.integers(0, 10**6), changes)
def test_a_damaged_record_of_any_kind_is_refused_by_its_key(
    kind: tuple[str, bytes], which: int, change: tuple[str, int, int]
) -> None:
    task, prefix = kind
    state = STATES[task]
    keys = sorted(key for key in state if key.partition(b"|")[0] == prefix)
    key = keys[which % len(keys)]
    value = damaged(state[key], change)
    core = core_of(task)
    try:
        core.restore(state | {key: value})
    except StateIncompatible as error:
        text = str(error)
        assert key.decode("utf-8", "replace") in text
        assert "application_id" in text
    else:
        assert told(core) == GOOD[task]


@fixed(200)
@given(st.sampled_from(sorted(STATES)), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_record_under_the_key_of_another_is_refused(task: str, one: int, other: int) -> None:
    state = STATES[task]
    keys = sorted(state)
    to, source = keys[one % len(keys)], keys[other % len(keys)]
    core = core_of(task)
    if to == source:
        core.restore(dict(state))
        assert told(core) == GOOD[task]
        return
    with pytest.raises(StateIncompatible):
        core.restore(state | {to: state[source]})


V1_STATES = {
    name: {
        key.encode(): base64.b64decode(value) for key, value in json.loads((V1 / f"{name}.json").read_text()).items()
    }
    for name in ("module-0", "module-1", "system")
}


@fixed(400)
@given(st.sampled_from(sorted(V1_STATES)), st.integers(0, 10**6), changes)
def test_a_damaged_record_of_version_1_ends_in_no_other_error(
    name: str, which: int, change: tuple[str, int, int]
) -> None:
    """Version 1 had no checksums, so a flipped bit may pass for another figure; it never ends the worker with a traceback."""
    config = replace(config_of((1,), 5_000, 60_000), limits=Limits(max_modules=80, module_expiry_ms=100_000))
    config = replace(config, windows=replace(config.windows, sizes=V1_SIZES))
    state = V1_STATES[name]
    keys = sorted(state)
    key = keys[which % len(keys)]
    core: TaskCore = (
        SystemCore(config) if name == "system" else ModuleCore(config, partition=int(name[-1]), partitions=2)
    )
    with contextlib.suppress(StateIncompatible):
        core.restore(state | {key: damaged(state[key], change)})
        core.cut(NOW_MS, everything=True)
