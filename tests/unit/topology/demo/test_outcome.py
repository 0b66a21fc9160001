"""What the demo accepts: every record accounted for to the event, and alerts that came and went."""

from dataclasses import replace

import pytest

from schemas.alerts import Alert, AlertStatus
from schemas.state import Ledger
from topology.demo.outcome import Outcome, Tally

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
