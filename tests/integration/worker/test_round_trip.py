"""Real spans through the real thing: published, processed, and compared with a replay and with an independent truth."""

import pytest

from tests import truth
from tests.integration.conftest import MakeFleet
from tests.support.broker.records import (
    REAL_SPANS,
    Json,
    assert_cloudevents,
    assert_revisions_rise_by_one,
    assert_same_windows,
    json_values,
    real_lines,
)

pytestmark = pytest.mark.broker


def test_real_spans_come_out_as_a_replay_and_the_truth_say(make_fleet: MakeFleet, real_replay: list[Json]) -> None:
    fleet = make_fleet()
    worker = fleet.start().wait_until_ready()
    published = fleet.command("publish", str(REAL_SPANS))
    assert published.returncode == 0, published.stderr
    fleet.wait_until_processed()
    kept = truth.keep(
        map(truth.event_of, json_values(real_lines())),
        truth.Lateness(partitions=4, pane_ms=30_000, allowance_ms=610_000),
    )
    # The day's window never closes here, so its newest record speaks for everything; it comes one flush later.
    with fleet.follow(fleet.settings.topics.system_metrics) as reader:
        reader.until_json(
            lambda said: [r["total_requests"] for r in said if r["window"] == "1d"][-1:] == [len(kept.events)],
            "all events in the system's day",
        )
        assert_cloudevents(reader.records)
    assert worker.terminate() == 0
    assert worker.complaints() == []

    records = fleet.read(fleet.settings.topics.module_metrics)
    live = [record.json for record in records]
    assert_same_windows(live, real_replay)
    assert_revisions_rise_by_one(live)
    assert_cloudevents(records)
    for record in records:
        said = record.json
        assert record.key == f"{said['module_id']}|{said['window']}|{said['window_start']}".encode()
        assert record.header("ce_type") == "modpulse.module-metrics.v1"

    compared = truth.compare(kept.events, live, truth.WINDOWS.split(","))
    assert compared.mismatches == []
    assert compared.windows > 2_500

    ledger = fleet.ledgers()
    assert ledger["input"]["consumed"] == len(real_lines())
    assert ledger["input"]["applied"] == len(kept.events)
    assert ledger["input"]["duplicate"] == kept.duplicates
    assert ledger["input"]["late"] == kept.late
    assert ledger["repartition"]["consumed"] == 0
