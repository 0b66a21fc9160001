"""The shipped alert rules speak of what workers export, and each has a runbook; without promtool (see tests/servers)."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from schemas.reasons import REASONS
from tests.support.paths import ROOT
from topology.serve.registry import PROCESS_FAMILIES
from topology.supervisor.metrics import SUPERVISOR_METRICS
from topology.worker.metrics import METRICS

DEPLOY = ROOT / "deploy"
# Labels that the server gives to each series, and the supervisor to those of its workers.
OF_THE_TARGET = {"job", "instance", "worker"}
WORDS = {"absent", "and", "by", "changes", "deriv", "histogram_quantile", "increase", "last_over_time", "max"} | {
    *("min_over_time", "offset", "on", "or", "rate", "sum", "time", "unless", "without")
}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus-alerts.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def labels_by_metric() -> dict[str, set[str]]:
    """What a rule may name: every series of a worker and a supervisor, with its labels."""
    known = {
        "up": set[str](),
        **{name: set[str]() for name in PROCESS_FAMILIES},
        **{n: set[str]() for n in SUPERVISOR_METRICS},
    }
    for name, metric in METRICS.items():
        labels = set(metric.labels)
        if metric.kind == "histogram":
            known |= {f"{name}_bucket": labels | {"le"}, f"{name}_count": labels, f"{name}_sum": labels}
        else:
            known[name] = labels
    return {name: labels | OF_THE_TARGET for name, labels in known.items()}


def named_in(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric of an expression, with the labels it is selected by."""
    for name, selector in re.findall(r"\b([a-z_]{2,})\b(\{[^}]*\})?", re.sub(r'"[^"]*"', '""', _plain(expression))):
        if name not in WORDS:
            yield name, set(re.findall(r"(\w+)\s*[=!]", selector))


def grouped_by(expression: str) -> set[str]:
    """The labels an expression groups or joins by."""
    lists = re.findall(r"\b(?:by|without|on)\s*\(([^)]*)\)", expression)
    return {label.strip() for one in lists for label in one.split(",")}


def _plain(expression: str) -> str:
    return re.sub(r"\b(?:by|without|on)\s*\([^)]*\)", " ", expression)


each_rule = pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])


@each_rule
def test_every_metric_and_label_of_a_rule_is_exported(rule: dict[str, Any]) -> None:
    known = labels_by_metric()
    named = list(named_in(rule["expr"]))
    assert named
    assert [name for name, _ in named if name not in known] == []
    assert [(name, labels) for name, labels in named if not labels <= known[name]] == []
    labels = set().union(*(known[name] for name, _ in named))
    assert grouped_by(rule["expr"]) <= labels
    said = " ".join(rule["annotations"].values())
    assert set(re.findall(r"\$labels\.(\w+)", said)) <= labels


@each_rule
def test_the_values_of_labels_are_ones_there_are(rule: dict[str, Any]) -> None:
    reasons = re.findall(r'rejected_records_total\{reason!?="(\w+)"', rule["expr"])
    assert set(reasons) <= set(REASONS)


@each_rule
def test_an_alert_says_what_how_bad_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_the_runbook_has_a_whole_section_for_each_alert_and_no_other() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text("utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert list(sections) == list(dict.fromkeys(rule["alert"] for rule in rules()))
    parts = ["Means", "Look first", "Do"]
    assert [
        name for name, body in sections.items() if re.findall(r"^\*\*([\w ]+)\.\*\*", body, re.MULTILINE) != parts
    ] == []
    links = re.findall(r"\]\(#(\w+)\)", text)
    assert set(links) <= {name.lower() for name in sections}


def test_the_runbook_names_metrics_there_are() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text("utf-8")
    assert set(re.findall(r"\bmodpulse_[a-z_]+\b", text)) - {"modpulse_"} <= labels_by_metric().keys()


def test_the_scrape_job_has_the_name_the_rules_expect_and_loads_them() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus-scrape.yml").read_text("utf-8"))
    (job,) = config["scrape_configs"]
    expected = {name for rule in rules() for name in re.findall(r'job="([^"]*)"', rule["expr"])}
    assert {job["job_name"]} == expected
    assert all((DEPLOY / name).exists() for name in config["rule_files"])
