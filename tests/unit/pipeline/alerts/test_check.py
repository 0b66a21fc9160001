"""The checks of one rule's table: each mistake is noted at its line, and none hides another."""

import math
from collections.abc import Callable

import pytest

from pipeline.alerts.check import (
    MAX_LABEL_CHARS,
    MAX_LABELS,
    Table,
    check_condition,
    check_labels,
    check_number,
    check_template,
)
from pipeline.alerts.toml_lines import RuleLines

LINES = RuleLines(10, {"a": 11, "labels": 12, "labels.x": 13, "expression": 14, "value": 15, "annotations.s": 16})


def table(**content: object) -> Table:
    return Table(content, LINES)


def noted(check: Callable[[Table], object], **content: object) -> list[tuple[int, str]]:
    one = table(**content)
    check(one)
    return one.problems


def test_a_problem_stands_at_its_key_or_at_the_table_around_it_or_at_the_rule() -> None:
    one = table()
    for key in ("labels.x", "labels.y", "labels", "annotations.t", "missing"):
        one.refuse(key, key)
    assert one.problems == [
        (13, "labels.x"), (12, "labels.y"), (12, "labels"), (10, "annotations.t"), (10, "missing"),
    ]  # fmt: skip


def test_a_required_text_is_more_than_spaces_and_one_with_a_default_may_be_empty() -> None:
    one = table(a=" \t", b="", c=5)
    assert [one.text(key, None) for key in "abcd"] == [""] * 4
    assert one.problems == [
        (11, "a must be a text that is not empty"),
        (10, "b must be a text that is not empty"),
        (10, "c must be a text that is not empty"),
        (10, "d is missing"),
    ]
    one = table(a="", b=" ")
    assert [one.text(key, "default") for key in "abc"] == ["", " ", "default"]
    assert one.problems == []


@pytest.mark.parametrize("value", [0, -1, 2.5, -0.0, 9.9e299, 10**20])
def test_a_finite_number_is_taken_as_a_fraction(value: float) -> None:
    one = table(a=value)
    found = one.number("a")
    assert (type(found), found, one.problems) == (float, value, [])


@pytest.mark.parametrize("value", [True, False, "1", math.nan, math.inf, -math.inf, 1e300, 10**4000, [1], {}])
def test_what_is_no_finite_number_is_noted_and_still_counts_as_there(value: object) -> None:
    one = table(a=value)
    assert one.number("a") is not None
    assert one.problems == [(11, "a must be a finite number")]
    assert table().number("a") is None


def test_there_may_be_as_many_labels_as_the_limit_and_no_more() -> None:
    names = [f"l{number}" for number in range(MAX_LABELS + 1)]
    assert noted(lambda one: one.texts("labels"), labels=dict.fromkeys(names[1:], "v")) == []
    assert noted(lambda one: one.texts("labels"), labels=dict.fromkeys(names, "v")) == [
        (12, f"{MAX_LABELS + 1} labels; at most {MAX_LABELS} are allowed")
    ]


@pytest.mark.parametrize("name", ["a", "_", "_a", "A9_", "a" * 64])
def test_a_name_that_a_label_can_have(name: str) -> None:
    assert noted(lambda one: one.texts("labels"), labels={name: ""}) == []


@pytest.mark.parametrize("name", ["", "__a", "9a", "a-b", "a b", "é", "a" * 65, "a\n"])
def test_a_name_that_no_label_can_have(name: str) -> None:
    (problem,) = noted(lambda one: one.texts("labels"), labels={name: ""})
    assert problem == (12, f"{name!r} is no label name (letters, digits, _; not beginning with __)")


def test_of_a_table_of_texts_only_the_texts_are_used_and_every_other_is_noted() -> None:
    one = table(labels={"x": 5, "y": "kept", "z": ["no"]})
    assert one.texts("labels") == {"y": "kept"}
    assert one.problems == [(13, "labels.x must be a text"), (12, "labels.z must be a text")]


def test_a_label_may_be_as_long_as_the_limit_and_is_none_of_our_own() -> None:
    assert noted(lambda one: check_labels(one, {"x": "v" * MAX_LABEL_CHARS, "Severity": ""})) == []
    assert noted(
        lambda one: check_labels(one, {"x": "v" * (MAX_LABEL_CHARS + 1), "severity": "", "alertname": ""})
    ) == [
        (13, f"label 'x' is longer than {MAX_LABEL_CHARS} characters"),
        (12, "label 'severity' is set by modpulse itself"),
        (12, "label 'alertname' is set by modpulse itself"),
    ]


def test_a_duration_that_is_none_is_noted_with_its_key_and_stands_for_nothing() -> None:
    one = table(a="2 minutes")
    assert one.duration_ms("a") == 0
    assert one.problems == [(11, "a: '2 minutes' is not a duration; write it like 30s, 2m or 1h30m")]
    assert table(a="2m").duration_ms("a") == 120_000


@pytest.mark.parametrize(
    "text",
    [
        "health.reasons[9] == 'x'",
        "error_rate > 0.1 || health.reasons[9] == 'x'",
        "int(error_rate * 1e18) * 1000000 > 1",
        "health.reasons.size() > 0 && health.reasons[0] != ''",
    ],
)
def test_a_condition_that_only_the_example_is_wrong_for_is_taken(text: str) -> None:
    assert noted(lambda one: check_condition(one, text, "module", None)) == []


@pytest.mark.parametrize(
    "text",
    [
        "true || error_rate > 'a'",
        "false && (true || !(error_rate > 'a'))",
        "(total_requests < 0) && error_rate + 1 > 0.5",
        "true || error_rate",
        "error_rate > 0.1 || missing == 1",
    ],
)
def test_a_mistake_that_an_evaluation_would_skip_is_noted_all_the_same(text: str) -> None:
    ((line, reason),) = noted(lambda one: check_condition(one, text, "module", None))
    assert line == 14
    assert reason.startswith("expression: ")


def test_a_value_must_be_a_number_and_a_placeholder_must_be_known() -> None:
    assert noted(lambda one: check_number(one, "error_rate * 100.0", "module", None)) == []
    assert noted(lambda one: check_number(one, "error_rate > threshold", "module", 1.0)) == [
        (15, "value: `error_rate > 1` is not a number but the bool 'False'")
    ]
    assert noted(lambda one: check_template(one, "s", "{module_id}", "module", has_threshold=False)) == []
    assert noted(lambda one: check_template(one, "s", "{module_id}", "system", has_threshold=False)) == [
        (16, "annotation 's': placeholder {module_id}: unknown field 'module_id'; did you mean module_count?")
    ]
