"""Alerts of a running worker, over a restart."""

from pathlib import Path

import pytest

from tests.integration.conftest import MakeFleet
from tests.support.broker.fleet import Fleet
from tests.support.broker.records import SMALL, T0, Json, assert_cloudevents, row

pytestmark = pytest.mark.broker
RULES = """
[[rule]]
name = "Failing"
window = "1s"
expression = "error_rate > threshold && total_requests >= 3"
threshold = 0.5
for = "0s"
severity = "critical"
no_data = "ok"
[rule.annotations]
summary = "{module_id}: {error_rate:.0%}"
"""


def publish_second(fleet: Fleet, number: int, *, failing: bool) -> None:
    """Four requests of one second, and one of another module that closes the second."""
    at = T0 + number * 1_000
    fleet.publish([row("shop", at + n, success=not failing) for n in range(4)] + [row("quiet", at + 1_500)])


def alerts(fleet: Fleet, count: int) -> list[Json]:
    with fleet.follow(fleet.settings.topics.module_alerts) as reader:
        reader.until(lambda records: len(records) >= count, f"{count} alerts")
        assert_cloudevents(reader.records)
        said = [record.json for record in reader.records]
        assert {record.key for record in reader.records} == {said[0]["fingerprint"].encode()}
    assert len(said) == count
    return said


def test_an_alert_fires_and_resolves_and_goes_on_after_a_restart(make_fleet: MakeFleet, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES, encoding="utf-8")
    fleet = make_fleet(SMALL, alerts__rules_file=str(rules), topics__partitions="1")

    worker = fleet.start()
    publish_second(fleet, 0, failing=False)
    publish_second(fleet, 2, failing=True)
    (fired,) = alerts(fleet, 1)
    assert (fired["status"], fired["alertname"], fired["severity"], fired["module_id"]) == (
        "firing",
        "Failing",
        "critical",
        "shop",
    )
    assert (fired["value"], fired["threshold"], fired["revision"]) == (1.0, 0.5, 1)
    assert (fired["starts_at"], fired["ends_at"]) == (T0 + 2_000, None)
    assert fired["annotations"] == {"summary": "shop: 100%"}
    assert worker.terminate() == 0

    # It is still firing, so the new worker says nothing until it ends.
    worker = fleet.start()
    publish_second(fleet, 4, failing=True)
    publish_second(fleet, 6, failing=False)
    publish_second(fleet, 8, failing=True)
    fleet.wait_until_processed()
    said = alerts(fleet, len(EXPECTED))
    assert worker.terminate() == 0
    assert worker.complaints() == []
    assert [(one["status"], one["revision"], one["starts_at"], one["ends_at"]) for one in said] == EXPECTED
    assert {one["fingerprint"] for one in said} == {fired["fingerprint"]}


# A second without a request of the module ends the alert (no_data = "ok"): it was silent in every odd one.
EXPECTED = [
    ("firing", 1, T0 + 2_000, None),
    ("resolved", 2, T0 + 2_000, T0 + 4_000),
    ("firing", 3, T0 + 4_000, None),
    ("resolved", 4, T0 + 4_000, T0 + 6_000),
    ("firing", 5, T0 + 8_000, None),
]


def test_a_module_that_stops_is_silent_on_its_topic_and_gone_once_it_expired(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL, topics__partitions="1", state__module_expiry="20s")
    worker = fleet.start()
    for second in range(4):
        fleet.publish([row("shop", T0 + second * 1_000 + 500), row("quiet", T0 + second * 1_000 + 600)])
    for second in range(4, 60, 2):
        fleet.publish([row("quiet", T0 + second * 1_000)])
    with fleet.follow(fleet.settings.topics.health_status) as reader:
        reader.until(lambda records: any(r.key == b"shop" and r.value is None for r in records), "the end of `shop`")
        said = [
            (record.value, record.json) if record.value else None for record in reader.records if record.key == b"shop"
        ]
        assert {record.header("ce_type") for record in reader.records} == {"modpulse.health-status.v1"}
        ids = [record.header("ce_id") for record in reader.records]
        assert len(ids) == len(set(ids))
    assert worker.terminate() == 0
    assert worker.complaints() == []
    assert [one and one[1]["status"] for one in said] == ["healthy", "silent", None]
    assert said[1] is not None
    assert (said[1][1]["kind"], said[1][1]["since"], said[1][1]["score"]) == ("module", T0 + 4_000, None)
