"""The shipped rules tried on whole incidents, from events to alerts: one trouble is one page."""

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from pipeline.config import CoreConfig, HealthConfig
from pipeline.cores.module_core import ModuleCore
from pipeline.cores.rekey import default_home
from pipeline.system.core import SystemCore
from tests.support.core.cores import START_MS, Event, batch_of
from topology.settings import Settings
from topology.settings.alert_rules import configured_rules

MINUTE = 60_000
STEP_MS = 15_000
PARTITIONS = 2
RULES = configured_rules(Settings())
# Three modules a partition.
NAMES = [f"m{n}" for n in range(60)]
HOMES = {part: [n for n in NAMES if default_home(n, PARTITIONS) == part][:3] for part in range(PARTITIONS)}
SICK = HOMES[0][0]
FLEET = [*HOMES[0], *HOMES[1]]
# (module, ms since the start) -> share of failures, None where the module is silent.
Plan = Callable[[str, int], float | None]


@dataclass
class Fleet:
    """Module tasks and the system task, fed in steps as a live worker is: who hears nothing is idle."""

    config: CoreConfig = field(default_factory=lambda: Settings().core())
    alerts: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[tuple[str, str]] = field(default_factory=list)
    system_records: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cores = [ModuleCore(self.config, RULES, partition=p, partitions=PARTITIONS) for p in range(PARTITIONS)]
        self.system = SystemCore(self.config, RULES)
        self.offsets = [0] * (PARTITIONS + 1)
        self.waiting: list[list[Event]] = [[] for _ in self.cores]

    def play(self, plan: Plan, minutes: int, *, broker_away: Sequence[int] = ()) -> "Fleet":
        """Partitions of `broker_away` are not read in minutes 10 to 20, and so not idle; their events come later."""
        chance = random.Random(7)
        for since_ms in range(0, minutes * MINUTE, STEP_MS):
            now_ms = START_MS + since_ms + STEP_MS
            for number, core in enumerate(self.cores):
                events = self.waiting[number]
                for module in HOMES[number]:
                    share = plan(module, since_ms)
                    if share is not None:
                        stamps = range(START_MS + since_ms, START_MS + since_ms + STEP_MS, 2_000)
                        events += [Event(module, at, 20.0, chance.random() >= share) for at in stamps]
                if number in broker_away and 10 * MINUTE <= since_ms < 20 * MINUTE:
                    continue
                if events:
                    events.sort(key=lambda event: event.time)
                    self.waiting[number] = []
                    keys = [event.module.encode() for event in events]
                    core.apply(batch_of([e.value for e in events], keys, first=self.offsets[number]), now_ms)
                    self.offsets[number] += len(events)
                elif core.stream_ms is not None:
                    core.idle_until(now_ms, now_ms)
                self._follow(core, now_ms)
        return self

    def _follow(self, core: ModuleCore, now_ms: int) -> None:
        cut = core.cut(now_ms)
        values: list[bytes | None] = [partial.value for partial in cut.partials]
        if values:
            batch = batch_of(values, [None] * len(values), first=self.offsets[-1], topic="partials")
            self.offsets[-1] += len(values)
            self.system.apply(batch, now_ms)
        for one in (cut, self.system.cut(now_ms)):
            for emitted in one.outbox.emitted:
                if emitted.role == "module_alerts":
                    self.alerts.append(json.loads(emitted.value))
                elif emitted.role == "health_status":
                    status = json.loads(emitted.value)["status"] if emitted.value else "gone"
                    self.statuses.append((emitted.key.decode(), status))
                elif emitted.role == "system_metrics":
                    self.system_records.append(json.loads(emitted.value))

    def fired(self, severity: str = "critical") -> Counter[tuple[str, str | None]]:
        """How often each alert of a severity fired."""
        return Counter(
            (alert["alertname"], alert["module_id"])
            for alert in self.alerts
            if alert["status"] == "firing" and alert["severity"] == severity
        )

    def ends(self, name: str) -> list[str]:
        return [a["reason"] for a in self.alerts if a["alertname"] == name and a["status"] == "resolved"]


def test_a_constant_fault_is_one_page() -> None:
    fleet = Fleet().play(lambda module, at: 0.3 if module == SICK and at >= 5 * MINUTE else 0.0, 25)
    assert fleet.fired() == {("ModuleCritical", SICK): 1}
    warnings = fleet.fired("warning")
    assert warnings[("ErrorBurst", SICK)] == warnings[("HighErrorRate", SICK)] == 1
    assert set(warnings.values()) == {1}
    assert {a["status"] for a in fleet.alerts if a["alertname"] == "ModuleCritical"} == {"firing"}
    (page,) = [a for a in fleet.alerts if a["alertname"] == "ModuleCritical"]
    assert page["starts_at"] == START_MS + 5 * MINUTE


