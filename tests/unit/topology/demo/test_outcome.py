"""What the demo accepts: every record accounted for to the event, and alerts that came and went."""

from dataclasses import replace

import pytest

from schemas.alerts import Alert, AlertStatus
from schemas.state import Ledger
from topology.demo.outcome import Outcome, Tally
from topology.demo.scenario import RULES_FILE, Scenario, demo_settings
from topology.settings.alert_rules import read_rules

PUBLISHED = {"records": 110, "events": 100, "duplicates": 6, "bad": 4, "seconds": 1.0}


def alert(name: str, status: AlertStatus) -> Alert:
    return Alert(name, name, status, "critical", "m", {}, {}, 1.0, 0.5, 0, None, 0, "", 1)


def outcome(*alerts: Alert, interrupted: bool = False) -> Outcome:
    tally = Tally()
    for one in alerts:
        tally.take(one)
    ledger = Ledger(consumed=110, applied=100, duplicate=6, invalid=3, future=1)
    return Outcome(PUBLISHED, ledger, True, tally, interrupted)


def test_a_balanced_ledger_and_an_alert_that_fired_and_resolved_are_all_it_wants() -> None:
    done = outcome(alert("a", "firing"), alert("a", "resolved"), alert("b", "pending"), alert("b", "resolved"))
    assert done.findings() == []
    assert done.summary()["alerts"] == {"fired": 1, "resolved": 1, "rules": {"a": 1}}
    assert ("ok", "the ledger balances to the event") in done.rows()


def test_without_alerts_it_is_a_finding_unless_it_was_ended_early() -> None:
    assert outcome().findings() == ["no alert fired"]
    assert outcome(alert("a", "firing")).findings() == ["1 alerts did not resolve"]
    assert outcome(alert("a", "firing"), interrupted=True).findings() == []


@pytest.mark.parametrize("field", ["consumed", "applied", "duplicate", "invalid", "late", "forwarded"])
def test_a_single_record_too_many_is_a_finding(field: str) -> None:
    done = outcome(interrupted=True)
    wrong = Ledger(**{name: getattr(done.ledger, name) for name in Ledger.__struct_fields__})
    setattr(wrong, field, getattr(wrong, field) + 1)
    assert len(replace(done, ledger=wrong).findings()) == 1


def test_the_demos_own_configuration_and_rules_are_good(tmp_path: object) -> None:
    from pathlib import Path

    assert isinstance(tmp_path, Path)
    settings = demo_settings(tmp_path, "127.0.0.1:9092", "127.0.0.1:9464", "demo-1-")
    assert settings.topics.dlq == "demo-1-module-log-events.dlq"
    assert settings.application_id == "demo-1-modpulse-demo"
    assert [rule.window for rule in read_rules(RULES_FILE, settings)] == ["5s", "5s", "5s"]


@pytest.mark.parametrize("seconds", [30, 60, 600, None])
def test_both_incidents_span_a_whole_window_and_end_before_the_traffic(seconds: int | None) -> None:
    arguments = Scenario(seconds, 5_000, 40, 1).generator_arguments()
    for flag in ("--error-burst", "--latency-shift"):
        start, lasting, *_ = map(float, arguments[arguments.index(flag) + 1].split(","))
        assert lasting >= 8
        assert start + lasting + 5 <= (seconds or 60)
