"""What Prometheus would have stored of a worker over two hours, for `promtool test rules`: the series of a real page, each with
the values of a healthy worker, until a fault changes some of them.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import yaml

from tests.support.paths import ROOT
from tests.support.shell.scrapes import series_of

RULES = ROOT / "deploy" / "prometheus-alerts.yml"
STEP_S = 15
# The fault begins after half an hour, for which everything was well.
FAULT_MIN = 30
LAST_MIN = 130
Labels = Mapping[str, str]
# A value at so many seconds since the start; None where there is no sample.
Values = Callable[[int], float | None]
# The same, since the fault began.
Course = Values


def rule_texts() -> str:
    """All expressions of the shipped rules."""
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return "\n".join(rule["expr"] for group in groups for rule in group["rules"])


@dataclass(frozen=True)
class Change:
    """What a fault does to the series of a metric whose labels fit; with `born` they begin with it."""

    metric: str
    course: Course
    where: Callable[[Labels], bool] = lambda labels: True
    born: bool = False


@dataclass(frozen=True)
class Case:
    """A fault, and which alerts fire when.

    Attributes:
        name: of the fault.
        changes: of series that the page has.
        fires: by minutes since the fault, the alerts that fire then: these and no others. Those with a limit as `name limit`.
        page: `worker` or `supervisor`.
        everything_ends: no series of a worker has a sample any more.
        added: series that are no worker's, by their text.
    """

    name: str
    fires: Mapping[int, set[str]]
    changes: tuple[Change, ...] = ()
    page: str = "worker"
    everything_ends: bool = False
    added: Mapping[str, Values] = field(default_factory=dict)


def constant(value: float | None) -> Course:
    """The same value all the time."""
    return lambda s: value


def rising(by_a_second: float, since: float = 0.0) -> Course:
    """A straight line."""
    return lambda s: since + by_a_second * s


def healthy(name: str, labels: Labels, value: float) -> Values:
    """How a series goes on where all is well."""
    if name in {"modpulse_stream_time_seconds", "modpulse_last_commit_timestamp_seconds"}:
        return rising(1)  # in step with the server's clock, which begins at 0 in promtool
    if name == "modpulse_consumed_records_total" or labels.get("outcome") == "applied":
        return rising(40)
    if name == "modpulse_lag_records":
        return lambda s: s * 37 % 400  # up and down with every flush
    if name in {"modpulse_flush_seconds_count", "modpulse_flush_seconds_sum"}:
        return rising(4)
    if name == "modpulse_flush_seconds_bucket":
        return rising(4 if float(labels["le"]) >= 0.05 else 0)
    return constant(0 if name.endswith("_total") or name == "modpulse_start_time_seconds" else value)


def scene(page: str, case: Case | None = None) -> dict[str, Values]:
    """The series by their text in PromQL.

    Args:
        page: a real one.
        case: its fault; None for none.

    Raises:
        AssertionError: the fault changes a series that the page does not have.
    """
    named = set(re.findall(r"[a-z_]+", rule_texts()))
    series: dict[str, Values] = {'up{instance="w:9464",job="modpulse"}': constant(1)}
    changed: set[Change] = set()
    for (name, labels), value in series_of(page).items():
        if name not in named:
            continue
        labelled = dict(labels)
        values = healthy(name, labelled, value)
        for change in case.changes if case else ():
            if change.metric == name and change.where(labelled):
                changed.add(change)
                values = _changed(constant(None) if change.born else values, change.course)
        if case is not None and case.everything_ends:
            values = _changed(values, constant(None))
        series[text_of(name, labelled | {"instance": "w:9464", "job": "modpulse"})] = values
    if case is not None:
        assert [c.metric for c in case.changes if c not in changed] == [], "series that no worker exports"
        series |= case.added
    return series


def _changed(values: Values, course: Course) -> Values:
    return lambda s: values(s) if s < FAULT_MIN * 60 else course(s - FAULT_MIN * 60)


def text_of(name: str, labels: Labels) -> str:
    """A series in PromQL."""
    pairs = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{pairs}}}"


def notation(values: Values) -> str:
    """The values in promtool's notation."""
    pieces: list[str] = []
    found = [values(step * STEP_S) for step in range(LAST_MIN * 60 // STEP_S + 1)]
    at = 0
    while at < len(found):
        first, end = found[at], at + 1
        second = found[end] if end < len(found) else None
        if first is None:
            while end < len(found) and found[end] is None:
                end += 1
            pieces.append("stale" + (f" _x{end - at - 1}" if end - at > 1 else "") if at else f"_x{end - at}")
        elif second is None:
            pieces.append(f"{first:.15g}")
        else:
            by = second - first
            while end < len(found) and (value := found[end]) is not None and value == first + by * (end - at):
                end += 1
            pieces.append(f"{first:.15g}{by:+.15g}x{end - at - 1}")
        at = end
    return " ".join(pieces)


def firing_file(series: Mapping[str, Values], checks: Iterable[tuple[int, set[str]]]) -> str:
    """A file for `promtool test rules`: at these minutes these alerts fire, and no others."""
    return _file(series, "promql_expr_test", [_check(minute, alerts) for minute, alerts in checks])


def silent_file(series: Mapping[str, Values], minute: int, alerts: Iterable[str]) -> str:
    """A file that claims that these alerts do not fire; promtool says what it got instead, texts and all."""
    names = sorted({alert.partition(" ")[0] for alert in alerts})
    claims = [{"eval_time": f"{minute}m", "alertname": name, "exp_alerts": []} for name in names]
    return _file(series, "alert_rule_test", claims)


def _check(minute: int, alerts: set[str]) -> dict[str, object]:
    samples = []
    for alert in alerts:
        name, _, limit = alert.partition(" ")
        labels = {"alertname": name} | ({"limit": limit} if limit else {})
        samples.append({"labels": text_of("", labels), "value": 1})
    expression = 'group by (alertname, limit) (ALERTS{alertstate="firing"})'
    return {"expr": expression, "eval_time": f"{minute}m", "exp_samples": samples}


def _file(series: Mapping[str, Values], kind: str, checks: Sequence[Mapping[str, object]]) -> str:
    inputs = [{"series": text, "values": notation(values)} for text, values in series.items()]
    tests = [{"interval": f"{STEP_S}s", "input_series": inputs, kind: list(checks)}]
    return yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": f"{STEP_S}s", "tests": tests})
