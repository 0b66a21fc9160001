"""Alert rules as data: a TOML text with one `[[rule]]` table each, checked as a whole before anything starts.

Every bad rule is reported at once, each as `source:line: rule 'name': reason`. Reading the file is the caller's
business.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from pipeline.alerts.check import Table, check_condition, check_labels, check_number, check_template
from pipeline.alerts.fields import SCOPES, Scope
from pipeline.alerts.syntax import NEVER
from pipeline.alerts.toml_lines import RuleLines, error_line, rule_lines
from schemas.errors import ConfigError

Severity = Literal["info", "warning", "critical"]
NoData = Literal["hold", "ok", "alert"]

MAX_RULES = 1000
MAX_NAME_CHARS = 128
KEYS = (
    "name", "scope", "window", "expression", "threshold", "value", "for", "keep_firing_for", "severity", "no_data",
    "labels", "annotations",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """One checked rule.

    Attributes:
        name: unique in the file; the label `alertname`.
        scope: `module` (evaluated for every module apart) or `system`.
        window: the window size whose final records it is evaluated on.
        expression: the condition, in CEL.
        threshold: what `threshold` means in the expression.
        value: the expression of the number the alert shows; None if there is none.
        for_ms: how long the condition must hold before the alert fires.
        severity: the label `severity`.
        labels: further labels; they identify the alert, so they are fixed texts.
        annotations: texts with `{placeholders}` for people.
        no_data: what a tick without a record of the module means: `hold` changes nothing, `ok` counts as false (as in
            Prometheus), `alert` counts as true while the module is silent.
        line: of its header in the file.
        keep_firing_for_ms: how long an alert that fires goes on after its condition ended.
    """

    name: str
    scope: Scope
    window: str
    expression: str
    threshold: float | None
    value: str | None
    for_ms: int
    severity: Severity
    labels: dict[str, str]
    annotations: dict[str, str]
    no_data: NoData
    line: int
    keep_firing_for_ms: int = 0


def load_rules(
    text: str, source: str, windows: Sequence[str], *, skip_unknown_windows: bool = False
) -> tuple[Rule, ...]:
    """The rules of a file, in its order.

    Args:
        text: the TOML text.
        source: the file's name, for messages.
        windows: the configured window sizes.
        skip_unknown_windows: leave out rules of other windows instead of refusing them; for the shipped rules, which
            must not stop a start with other window sizes.

    Raises:
        ConfigError: lists everything that is wrong with the file, a line each.
    """
    try:
        document: dict[str, object] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}:{error_line(str(error), text)}: not TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{source}:1: tables or arrays are nested too deep: a rule needs two levels") from error
    except ValueError as error:  # a number of thousands of digits is TOML, and more than Python reads
        raise ConfigError(f"{source}:1: a number is too long: {error}") from error
    tables = document.get("rule", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables) or set(document) - {"rule"}:
        raise ConfigError(f"{source}:1: only [[rule]] tables are expected in a rule file")
    if len(tables) > MAX_RULES:
        raise ConfigError(f"{source}:1: {len(tables)} rules; at most {MAX_RULES} are allowed")
    lines = rule_lines(text)
    if len(lines) != len(tables):  # written as an inline array; only the file can be named then
        lines = [RuleLines(1) for _ in tables]
    rules: list[Rule] = []
    problems: list[str] = []
    taken: dict[str, int] = {}
    for content, where in zip(tables, lines, strict=True):
        table = Table(content, where)
        window = content.get("window")
        if skip_unknown_windows and isinstance(window, str) and window not in windows:
            continue
        rule = _read_rule(table, windows)
        if rule.name in taken:
            table.refuse("name", f"the name is taken by the rule on line {taken[rule.name]}")
        elif rule.name:
            taken[rule.name] = where.header
        rules.append(rule)
        problems += [f"{source}:{line}: rule {rule.name!r}: {reason}" for line, reason in sorted(table.problems)]
    if problems:
        raise ConfigError("\n".join(problems))
    return tuple(rules)


def _read_rule(table: Table, windows: Sequence[str]) -> Rule:
    """One rule; where it is wrong, `table.problems` says so and the rule must not be used."""
    for key in table.unknown_keys(KEYS):
        table.refuse(key, f"unknown key {key!r}; known are {', '.join(KEYS)}")
    scope: Scope = "system" if table.choice("scope", SCOPES, "module") == "system" else "module"
    severities: tuple[Severity, ...] = get_args(Severity)
    severity = table.choice("severity", severities, "warning")
    no_datas: tuple[NoData, ...] = get_args(NoData)
    no_data = table.choice("no_data", no_datas, "hold")
    silence_alone = no_data == "alert" and not table.has("expression")
    rule = Rule(
        name=_read_name(table),
        scope=scope,
        window=table.choice("window", tuple(windows), None),
        expression=NEVER if silence_alone else table.text("expression", None),
        threshold=table.number("threshold"),
        value=table.text("value", "") or None,
        for_ms=table.duration_ms("for"),
        severity=severities[severities.index(severity)] if severity in severities else "warning",
        labels=table.texts("labels"),
        annotations=table.texts("annotations"),
        no_data=no_datas[no_datas.index(no_data)] if no_data in no_datas else "hold",
        line=table.lines.header,
        keep_firing_for_ms=table.duration_ms("keep_firing_for"),
    )
    if scope == "system" and no_data == "alert":
        table.refuse("no_data", 'no_data = "alert" is for scope "module"; a system rule says `total_requests == 0`')
    check_labels(table, rule.labels)
    for key, template in rule.annotations.items():
        check_template(table, key, template, scope, rule.threshold is not None)
    inferred = check_condition(table, rule.expression, scope, rule.threshold) if rule.expression else None
    if rule.value is not None:
        check_number(table, rule.value, scope, rule.threshold)
        return rule
    return replace(rule, value=inferred)


def _read_name(table: Table) -> str:
    name = table.text("name", None)
    if len(name) > MAX_NAME_CHARS or not name.isprintable():
        table.refuse("name", f"must be at most {MAX_NAME_CHARS} printable characters")
    return name
