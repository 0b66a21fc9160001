"""Loading rule files: what is read, what is refused, and that every mistake is named with its line."""

import pytest

from pipeline.alerts.rules import KEYS, MAX_RULES, Rule, load_rules
from schemas.errors import ConfigError
from tests.support.paths import ROOT

WINDOWS = ("30s", "1m", "5m")
DEFAULT_RULES = ROOT / "topology" / "settings" / "default_rules.toml"


def load(text: str) -> tuple[Rule, ...]:
    return load_rules(text, "rules.toml", WINDOWS)


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text)
    return str(caught.value).splitlines()


def rule_text(**keys: str) -> str:
    """A good rule with some of its keys replaced by other TOML values; an empty one leaves the key out."""
    values = {"name": '"R"', "window": '"1m"', "expression": '"error_rate > 0.5"'} | keys
    return "[[rule]]\n" + "".join(f"{key} = {value}\n" for key, value in values.items() if value)


def test_a_rule_is_read_with_every_key() -> None:
    text = """# a comment with [[rule]] in it
[[rule]]
name = "Slow"
scope = "system"
window = "5m"
expression = "response_time_ms.p99 > threshold"
threshold = 250
value = "response_time_ms.p95"
for = "1h30m"
severity = "critical"
no_data = "hold"
[rule.labels]
team = "core"
[rule.annotations]
summary = "{response_time_ms.p99:.1f} ms"
"""
    assert load(text) == (
        Rule(
            name="Slow",
            scope="system",
            window="5m",
            expression="response_time_ms.p99 > threshold",
            threshold=250.0,
            value="response_time_ms.p95",
            for_ms=5_400_000,
            severity="critical",
            labels={"team": "core"},
            annotations={"summary": "{response_time_ms.p99:.1f} ms"},
            no_data="hold",
            line=2,
        ),
    )


def test_what_a_rule_leaves_out_has_a_default() -> None:
    (rule,) = load(rule_text())
    assert (rule.scope, rule.severity, rule.for_ms, rule.no_data, rule.threshold) == (
        "module",
        "warning",
        0,
        "hold",
        None,
    )
    assert (rule.labels, rule.annotations) == ({}, {})


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("error_rate > 0.5", "error_rate"),
        ("100 < response_time_ms.p99", "response_time_ms.p99"),
        ("total_requests >= 10 && error_rate > threshold", "error_rate"),
        ("total_requests >= 10 && error_rate > 0.5", "total_requests"),
        ("health.status == 'critical'", None),
        ("health.status == 'critical' && cpu_percent > 5", "cpu_percent"),
    ],
)
def test_the_value_shown_is_the_field_compared_with_the_threshold_or_else_the_first_compared(
    expression: str, value: str | None
) -> None:
    (rule,) = load(rule_text(expression=f'"{expression}"', threshold="0.5" if "threshold" in expression else ""))
    assert rule.value == value


def test_the_shipped_rules_load_and_are_all_evaluable() -> None:
    rules = load_rules(DEFAULT_RULES.read_text(), "default_rules.toml", WINDOWS)
    assert [rule.name for rule in rules] == [
        "ErrorBurst",
        "HighErrorRate",
        "SlowP99",
        "ModuleCritical",
        "ModuleSilent",
        "HighCpu",
        "SystemErrorRate",
        "SystemDegraded",
        "NoTraffic",
        "PartitionSilent",
    ]


def test_shipped_rules_of_windows_that_are_not_configured_can_be_left_out() -> None:
    rules = load_rules(DEFAULT_RULES.read_text(), "default_rules.toml", ("30s",), skip_unknown_windows=True)
    assert [rule.name for rule in rules] == ["ErrorBurst", "ModuleSilent", "NoTraffic", "PartitionSilent"]


def test_an_empty_file_has_no_rules() -> None:
    assert load("") == ()


def test_all_bad_rules_are_listed_each_at_the_line_of_its_mistake() -> None:
    text = '''[[rule]]
name = "A"
window = "2m"
expression = "eror_rate > 0.1"
colour = 1

[[ rule ]]
name = "A"
window = "1m"
expression = """
error_rate > 0.5
"""
for = "5"
[rule.annotations]
summary = "{nothing}"

[[rule]]
name = "Fine"
window = "1m"
expression = "error_rate > 0.5"
'''
    assert problems(text) == [
        "rules.toml:3: rule 'A': window is '2m'; it must be one of 30s, 1m, 5m",
        "rules.toml:4: rule 'A': expression: unknown field 'eror_rate'; did you mean error_rate?",
        "rules.toml:5: rule 'A': unknown key 'colour'; known are " + ", ".join(KEYS),
        "rules.toml:8: rule 'A': the name is taken by the rule on line 1",
        "rules.toml:13: rule 'A': for: '5' is not a duration; write it like 30s, 2m or 1h30m",
        "rules.toml:15: rule 'A': annotation 'summary': placeholder {nothing}: unknown field 'nothing'",
    ]


