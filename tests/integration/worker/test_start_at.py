"""A new application that starts at a time: whole windows only, no alert for history, revisions above those of the one before."""

from pathlib import Path

import pytest

from tests.integration.conftest import MakeFleet
from tests.integration.worker.test_alerts import RULES
from tests.support.broker.fleet import Fleet
from tests.support.broker.records import SMALL, Json, row, wall_ms

pytestmark = pytest.mark.broker


def publish(fleet: Fleet, first_ms: int, seconds: int, *, failing: bool) -> None:
    """Three requests a second; each is published with its event's time, as a producer of its own would have done."""
    for second in range(seconds):
        at = first_ms + second * 1_000
        fleet.publish([row("shop", at + n, success=not failing) for n in range(3)])


def newest(records: list[Json], first_ms: int) -> dict[tuple[str, int], Json]:
    """The record with the highest revision of each window that starts at a time or later: what a reader keeps."""
    found: dict[tuple[str, int], Json] = {}
    for record in records:
        key = record["window"], record["window_start"]
        if record["window_start"] >= first_ms and record["revision"] >= found.get(key, record)["revision"]:
            found[key] = record
    return found


def test_a_new_application_takes_over_from_a_time_on(make_fleet: MakeFleet, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES, encoding="utf-8")
    fleet = make_fleet(SMALL, alerts__rules_file=str(rules), topics__partitions="1", windows__corrections="10m")
    begin = wall_ms() // 10_000 * 10_000 - 60_000
    former = fleet.start().wait_until_ready()
    publish(fleet, begin, 40, failing=True)
    fleet.wait_until_processed()
    assert former.terminate() == 0
    before = fleet.metrics()
    alerts_before = len(fleet.read(fleet.settings.topics.module_alerts))
    assert alerts_before > 0

    start = begin + 20_000
    fleet.configure(application_id=f"{fleet.name}-next", start_at=str(start))
    fleet.create_topics()
    worker = fleet.start().wait_until_ready()
    fleet.wait_until_processed()
    after = fleet.metrics()[len(before) :]
    assert after, "windows from the start on are published"
    assert min(record["window_start"] for record in after) == start, "what it did not see whole is not published"
    assert len(fleet.read(fleet.settings.topics.module_alerts)) == alerts_before, "nobody is woken by history"
    highest = max(record["revision"] for record in before)
    assert min(record["revision"] for record in after) > highest, "readers keep the highest revision"
    kept = newest([*before, *after], start)
    assert {record["total_requests"] for (window, _), record in kept.items() if window == "1s"} == {3}

    # Killed and started again it goes on as it began, whatever the setting says by now.
    worker.kill()
    worker = fleet.start(start_at="now").wait_until_ready()
    soon = wall_ms() // 1_000 * 1_000 + 1_000
    publish(fleet, soon, 4, failing=True)
    fleet.wait_until_processed()
    latest = fleet.metrics()[len(before) + len(after) :]
    assert {record["window_start"] for record in latest if record["window"] == "1s"} >= {soon, soon + 1_000}
    assert min(record["revision"] for record in latest) > highest
    assert len(fleet.read(fleet.settings.topics.module_alerts)) > alerts_before, "from now on alerts are raised"
    assert worker.terminate() == 0


def test_a_time_nobody_can_read_is_refused_by_name(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL, topics=False)
    fleet.configure(start_at="yesterday")
    done = fleet.command("config", "check")
    assert done.returncode == 2
    assert "start_at" in done.stderr.lower()
    assert "2026-01-31T12:00:00Z" in done.stderr
