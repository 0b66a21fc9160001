"""`doctor`, `top` and `explain` beside a worker that works, that ended, and that never was."""

import json

import pytest

from tests.integration.conftest import MakeFleet
from tests.support.broker.fleet import Fleet
from tests.support.broker.records import SMALL_IDLE, Json, row, wall_ms

pytestmark = pytest.mark.broker


def worker_finding(fleet: Fleet) -> Json:
    (found,) = [one for one in json.loads(fleet.command("doctor", "--json").stdout) if one["check"] == "worker"]
    return dict(found)


def top(fleet: Fleet) -> Json:
    return dict(json.loads(fleet.command("top", "--once", "--json").stdout)["freshness"])


def test_nobody_at_work_is_told_from_somebody(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL_IDLE)
    assert (worker_finding(fleet)["status"], worker_finding(fleet)["text"].split(":")[0]) == ("warn", "nobody works")
    assert top(fleet)["text"].startswith("NOTHING WRITTEN YET")
    worker = fleet.start().wait_until_ready()
    now = wall_ms()
    fleet.publish([row("shop", now - 3_000 + n * 10) for n in range(300)])
    fleet.wait_until_processed()
    found = worker_finding(fleet)
    assert (found["status"], found["text"].split(";")[0][:9]) == ("ok", "1 member ")
    worker.terminate()
    fleet.publish([row("shop", now + 10)])
    found = worker_finding(fleet)
    assert found["status"] == "fail"
    assert "has no member, 1 records wait" in found["text"]