@pytest.mark.parametrize(
    ("keys", "line", "reason"),
    [
        ({"name": ""}, 1, "name is missing"),
        ({"name": "'  '"}, 2, "name must be a text that is not empty"),
        ({"name": '"a\\nb"'}, 2, "must be at most 128 printable characters"),
        ({"window": ""}, 1, "window is missing"),
        ({"window": "60"}, 3, "window must be a text that is not empty"),
        ({"expression": ""}, 1, "expression is missing"),
        ({"scope": '"planet"'}, 5, "scope is 'planet'; it must be one of module, system"),
        ({"severity": '"page"'}, 5, "severity is 'page'; it must be one of info, warning, critical"),
        ({"no_data": '"page"'}, 5, "no_data is 'page'; it must be one of hold, ok, alert"),
        (
            {"no_data": '"alert"', "scope": '"system"', "expression": '"overall_error_rate > 0.5"'},
            5,
            'no_data = "alert" is for scope "module"',
        ),
        ({"keep_firing_for": '"5"'}, 5, "keep_firing_for: '5' is not a duration"),
        ({"threshold": "nan"}, 5, "threshold must be a finite number"),
        ({"threshold": "true"}, 5, "threshold must be a finite number"),
        ({"labels": '{ team-a = "x" }'}, 5, "'team-a' is no label name (letters, digits, _; not beginning with __)"),
        ({"labels": "{ team = 1 }"}, 5, "labels.team must be a text"),
        ({"labels": '{ module_id = "x" }'}, 5, "label 'module_id' is set by modpulse itself"),
        ({"labels.team": "7"}, 5, "labels.team must be a text"),
        ({"labels": '"x"'}, 5, "labels must be a table of texts"),
        ({"value": '"health.status"'}, 5, "value: `health.status` is not a number but the str 'healthy'"),
        ({"annotations": '{ a = "{threshold}" }'}, 5, "placeholder {threshold}, but the rule has no threshold"),
        ({"scope": '"system"'}, 4, "expression: unknown field 'error_rate'; did you mean overall_error_rate?"),
        ({"expression": '"error_rate > threshold"'}, 4, "expression: names threshold, but the rule has none"),
        ({"expression": '"error_rate + 0.5"'}, 4, "is not true or false but the float '0.52'"),
        (
            {"expression": "\"total_requests < 0 && error_rate > 'a'\""},
            4,
            "expression: `error_rate > 'a'`: No such overload",
        ),
    ],
)
def test_a_mistake_is_named(keys: dict[str, str], line: int, reason: str) -> None:
    (problem,) = problems(rule_text(**keys))
    assert problem.startswith(f"rules.toml:{line}: rule ")
    assert reason in problem


def test_a_toml_syntax_error_is_named_with_its_line() -> None:
    (problem,) = problems('[[rule]]\nname = "A\n')
    assert problem.startswith("rules.toml:2: not TOML: ")
    (problem,) = problems('[[rule]]\nname = """A\n\n')
    assert problem.startswith("rules.toml:2: not TOML: ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a = " + "[" * 3_000, "nested too deep"),
        ("a = " + "{a = " * 3_000, "nested too deep"),
        ("a = " + "[" * 3_000 + "]" * 3_000, "nested too deep"),
        ("a = " + "9" * 5_000, "a number is too long"),
        (rule_text(threshold="9" * 5_000), "a number is too long"),
    ],
)
def test_a_text_that_is_too_much_for_the_toml_reader_is_refused_like_any_mistake(text: str, reason: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith("rules.toml:1: ")
    assert reason in problem


def test_other_tables_and_too_many_rules_are_refused() -> None:
    assert problems("[rules]\n") == ["rules.toml:1: only [[rule]] tables are expected in a rule file"]
    assert problems("rule = 5\n") == ["rules.toml:1: only [[rule]] tables are expected in a rule file"]
    many = "".join(rule_text(name=f'"R{i}"') for i in range(MAX_RULES + 1))
    assert problems(many) == ["rules.toml:1: 1001 rules; at most 1000 are allowed"]
