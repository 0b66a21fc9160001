"""The alert state machine against an independent model of Prometheus, across restarts, and at its limits."""

from dataclasses import replace as replace_rule

from msgspec.structs import replace

from pipeline.alerts.fields import EXAMPLE_MODULE, EXAMPLE_SYSTEM
from pipeline.alerts.machine import KEEP_RESOLVED_MS, AlertMachine
from pipeline.alerts.rules import Rule
from pipeline.alerts.syntax import NEVER
from schemas.alert_state import decode_state
from schemas.alerts import Alert
from tests.support.core.alert_ticks import MINUTE, record, rule, run, tick_of


def told(alerts: list[Alert]) -> list[tuple[str, int, str]]:
    """Status, minute of the tick, reason."""
    return [(a.status, (a.updated_at - 10_000) // MINUTE, a.reason) for a in alerts]


def restarted(machine: AlertMachine, rules: list[Rule], log: dict[bytes, bytes | None]) -> AlertMachine:
    """A new machine from the compacted changelog of the old one."""
    log.update(machine.drain_state())
    new = AlertMachine(rules, "module")
    for key, value in log.items():
        new.restore(key, value)
    return new


def test_an_alert_is_pending_then_fires_then_resolves() -> None:
    machine = AlertMachine([rule()], "module")
    alerts = run(machine, 0.0, 0.1, 0.2, 0.3, 0.4, 0.01, 0.0)
    assert told(alerts) == [
        ("pending", 2, "error_rate > 0.05, must hold for 2m (value 0.1)"),
        ("firing", 4, "error_rate > 0.05 held for 2m (value 0.3)"),
        ("resolved", 6, "error_rate > 0.05 is no longer true (value 0.01)"),
    ]
    assert [(a.starts_at, a.ends_at, a.value, a.revision) for a in alerts] == [
        (MINUTE, None, 0.1, 1),
        (MINUTE, None, 0.3, 2),
        (MINUTE, 6 * MINUTE, 0.01, 3),
    ], "from the start of the first window in which the condition held"
    assert {a.fingerprint for a in alerts} == {alerts[0].fingerprint}
    assert alerts[2].annotations == {"summary": "checkout fails 30%"}, "as it was when it fired"


def test_without_for_an_alert_fires_at_once_and_is_never_pending() -> None:
    assert [a.status for a in run(AlertMachine([rule(for_ms=0)], "module"), 0.1, 0.1, 0.0)] == ["firing", "resolved"]


def test_a_pending_alert_whose_condition_ends_is_resolved_so_that_no_reader_sees_it_pending_for_ever() -> None:
    alerts = run(AlertMachine([rule()], "module"), 0.1, 0.1, 0.0, 0.1)
    assert told(alerts)[:2] == [
        ("pending", 1, "error_rate > 0.05, must hold for 2m (value 0.1)"),
        ("resolved", 3, "condition ended before it had held for 2m"),
    ]
    assert (alerts[2].status, alerts[2].revision, alerts[2].starts_at) == ("pending", 3, 3 * MINUTE)


def test_a_module_without_a_record_counts_as_false() -> None:
    assert told(run(AlertMachine([rule(for_ms=0)], "module"), 0.1, None, None)) == [
        ("firing", 1, "error_rate > 0.05 (value 0.1)"),
        ("resolved", 2, "no data"),
    ]


def test_no_data_hold_leaves_the_alert_as_it_is() -> None:
    machine = AlertMachine([rule(no_data="hold")], "module")
    assert [(a.status, a.updated_at // MINUTE) for a in run(machine, 0.1, None, 0.1, None, 0.0)] == [
        ("pending", 1),
        ("firing", 3),
        ("resolved", 5),
    ]


def test_a_record_on_which_the_condition_cannot_be_said_is_no_data() -> None:
    """The gauge is not sent any more: that is no evidence that the CPU is idle again."""
    cpu = replace_rule(rule(for_ms=0, no_data="hold"), expression="cpu_percent > 90", value="cpu_percent")
    without = replace(EXAMPLE_MODULE, cpu_percent=None)
    for no_data, expected in (("hold", []), ("ok", ["resolved"]), ("alert", [])):
        machine = AlertMachine([replace_rule(cpu, no_data=no_data)], "module")  # type: ignore[arg-type]
        assert [a.status for a in tick_of(machine, "1m", MINUTE, [replace(EXAMPLE_MODULE, cpu_percent=95.0)], 0)] == [
            "firing"
        ]
        assert [a.status for a in tick_of(machine, "1m", 2 * MINUTE, [without], 0)] == expected, no_data


def test_an_alert_about_silence_says_since_when_and_ends_with_the_next_record() -> None:
    silence = replace_rule(
        rule("ModuleSilent", for_ms=MINUTE, no_data="alert"),
        expression=NEVER,
        threshold=None,
        value=None,
        annotations={"summary": "{module_id} is silent since {silent_since} ({error_rate:.0%}, {window}, {value})"},
    )
    machine = AlertMachine([silence], "module")
    others = [record(0.0, "other")]
    since = {"checkout": 5 * MINUTE + 30_000}
    pending, firing, resolved = [
        *tick_of(machine, "1m", 7 * MINUTE, others, 0, since),
        *tick_of(machine, "1m", 8 * MINUTE, others, 0, since),
        *tick_of(machine, "1m", 9 * MINUTE, others, 0, since),
        *tick_of(machine, "1m", 10 * MINUTE, [*others, record(0.0)], 0),
    ]
    assert (pending.status, firing.status, resolved.status) == ("pending", "firing", "resolved")
    assert firing.annotations == {"summary": "checkout is silent since 1970-01-01 00:05:30 UTC (n/a, 1m, n/a)"}
    assert (firing.starts_at, firing.value, firing.reason) == (
        6 * MINUTE,
        None,
        "no event since 1970-01-01 00:05:30 UTC held for 1m",
    )
    assert (resolved.ends_at, resolved.reason) == (10 * MINUTE, "events came again")


def test_the_alerts_of_a_module_that_expired_end_and_those_of_one_that_is_silent_on_purpose() -> None:
    machine = AlertMachine([rule(for_ms=0, no_data="hold")], "module")
    tick_of(machine, "1m", MINUTE, [record(0.1, "a"), record(0.1, "b"), record(0.1, "c")], 0)
    (alert,) = machine.end_expired({"a": 5 * MINUTE, "x": MINUTE}, 7)
    assert (alert.module_id, alert.status, alert.reason) == ("a", "resolved", "expired")
    assert (alert.ends_at, alert.updated_at, alert.revision) == (5 * MINUTE, 7, 2)
    assert machine.active_modules() == {"b", "c"}
    (alert,) = machine.tick("1m", 2 * MINUTE, [record(0.1, "c")], 0, size_ms=MINUTE, excused={"b", "c"})
    assert (alert.module_id, alert.reason) == ("b", "no data: the module's silence is expected")


def test_a_system_rule_sees_the_system_record() -> None:
    system_rule = replace_rule(rule(for_ms=0), scope="system", expression="overall_error_rate > 0.005", annotations={})
    machine = AlertMachine([rule(), replace_rule(system_rule, value="overall_error_rate")], "system")
    (alert,) = tick_of(machine, "1m", MINUTE, (EXAMPLE_SYSTEM,), MINUTE)
    assert (alert.module_id, alert.value, alert.status) == (None, 0.01, "firing")
    assert "module_id" not in alert.labels
    (alert,) = tick_of(machine, "1m", 2 * MINUTE, (), MINUTE)
    assert alert.reason == "no data"


def test_a_tick_concerns_the_rules_of_its_window_only() -> None:
    machine = AlertMachine([rule(for_ms=0), replace_rule(rule("Slow", for_ms=0), window="5m")], "module")
    assert [a.alertname for a in tick_of(machine, "5m", 5 * MINUTE, (record(0.1),), 0)] == ["Slow"]
    assert tick_of(machine, "15m", 5 * MINUTE, (record(0.1),), 0) == []
    assert machine.next_empty_tick("5m", 5 * MINUTE, 5 * MINUTE) == 10 * MINUTE
    assert machine.next_empty_tick("1m", 5 * MINUTE, MINUTE) is None


def test_transitions_come_in_the_order_of_rules_and_then_of_modules() -> None:
    machine = AlertMachine([rule("Z", for_ms=0), rule("A", for_ms=0)], "module")
    tick_of(machine, "1m", MINUTE, [record(0.1, "m")], 0)
    alerts = tick_of(machine, "1m", 2 * MINUTE, [record(0.1, "x"), record(0.1, "b")], 0)
    assert [(a.alertname, a.module_id) for a in alerts] == [(r, m) for r in "ZA" for m in "bmx"]


def test_beyond_the_limit_new_alerts_are_refused_and_counted_until_there_is_room() -> None:
    machine = AlertMachine([rule(for_ms=0)], "module", max_active=2)
    modules = [record(0.1, f"m{i}") for i in range(3)]
    assert [a.module_id for a in tick_of(machine, "1m", MINUTE, modules, 0)] == ["m0", "m1"]
    assert (machine.counters.refused, machine.active_count) == (1, 2)
    assert [(a.module_id, a.status) for a in tick_of(machine, "1m", 2 * MINUTE, modules[1:], 0)] == [
        ("m0", "resolved"),
        ("m2", "firing"),
    ]


def test_only_transitions_are_written_to_the_changelog() -> None:
    machine = AlertMachine([rule(for_ms=0)], "module")
    (alert,) = run(machine, 0.1)
    ((key, value),) = machine.drain_state()
    assert key == f"alert|{alert.fingerprint}".encode()
    assert value is not None
    assert decode_state(key, value).status == "firing"
    assert run(machine, 0.2, 0.3, first=2) == []
    assert machine.drain_state() == []


def test_revisions_rise_over_a_day_of_silence_and_also_once_the_state_is_removed() -> None:
    machine = AlertMachine([rule(for_ms=0)], "module")
    assert [a.revision for a in run(machine, 0.1, 0.0)] == [1, 2]
    resolved = 2 * MINUTE
    assert [a.revision for a in tick_of(machine, "1m", resolved + KEEP_RESOLVED_MS - 1, [record(0.1)], 0)] == [3]
    tick_of(machine, "1m", resolved + KEEP_RESOLVED_MS, [record(0.0)], 0)
    machine.drain_state()
    tick_of(machine, "30s", resolved + 2 * KEEP_RESOLVED_MS, (), 0)
    assert [value for _, value in machine.drain_state()] == [None]
    assert [a.revision for a in tick_of(machine, "1m", resolved + 3 * KEEP_RESOLVED_MS, [record(0.1)], 0)] == [5], (
        "never again 1"
    )


def test_an_alert_of_a_rule_that_is_gone_resolves_at_the_next_tick_of_any_window() -> None:
    log: dict[bytes, bytes | None] = {}
    machine = AlertMachine([rule(for_ms=0)], "module")
    run(machine, 0.1)
    machine = restarted(machine, [], log)
    assert machine.next_empty_tick("30s", 60_000, 30_000) == 90_000
    (alert,) = tick_of(machine, "30s", 90_000, (), 0)
    assert (alert.status, alert.reason, alert.revision) == ("resolved", "rule removed", 2)
    assert alert.annotations == {"summary": "checkout fails 10%"}
    assert machine.next_empty_tick("30s", 90_000, 30_000) is None


def test_a_restart_alone_wants_no_tick() -> None:
    machine = AlertMachine([rule(for_ms=0, no_data="hold")], "module")
    run(machine, 0.1)
    assert restarted(machine, [rule(for_ms=0, no_data="hold")], {}).next_empty_tick("1m", MINUTE, MINUTE) is None


def test_an_alert_of_a_rule_that_is_gone_never_ends_before_it_starts() -> None:
    """A window of another size that nobody ticked for an hour closes late: its tick lies before the alert."""
    machine, log = AlertMachine([rule(for_ms=0)], "module"), dict[bytes, bytes | None]()
    (began,) = run(machine, 0.1, first=65)
    machine = restarted(machine, [], log)
    (ended,) = tick_of(machine, "5m", 5 * MINUTE, (), 0)
    assert (ended.status, ended.reason, ended.ends_at) == ("resolved", "rule removed", 65 * MINUTE)
    assert ended.starts_at == began.starts_at == 64 * MINUTE


def test_a_tick_before_the_last_transition_of_an_alert_says_nothing_of_it() -> None:
    """The rule moved to another window size, whose windows of before the alert are ticked only now."""
    machine, log = AlertMachine([rule(for_ms=0)], "module"), dict[bytes, bytes | None]()
    run(machine, 0.1, first=65)
    machine = restarted(machine, [replace_rule(rule(for_ms=0), window="5m")], log)
    assert tick_of(machine, "5m", 5 * MINUTE, (), 0) == []
    assert tick_of(machine, "5m", 60 * MINUTE, (record(0.0),), 0) == []
    assert [a.ends_at for a in tick_of(machine, "5m", 70 * MINUTE, (), 0)] == [70 * MINUTE]


def test_where_for_was_raised_a_firing_alert_is_pending_until_it_has_held_as_long() -> None:
    machine, log = AlertMachine([rule(for_ms=0)], "module"), dict[bytes, bytes | None]()
    assert [a.status for a in run(machine, 0.1, 0.1)] == ["firing"]
    machine = restarted(machine, [rule(for_ms=4 * MINUTE)], log)
    alerts = run(machine, 0.1, 0.1, 0.1, 0.0, first=3)
    assert told(alerts) == [
        ("pending", 3, "error_rate > 0.05, must hold for 4m (value 0.1)"),
        ("firing", 5, "error_rate > 0.05 held for 4m (value 0.1)"),
        ("resolved", 6, "error_rate > 0.05 is no longer true (value 0)"),
    ]
    assert [a.revision for a in alerts] == [2, 3, 4]


def test_a_rule_with_other_labels_raises_a_new_alert_and_ends_the_old() -> None:
    machine = AlertMachine([rule(for_ms=0)], "module")
    log: dict[bytes, bytes | None] = {}
    run(machine, 0.1)
    changed = [replace_rule(rule(for_ms=0), severity="critical")]
    machine = restarted(machine, changed, log)
    alerts = run(machine, 0.1, first=2)
    assert [(a.severity, a.status, a.reason) for a in alerts] == [
        ("warning", "resolved", "labels of the rule changed"),
        ("critical", "firing", "error_rate > 0.05 (value 0.1)"),
    ]
    machine = restarted(machine, changed, log)
    assert machine.active_count == 1
    assert [(a.severity, a.status) for a in run(machine, 0.0, first=3)] == [("critical", "resolved")]
