"""What `explain` finds in the topics of a running worker."""

import json

import pytest

from tests.integration.conftest import MakeFleet
from tests.support.broker.records import SMALL, row, wall_ms

pytestmark = pytest.mark.broker


def test_a_module_is_explained_with_its_windows_alerts_and_what_was_before(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL, windows__corrections="2h")
    fleet.start().wait_until_ready()
    now = wall_ms() // 1_000 * 1_000
    rows = [row("shop", now - 20_000 + n * 100, success=n < 100 or n % 2 == 0) for n in range(200)]
    fleet.publish([row("shop", now - 3_600_000), *rows, row("other", now + 1_000)])
    fleet.wait_until_processed()
    done = fleet.command("explain", "shop", "--json", "--window", "1s")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["module_id"] == "shop"
    assert len(answer["windows"]) == 10
    assert answer["windows"][0]["window_start"] > answer["windows"][-1]["window_start"]
    assert answer["windows"][1]["error_rate"] == 0.5
    assert answer["health"]["reasons"]
    assert answer["freshness"]["stale"] is False
    table = fleet.command("explain", "shop", "--window", "1s").stdout
    assert table.startswith("shop: ")
    missing = fleet.command("explain", "nobody", "--window", "1s")
    assert missing.returncode == 1
    assert "no window of module nobody" in missing.stderr
