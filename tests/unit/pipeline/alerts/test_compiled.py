"""A rule ready to run: it never fails for a record's sake, and says how often it could not tell."""

from dataclasses import replace as replace_rule

import pytest
from msgspec.structs import replace

from pipeline.alerts.compiled import AlertCounters, CompiledRule
from pipeline.alerts.fields import EXAMPLE_MODULE
from pipeline.alerts.machine import AlertMachine
from pipeline.alerts.syntax import ExpressionError
from tests.support.core.alert_ticks import MINUTE, record, rule, tick_of

NO_CPU = replace(EXAMPLE_MODULE, cpu_percent=None)


def compiled(
    value: str | None = "error_rate", expression: str = "error_rate > threshold"
) -> tuple[CompiledRule, AlertCounters]:
    counters = AlertCounters()
    return CompiledRule(replace_rule(rule("R"), expression=expression, value=value), counters), counters


def test_a_record_on_which_a_rule_fails_counts_as_false_and_is_counted() -> None:
    broken = replace_rule(rule("Broken", for_ms=0), expression="health.reasons[5] == 'x'")
    cpu = replace_rule(rule("Cpu", for_ms=0), expression="cpu_percent > 5", value=None)
    machine = AlertMachine([broken, cpu], "module")
    assert tick_of(machine, "1m", MINUTE, [replace(EXAMPLE_MODULE, cpu_percent=None)], 0) == []
    assert machine.counters.evaluations == 2
    assert machine.counters.failures == {("Broken", "failed"): 1, ("Cpu", "null_field"): 1}
    assert "index out of bounds" in machine.counters.last_failure["Broken"]


def test_the_condition_and_the_value_are_those_of_the_rule() -> None:
    one, counters = compiled()
    assert [one.holds(record(rate)) for rate in (0.05, 0.06)] == [False, True]
    assert one.value(record(0.06)) == 0.06
    assert (counters.evaluations, counters.failures) == (2, {})


def test_a_rule_without_a_value_shows_none_and_counts_nothing() -> None:
    one, counters = compiled(value=None)
    assert one.value(EXAMPLE_MODULE) is None
    assert counters == AlertCounters()


def test_a_value_that_is_null_is_none_and_one_that_fails_is_none_and_counted() -> None:
    one, counters = compiled(value="cpu_percent * 2.0")
    assert one.value(NO_CPU) is None
    assert counters.failures == {}
    one, counters = compiled(value="double(health.reasons[7])")
    assert one.value(EXAMPLE_MODULE) is None
    assert counters.failures == {("R", "failed"): 1}


def test_only_a_failure_that_the_rule_is_to_blame_for_leaves_its_newest_message() -> None:
    one, counters = compiled(expression="cpu_percent > 5")
    assert not one.holds(NO_CPU)
    assert (counters.failures, counters.last_failure) == ({("R", "null_field"): 1}, {})
    one, counters = compiled(expression="health.reasons[int(total_requests)] == 'x'")
    for requests in (7, 8):
        assert not one.holds(replace(EXAMPLE_MODULE, total_requests=requests))
    assert counters.failures == {("R", "failed"): 2}
    assert "8" in counters.last_failure["R"]


def test_annotations_come_in_the_order_of_their_names() -> None:
    texts = {"b": "{value}", "a": "{threshold}"}
    one = CompiledRule(replace_rule(rule(), annotations=texts), AlertCounters())
    assert [(name, text.render(EXAMPLE_MODULE, 1.5, 0.05)) for name, text in one.annotations.items()] == [
        ("a", "0.05"),
        ("b", "1.5"),
    ]


def test_a_rule_made_by_hand_that_does_not_compile_is_refused_at_once() -> None:
    with pytest.raises(ExpressionError, match="unknown field 'nothing'"):
        compiled(expression="nothing > 1")
    with pytest.raises(ExpressionError, match="names threshold, but the rule has none"):
        CompiledRule(replace_rule(rule(), threshold=None), AlertCounters())