def test_a_module_that_dies_of_its_fault_and_comes_back_well_pages_for_the_fault_and_for_the_silence_once() -> None:
    def plan(module: str, at: int) -> float | None:
        if module != SICK or at < 5 * MINUTE or at >= 17 * MINUTE:
            return 0.0
        return 0.4 if at < 10 * MINUTE else None

    fleet = Fleet().play(plan, 40)
    assert fleet.fired() == {("ModuleCritical", SICK): 1, ("ModuleSilent", SICK): 1}
    (silent,) = [a for a in fleet.alerts if a["alertname"] == "ModuleSilent" and a["status"] == "firing"]
    assert silent["starts_at"] == START_MS + 10 * MINUTE
    assert "has sent nothing since" in silent["annotations"]["summary"]
    assert fleet.ends("ModuleSilent") == ["events came again"]
    (ended,) = [a for a in fleet.alerts if a["alertname"] == "ModuleCritical" and a["status"] == "resolved"]
    assert ended["ends_at"] >= START_MS + 17 * MINUTE, "it ends on good data only"
    assert not any("score 100" in text for a in fleet.alerts for text in a["annotations"].values())
    assert [status for name, status in fleet.statuses if name == SICK] == [
        "healthy", "critical", "silent", "critical", "healthy"
    ]  # fmt: skip


def test_a_night_of_silence_of_one_module_is_one_page() -> None:
    fleet = Fleet().play(lambda module, at: None if module == SICK and 10 * MINUTE <= at < 40 * MINUTE else 0.0, 45)
    assert fleet.fired() == {("ModuleSilent", SICK): 1}
    assert fleet.fired("warning") == {}
    assert fleet.ends("ModuleSilent") == ["events came again"]


def test_a_night_without_any_traffic_is_one_page_and_no_flood() -> None:
    fleet = Fleet().play(lambda module, at: None if 10 * MINUTE <= at < 100 * MINUTE else 0.0, 105)
    assert fleet.fired() == {("NoTraffic", None): 1}
    assert fleet.ends("NoTraffic") == ["total_requests == 0 && silent_modules > 0 is no longer true (value 0)"]
    night = [r for r in fleet.system_records if r["window"] == "30s" and r["total_requests"] == 0]
    assert len({r["window_start"] for r in night if r["status"] == "final"}) == 90 * 2
    finals = [r for r in night if r["status"] == "final"]
    assert {(r["silent_modules"], r["overall_health"]) for r in finals} == {(len(FLEET), "critical")}


def test_a_partition_whose_input_stops_is_one_page_whatever_modules_it_has() -> None:
    fleet = Fleet().play(lambda module, at: None if module in HOMES[0] and at >= 10 * MINUTE else 0.0, 22)
    assert fleet.fired() == {("PartitionSilent", None): 1}
    finals = [r for r in fleet.system_records if r["window"] == "30s" and r["status"] == "final"]
    assert {r["silent_modules"] for r in finals[-10:]} == {len(HOMES[0])}
    assert [r["silent_partitions"] for r in finals[-10:]] == [1] * 10


@pytest.mark.parametrize("away", [(0,), (0, 1)])
def test_a_broker_that_is_away_is_no_silence(away: Sequence[int]) -> None:
    """What cannot be read is not idle, so stream time stands still and no module falls silent."""
    fleet = Fleet().play(lambda module, at: 0.0, 25, broker_away=away)
    assert fleet.alerts == []
    assert "silent" not in {status for _, status in fleet.statuses}


def test_a_module_that_was_taken_out_on_purpose_pages_nobody() -> None:
    config = Settings().core()
    config = replace(config, health=replace(config.health, expected_silence=(SICK,)))
    assert isinstance(config.health, HealthConfig)
    fleet = Fleet(config).play(
        lambda module, at: (0.4 if at >= 5 * MINUTE else 0.0) if module == SICK and at < 10 * MINUTE else
        None if module == SICK else 0.0,
        40,
    )  # fmt: skip
    assert fleet.fired() == {("ModuleCritical", SICK): 1}
    assert fleet.ends("ModuleCritical") == ["no data: the module's silence is expected"]
    assert {r["silent_modules"] for r in fleet.system_records} == {0}
