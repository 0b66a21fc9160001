"""Alert states: found in every way they are asked for, forgotten in time, and written down exactly when they changed."""

from collections.abc import Sequence
from dataclasses import replace as replace_rule

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.alerts.machine import AlertMachine
from pipeline.alerts.store import AlertStore
from schemas.alert_state import ActiveAlert, decode_state
from schemas.alerts import AlertStatus
from schemas.errors import StateIncompatible
from tests.support.core.alert_ticks import rule, run
from tests.support.core.cores import fixed

KEEP_MS = 100


def state(
    fingerprint: str, status: AlertStatus = "firing", tick_ms: int = 0, revision: int = 1, rule: str = "R"
) -> ActiveAlert:
    """An alert of the module that has the name of its fingerprint."""
    return ActiveAlert(
        fingerprint=fingerprint,
        rule=rule,
        scope="module",
        module_id=fingerprint,
        status=status,
        severity="info",
        labels={},
        annotations={},
        threshold=None,
        value=None,
        active_at_ms=0,
        fired_at_ms=None,
        last_tick_ms=tick_ms,
        revision=revision,
    )


def store_of(*states: ActiveAlert) -> AlertStore:
    store = AlertStore(KEEP_MS)
    for one in states:
        store.put(one)
    return store


def test_a_resolved_alert_is_remembered_for_exactly_as_long_as_it_was_said() -> None:
    store = store_of(state("a", "resolved", tick_ms=50, revision=7))
    assert store.expire(50 + KEEP_MS - 1) == 0
    assert store.get("a") == state("a", "resolved", tick_ms=50, revision=7)
    assert store.expire(50 + KEEP_MS) == 7
    assert (store.get("a"), store.all()) == (None, [])


def test_of_the_alerts_that_are_forgotten_together_the_highest_revision_counts() -> None:
    store = store_of(*(state(str(n), "resolved", tick_ms=n, revision=r) for n, r in enumerate((3, 9, 4))))
    assert store.expire(10 * KEEP_MS) == 9
    assert store.expire(10 * KEEP_MS) == 0


def test_an_alert_that_came_back_is_not_forgotten_by_its_earlier_end() -> None:
    store = store_of(state("a", "resolved", tick_ms=1), state("a", "firing", tick_ms=2))
    assert (store.expire(KEEP_MS), store.active_count) == (0, 1)
    store.put(state("a", "resolved", tick_ms=KEEP_MS))
    assert store.expire(KEEP_MS + 50) == 0
    assert store.get("a") is not None
    ends = store_of(*(state("a", "resolved", tick_ms=tick) for tick in (1, 200)))
    assert ends.expire(250) == 0
    assert ends.get("a") is not None


def test_each_change_is_drained_once_as_it_is_by_then_and_what_is_forgotten_as_a_tombstone() -> None:
    store = store_of(state("b"), state("a", "pending"), state("a", "firing", revision=2))
    drained = store.drain()
    assert [key for key, _ in drained] == [b"alert|a", b"alert|b"]
    assert [decode_state(key, value) for key, value in drained if value] == [state("a", revision=2), state("b")]
    assert store.drain() == []
    store.put(state("b", "resolved", tick_ms=5))
    store.expire(5 + KEEP_MS)
    assert store.drain() == [(b"alert|b", None)]


def test_a_restored_alert_is_not_written_again_and_a_tombstone_takes_it_back() -> None:
    (record,) = store_of(state("a")).drain()
    store = AlertStore(KEEP_MS)
    store.restore(*record)
    assert (store.drain(), store.active_count, store.has_active("R")) == ([], 1, True)
    store.restore(record[0], None)
    store.restore(b"alert|never", None)
    assert (store.all(), store.active_count, store.has_active("R")) == ([], 0, False)
    with pytest.raises(StateIncompatible, match="not the key of an alert"):
        store.restore(b"pane|x", None)


def test_an_alert_restored_from_both_its_records_of_a_relabelling_is_found_in_either_order() -> None:
    """The old and the new fingerprint share rule and module; the changelog orders them by fingerprint."""
    machine = AlertMachine([rule(for_ms=0)], "module")
    run(machine, 0.1)
    history = machine.drain_state()
    changed = [replace_rule(rule(for_ms=0), severity="critical")]
    second = AlertMachine(changed, "module")
    for key, value in history:
        second.restore(key, value)
    run(second, 0.1, first=2)
    pair = second.drain_state()
    for order in (pair, pair[::-1]):
        third = AlertMachine(changed, "module")
        for key, value in [*history, *order]:
            third.restore(key, value)
        assert third.active_count == 1


STATES = st.builds(
    state,
    st.sampled_from("abc"),
    st.sampled_from(["pending", "firing", "resolved"]),
    st.sampled_from((0, 100, 200)),
    st.integers(1, 9),
    st.sampled_from(["R", "S"]),
)


@fixed(200)
@given(st.lists(st.one_of(STATES, st.sampled_from((99, 100, 200, 300))), max_size=30))
def test_every_way_of_asking_agrees_with_a_plain_dictionary(steps: Sequence[ActiveAlert | int]) -> None:
    store, known, log = AlertStore(KEEP_MS), dict[str, ActiveAlert](), dict[bytes, bytes | None]()
    for step in steps:
        if isinstance(step, int):
            due = {f: s for f, s in known.items() if s.status == "resolved" and s.last_tick_ms + KEEP_MS <= step}
            assert store.expire(step) == max((s.revision for s in due.values()), default=0)
            known = {f: s for f, s in known.items() if f not in due}
        else:
            store.put(step)
            known[step.fingerprint] = step
        log.update(store.drain())
    restored = AlertStore(KEEP_MS)
    for key, value in log.items():
        restored.restore(key, value)
    active = {f: s for f, s in known.items() if s.status != "resolved"}
    for one in (store, restored):
        assert one.all() == [known[f] for f in sorted(known)]
        assert one.all_active() == sorted(active.values(), key=lambda s: (s.rule, s.fingerprint))
        assert one.active_count == len(active)
        for name in ("R", "S"):
            assert one.active(name) == {f: s for f, s in active.items() if s.rule == name}
            assert one.has_active(name) == bool(one.active(name))
