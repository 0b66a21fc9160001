"""The transitions of alerts against an independent model of Prometheus, restarts between any two ticks included."""

from dataclasses import replace as replace_rule
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.alerts.fields import EXAMPLE_MODULE
from pipeline.alerts.machine import AlertMachine
from pipeline.alerts.rules import NoData, Rule, load_rules
from schemas.alerts import Alert

MINUTE = 60_000
MODULES = ("a", "b", "c")
Truth = bool | None
Steps = list[tuple[int, tuple[Truth, ...]]]
Spec = tuple[int, int, NoData]
(RULE,) = load_rules('[[rule]]\nname="R"\nwindow="1m"\nexpression="error_rate > 0.5"\n', "rules.toml", ["1m"])


def model(history: list[tuple[int, Truth]], for_ms: int, keep_ms: int, no_data: NoData) -> list[tuple[int, str]]:
    """One alert of Prometheus (rules/alerting.go), tick by tick, over what its rule makes of ticks without a record."""
    missing = {"hold": None, "ok": False, "alert": True}[no_data]
    out: list[tuple[int, str]] = []
    active_at: int | None = None
    kept_since: int | None = None
    firing = False
    for tick, seen in history:
        truth = missing if seen is None else seen
        if truth is None:
            continue
        if truth:
            kept_since = None
            if active_at is None:
                active_at = tick
                if for_ms:
                    out.append((tick, "pending"))
            if not firing and tick - active_at >= for_ms:
                firing = True
                out.append((tick, "firing"))
        elif active_at is not None:
            if firing and kept_since is None:
                kept_since = tick
            if firing and kept_since is not None and tick - kept_since < keep_ms:
                continue
            out.append((tick, "resolved"))
            active_at, kept_since, firing = None, None, False
    return out


steps_strategy = st.lists(
    st.tuples(st.integers(1, 3), st.tuples(*[st.sampled_from([True, True, False, None])] * 3)), max_size=25
)
specs_strategy = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.sampled_from(get_args(NoData))), min_size=1, max_size=3
)


def rules_of(specs: list[Spec]) -> list[Rule]:
    return [
        replace_rule(RULE, name=f"R{i}", for_ms=wait * MINUTE, keep_firing_for_ms=keep * MINUTE, no_data=no_data)
        for i, (wait, keep, no_data) in enumerate(specs)
    ]


def play(steps: Steps, rules: list[Rule], restart_at: frozenset[int]) -> list[tuple[int, Alert]]:
    machine = AlertMachine(rules, "module")
    log: dict[bytes, bytes | None] = {}
    tick = 0
    out: list[tuple[int, Alert]] = []
    for index, (minutes, truths) in enumerate(steps):
        if index in restart_at:
            log.update(machine.drain_state())
            machine = AlertMachine(rules, "module")
            for key, value in log.items():
                machine.restore(key, value)
        tick += minutes * MINUTE
        named = list(zip(MODULES, truths, strict=True))
        records = [replace(EXAMPLE_MODULE, module_id=m, error_rate=float(t)) for m, t in named if t is not None]
        silent = {m: 0 for m, t in named if t is None}
        out += [(tick, alert) for alert in machine.tick("1m", tick, records, tick, size_ms=MINUTE, silent=silent)]
    return out


@given(steps=steps_strategy, specs=specs_strategy)
def test_transitions_are_those_of_prometheus(steps: Steps, specs: list[Spec]) -> None:
    rules = rules_of(specs)
    got = play(steps, rules, frozenset())
    ends = [sum(minutes for minutes, _ in steps[: i + 1]) * MINUTE for i in range(len(steps))]
    for rule, (wait, keep, no_data) in zip(rules, specs, strict=True):
        for column, module in enumerate(MODULES):
            history = [(end, truths[column]) for end, (_, truths) in zip(ends, steps, strict=True)]
            mine = [(tick, a) for tick, a in got if (a.alertname, a.module_id) == (rule.name, module)]
            expected = model(history, wait * MINUTE, keep * MINUTE, no_data)
            assert [(tick, a.status) for tick, a in mine] == expected
            assert [a.revision for _, a in mine] == list(range(1, len(mine) + 1))


@given(steps=steps_strategy, specs=specs_strategy, restart_at=st.frozensets(st.integers(0, 24)))
def test_restarts_between_any_ticks_change_nothing(steps: Steps, specs: list[Spec], restart_at: frozenset[int]) -> None:
    assert play(steps, rules_of(specs), restart_at) == play(steps, rules_of(specs), frozenset())


@given(
    held=st.integers(1, 3),
    gap=st.integers(1, 12),
    specs=specs_strategy,
)
def test_empty_windows_that_are_left_out_would_have_changed_nothing(held: int, gap: int, specs: list[Spec]) -> None:
    """Every empty window ticked, and only those that the machine asks for: the same transitions at the same ticks."""
    rules = rules_of(specs)
    every, asked = AlertMachine(rules, "module"), AlertMachine(rules, "module")
    told: list[list[tuple[int, Alert]]] = [[], []]
    bad = [replace(EXAMPLE_MODULE, module_id="a", error_rate=1.0)]
    for number, machine in enumerate((every, asked)):
        for tick in range(1, held + 1):
            told[number] += [(tick, a) for a in machine.tick("1m", tick * MINUTE, bad, 0, size_ms=MINUTE)]
    for tick in range(held + 1, held + gap + 1):
        told[0] += [(tick, a) for a in every.tick("1m", tick * MINUTE, [], 0, size_ms=MINUTE)]
    newest: int | None = held * MINUTE
    while newest is not None:
        newest = asked.next_empty_tick("1m", newest, MINUTE)
        if newest is None or newest > (held + gap) * MINUTE:
            break
        told[1] += [(newest // MINUTE, a) for a in asked.tick("1m", newest, [], 0, size_ms=MINUTE)]
    assert told[0] == told[1]
