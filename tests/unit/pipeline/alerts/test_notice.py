"""By which labels an alert is known, why it says it changed, and the record that goes out."""

from dataclasses import replace as replace_rule

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.alerts.machine import AlertMachine
from pipeline.alerts.notice import ending_reason, fingerprint, labels_of, rising_reason, to_alert
from schemas.alert_state import ActiveAlert
from schemas.alerts import Alert
from tests.support.core.alert_ticks import MINUTE, rule, run
from tests.support.core.cores import fixed

STATE = ActiveAlert(
    fingerprint="ab",
    rule="R",
    scope="module",
    module_id="m",
    status="firing",
    severity="info",
    labels={"a": "b"},
    annotations={},
    threshold=None,
    value=None,
    active_at_ms=20,
    fired_at_ms=30,
    last_tick_ms=40,
    revision=5,
    starts_at_ms=10,
)


def test_an_alert_record_is_complete() -> None:
    (alert,) = run(AlertMachine([rule(for_ms=0)], "module"), 0.31)
    assert alert == Alert(
        fingerprint="05d00e80ba4bee9e",
        alertname="HighErrorRate",
        status="firing",
        severity="warning",
        module_id="checkout",
        labels={"alertname": "HighErrorRate", "module_id": "checkout", "severity": "warning", "team": "core"},
        annotations={"summary": "checkout fails 31%"},
        value=0.31,
        threshold=0.05,
        starts_at=0,
        ends_at=None,
        updated_at=MINUTE + 10_000,
        reason="error_rate > 0.05 (value 0.31)",
        revision=1,
    )


def test_the_fingerprint_of_given_labels_never_changes() -> None:
    assert fingerprint("module", {"alertname": "A", "module_id": "é"}) == "83dbe86942b6c72e"
    assert fingerprint("module", {"module_id": "é", "alertname": "A"}) == "83dbe86942b6c72e"
    assert fingerprint("system", {"alertname": "A", "module_id": "é"}) != "83dbe86942b6c72e"


LABELS = st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3)


@fixed(200)
@given(LABELS, LABELS)
def test_different_labels_have_different_fingerprints_and_their_order_means_nothing(
    one: dict[str, str], other: dict[str, str]
) -> None:
    assert (fingerprint("module", one) == fingerprint("module", other)) == (one == other)
    assert fingerprint("module", dict(reversed(one.items()))) == fingerprint("module", one)


def test_names_and_values_cannot_be_shifted_into_each_other() -> None:
    different = [{"a": "b", "c": "d"}, {"a": 'b","c":"d'}, {"a": "b,c", "d": ""}, {"ab": "", "c": "d"}, {'a","b': "c"}]
    assert len({fingerprint("module", labels) for labels in different}) == len(different)


def test_no_label_of_a_rule_takes_the_place_of_those_that_modpulse_sets() -> None:
    sly = replace_rule(rule(), labels={"alertname": "x", "severity": "x", "module_id": "x", "z": "1", "a": "2"})
    own = {"alertname": "HighErrorRate", "severity": "warning", "module_id": "m"}
    assert list(labels_of(sly, "m").items()) == sorted(({"z": "1", "a": "2"} | own).items())
    assert "module_id" not in labels_of(rule(), None)


@pytest.mark.parametrize(
    ("for_ms", "firing", "value", "reason"),
    [
        (0, True, None, "c"),
        (0, True, 0.0, "c (value 0)"),
        (90_000, True, None, "c held for 1m30s"),
        (90_000, True, 1_234_567.8, "c held for 1m30s (value 1.23457e+06)"),
        (90_000, False, -0.5, "c, must hold for 1m30s (value -0.5)"),
    ],
)
def test_a_rising_alert_says_how_long_and_by_which_number(
    for_ms: int, firing: bool, value: float | None, reason: str
) -> None:
    assert rising_reason(rule(for_ms=for_ms), "c", value, firing) == reason


def test_an_ended_alert_says_whether_it_ever_fired() -> None:
    assert ending_reason(rule(), "c", 1.0, was_pending=True) == "condition ended before it had held for 2m"
    assert ending_reason(rule(), "c", 1.0, was_pending=False) == "c is no longer true (value 1)"


def test_only_a_resolved_alert_has_an_end_and_state_of_version_1_starts_where_it_was_active() -> None:
    assert (to_alert(STATE, "r", 9).starts_at, to_alert(STATE, "r", 9).ends_at) == (10, None)
    assert to_alert(replace(STATE, status="pending"), "r", 9).ends_at is None
    assert to_alert(replace(STATE, status="resolved"), "r", 9).ends_at == 40
    assert to_alert(replace(STATE, starts_at_ms=None), "r", 9).starts_at == 20
    assert to_alert(replace(STATE, starts_at_ms=0), "r", 9).starts_at == 0
