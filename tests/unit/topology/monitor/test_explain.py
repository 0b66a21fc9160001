"""What is said of a module, from whatever source its past comes."""

import asyncio

from msgspec.structs import replace

from pipeline.alerts.fields import EXAMPLE_MODULE
from schemas.alerts import Alert
from schemas.metrics import Health, ModuleMetrics
from topology.monitor.explain import Explanation, explain
from topology.monitor.history import Found

SIZE_MS = 60_000
NOW_MS = 1_700_000_100_000 // SIZE_MS * SIZE_MS
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


def window_at(start_ms: int, error_rate: float = 0.0) -> ModuleMetrics:
    return replace(
        EXAMPLE_MODULE,
        module_id="pay",
        window_start=start_ms,
        window_end=start_ms + SIZE_MS,
        error_rate=error_rate,
        last_updated=start_ms + SIZE_MS,
        health=Health("critical", 20.0, ["success_rate 0.63: -40.00 points"], since=NOW_MS - 300_000),
    )


def alert(name: str, status: str, starts_at: int) -> Alert:
    return Alert(name, name, status, "critical", "pay", {}, {}, 1.0, 0.5, starts_at, None, starts_at, "it is so", 1)  # type: ignore[arg-type]


class Past:
    """A past of so many windows, each found by its span alone."""

    def __init__(self, starts: list[int], alerts: list[Alert] | None = None, *, whole: bool = True) -> None:
        self._windows = [window_at(start, 0.5) for start in starts]
        self._alerts = alerts or []
        self._whole = whole

    async def windows(self, module_id: str, window: str, from_ms: int, to_ms: int) -> Found:
        inside = [record for record in self._windows if from_ms <= record.window_end <= to_ms and module_id == "pay"]
        return Found({record.window_start: record for record in inside}, whole=self._whole)

    async def alerts(self, module_id: str, from_ms: int) -> Found:
        return Found(alerts={one.fingerprint: one for one in self._alerts}, whole=self._whole)


def explained(past: Past, module_id: str = "pay") -> Explanation | None:
    return asyncio.run(explain(past, module_id, "1m", SIZE_MS, NOW_MS, 45_000))


def test_the_last_ten_windows_come_newest_first_with_those_of_an_hour_and_a_day_before() -> None:
    starts = [NOW_MS - SIZE_MS * n for n in range(1, 16)]
    found = explained(Past([*starts, starts[0] - HOUR_MS, starts[0] - DAY_MS]))
    assert found is not None
    assert [record.window_start for record in found.windows] == starts[:10]
    assert [record and record.window_start for record in found.before.values()] == [
        starts[0] - HOUR_MS,
        starts[0] - DAY_MS,
    ]
    assert found.freshness.trusted
    lines = found.lines()
    assert lines[0].startswith("pay: critical since ")
    assert "(5 min ago), score 20 of 100" in lines[0]
    assert "  success_rate 0.63: -40.00 points" in lines
    assert sum("final" in line for line in lines) == 10


def test_a_module_that_stopped_hours_ago_is_explained_and_said_to_be_old() -> None:
    found = explained(Past([NOW_MS - 2 * HOUR_MS]))
    assert found is not None
    assert found.freshness.stale
    assert found.answer()["before"] == {"1 h before": None, "1 d before": None}
    assert sum("no window of then in the topic" in line for line in found.lines()) == 2


def test_nothing_found_is_no_explanation() -> None:
    assert explained(Past([])) is None
    assert explained(Past([NOW_MS - SIZE_MS]), "other") is None


def test_alerts_that_last_come_before_those_that_ended_and_a_look_that_was_cut_short_says_so() -> None:
    past = Past(
        [NOW_MS - SIZE_MS],
        [alert("Old", "resolved", NOW_MS - 100), alert("Now", "firing", NOW_MS - 90_000)],
        whole=False,
    )
    found = explained(past)
    assert found is not None
    assert [one.alertname for one in found.alerts] == ["Now", "Old"]
    assert found.lines()[-1].startswith("not everything could be read in time")
    assert found.answer()["whole"] is False
    assert "sketch" not in found.answer()["windows"][0]
