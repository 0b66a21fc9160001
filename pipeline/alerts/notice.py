"""The words and labels of an alert: what identifies it, why it changed, and the record that goes out."""

import hashlib
import json

from pipeline.alerts.durations import format_duration
from pipeline.alerts.fields import Scope
from pipeline.alerts.rules import Rule
from pipeline.alerts.syntax import NEVER
from schemas.alert_state import ActiveAlert
from schemas.alerts import Alert

_FINGERPRINT_CHARS = 16


def labels_of(rule: Rule, module_id: str | None) -> dict[str, str]:
    """The final labels, by which the alert is known."""
    own = {"alertname": rule.name, "severity": rule.severity}
    if module_id is not None:
        own["module_id"] = module_id
    return dict(sorted((rule.labels | own).items()))


def fingerprint(scope: Scope, labels: dict[str, str]) -> str:
    """The same for the same scope and labels, for ever: 64 bits of SHA-256 over their JSON."""
    text = json.dumps([scope, sorted(labels.items())], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_FINGERPRINT_CHARS]


def rising_reason(rule: Rule, condition: str, value: float | None, firing: bool) -> str:
    """Why an alert is pending or firing."""
    held = format_duration(rule.for_ms)
    if not firing:
        return f"{condition}, must hold for {held}{_number(value)}"
    return f"{condition} held for {held}{_number(value)}" if rule.for_ms else f"{condition}{_number(value)}"


def ending_reason(rule: Rule, condition: str, value: float | None, was_pending: bool) -> str:
    """Why an alert resolved when its condition was seen false."""
    if was_pending:
        return f"condition ended before it had held for {format_duration(rule.for_ms)}"
    if rule.expression == NEVER:
        return "events came again"
    return f"{condition} is no longer true{_number(value)}"


def to_alert(state: ActiveAlert, reason: str, updated_at_ms: int) -> Alert:
    """The record for `module-alerts` that says what the state says."""
    return Alert(
        fingerprint=state.fingerprint,
        alertname=state.rule,
        status=state.status,
        severity=state.severity,
        module_id=state.module_id,
        labels=state.labels,
        annotations=state.annotations,
        value=state.value,
        threshold=state.threshold,
        starts_at=state.active_at_ms if state.starts_at_ms is None else state.starts_at_ms,
        ends_at=state.last_tick_ms if state.status == "resolved" else None,
        updated_at=updated_at_ms,
        reason=reason,
        revision=state.revision,
    )


def _number(value: float | None) -> str:
    return "" if value is None else f" (value {value:.6g})"
