"""The live view: the newest window that tells something, the worst first, safe for a terminal and no taller than it."""

import io
import json

import pytest
from msgspec.structs import replace

from pipeline.alerts.fields import EXAMPLE_MODULE, EXAMPLE_SYSTEM
from schemas.alerts import Alert, AlertStatus
from schemas.metrics import Health, HealthLevel, ModuleMetrics, WindowStatus
from topology.monitor.view import LiveView

START_MS = 1_700_000_040_000


def metrics(
    module_id: str,
    number: int = 0,
    *,
    status: WindowStatus = "final",
    health: HealthLevel = "healthy",
    score: float = 100.0,
    revision: int = 1,
    total: int = 600,
) -> ModuleMetrics:
    start = START_MS + number * 60_000
    return replace(
        EXAMPLE_MODULE,
        module_id=module_id,
        window_start=start,
        window_end=start + 60_000,
        status=status,
        revision=revision,
        total_requests=total,
        health=Health(health, score, []),
        last_updated=start + 5_000,
    )


def alert(module_id: str | None, status: AlertStatus, revision: int = 1, starts_at: int = START_MS) -> Alert:
    return Alert(
        f"of-{module_id}",
        "Errors",
        status,
        "critical",
        module_id,
        {},
        {},
        1.0,
        0.5,
        starts_at,
        None,
        starts_at,
        "",
        revision,
    )


def view_of(*records: ModuleMetrics | Alert, now_ms: int | None = None) -> LiveView:
    """A view at some time; by default at the end of the newest window."""
    ends = [record.window_end for record in records if isinstance(record, ModuleMetrics)]
    clock = max(ends, default=START_MS) if now_ms is None else now_ms
    view = LiveView("1m", now_ms=lambda: clock)
    for record in records:
        view.take(record)
    return view


def test_the_worst_module_comes_first_and_silent_ones_last() -> None:
    view = view_of(
        metrics("silent", 0, health="critical"),
        metrics("fine", 3),
        metrics("alerted", 3),
        metrics("worse", 3, health="critical", score=10),
        metrics("bad", 3, health="critical", score=40),
        metrics("so-so", 3, health="degraded", score=70),
        alert("alerted", "firing"),
    )
    assert [row.module_id for row in view.rows()] == ["worse", "bad", "so-so", "alerted", "fine", "silent"]
    assert [row.health for row in view.rows()][-1] == "silent"


def test_records_may_come_twice_and_in_any_order() -> None:
    view = view_of(metrics("m", 1, revision=3, total=9), metrics("m", 1, revision=2, total=5), metrics("m", 0, total=1))
    assert view.rows()[0].rate == pytest.approx(9 / 60)


def test_a_window_that_has_hardly_begun_does_not_hide_the_last_final_one() -> None:
    early = metrics("m", 2, status="provisional", total=3)
    view = view_of(metrics("m", 1, total=600), early)
    assert view.rows()[0].rate == pytest.approx(10)
    telling = replace(early, last_updated=early.window_start + 30_000, total_requests=600, revision=2)
    view.take(telling)
    assert view.rows()[0].rate == pytest.approx(20)


def test_only_the_asked_for_window_is_shown() -> None:
    assert view_of(replace(metrics("m"), window="5m")).rows() == []


def test_an_alert_is_shown_until_it_resolves_and_again_in_its_next_life() -> None:
    view = view_of(metrics("m"), alert("m", "firing", 2), alert("m", "pending", 1))
    assert view.rows()[0].alerts == ("Errors",)
    view.take(alert("m", "resolved", 3))
    assert view.rows()[0].alerts == ()
    view.take(alert("m", "firing", 1, starts_at=START_MS + 90_000_000))
    assert view.rows()[0].alerts == ("Errors",)


def test_a_record_from_before_an_alerts_end_that_comes_late_does_not_bring_it_back() -> None:
    view = view_of(metrics("m"), alert("m", "resolved", 3), alert("m", "firing", 2))
    assert view.rows()[0].alerts == ()


def test_alerts_that_ended_take_no_memory_for_ever() -> None:
    view = LiveView("1m")
    for number in range(30_000):
        view.take(alert(f"m{number}", "firing", 1))
        view.take(alert(f"m{number}", "resolved", 2))
    view.take(alert("last", "firing", 1))
    assert [one.module_id for one in view.firing] == ["last"]
    assert len(view._alerts) == 1
    assert len(view._ended) <= 10_000


def test_a_module_that_was_silent_for_long_leaves_unless_it_has_an_alert() -> None:
    view = view_of(metrics("gone"), metrics("alerted"), alert("alerted", "firing"), metrics("now", 100))
    assert [row.module_id for row in view.rows()] == ["now", "alerted"]


@pytest.mark.parametrize("height", [10, 24, 60])
def test_the_table_fits_the_terminal_and_says_how_many_are_missing(height: int) -> None:
    from rich.console import Console

    view = view_of(*(metrics(f"module-{n:02}-" + "x" * n * 4) for n in range(40)), alert(None, "firing"))
    view.take(EXAMPLE_SYSTEM)
    out = io.StringIO()
    Console(file=out, width=60, height=height).print(view.table(height, 60))
    shown = out.getvalue().splitlines()
    assert len(shown) < height
    assert ("more modules" in out.getvalue()) == (height < 46)


def test_nothing_a_module_is_called_reaches_the_terminal() -> None:
    from rich.console import Console

    view = view_of(metrics("\x1b[2Jevil\u202e\n[red]m[/red]"))
    out = io.StringIO()
    Console(file=out, width=150).print(view.table(20))
    for text in (out.getvalue(), view.plain()):
        assert "\x1b[2J" not in text
        assert "\u202e" not in text
        assert "[red]m[/red]" in text


def test_plain_text_and_json_say_the_same() -> None:
    view = view_of(metrics("m", health="degraded", score=60), alert("m", "firing"))
    view.take(EXAMPLE_SYSTEM)
    lines = view.plain().splitlines()
    assert lines[0].startswith("as of ")
    assert lines[1].startswith("system healthy (97), 200 req/s")
    assert lines[3].split() == ["m", "10.0", "2.00", "35", "120", "300", "degraded", "0", "s", "Errors"]
    answer = json.loads(view.as_json())
    assert answer["modules"][0]["health"] == "degraded"
    assert answer["system"]["module_count"] == 20
    assert [one["alertname"] for one in answer["firing"]] == ["Errors"]


def shown(view: LiveView, width: int, height: int = 24) -> str:
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=width, height=height).print(view.table(height, width))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 100, 132, 200])
@pytest.mark.parametrize("name", ["pay", "eu-west-1.payments.fraud-scoring-of-cards"])
def test_no_number_and_no_class_gives_way_to_a_name(width: int, name: str) -> None:
    many = [replace(alert(name, "firing"), alertname=one, fingerprint=one) for one in ("ErrorBurst", "ModuleCritical")]
    view = view_of(metrics(name, health="critical", score=12, total=7_407_404), *many)
    text = shown(view, width)
    assert all(len(line) <= width for line in text.splitlines())
    (row,) = [line for line in text.splitlines() if "123,457" in line]
    for cell in ("2.00", "120", "critical", "0 s"):
        assert cell in row
    assert ("35" in row) == (width >= 100)
    assert "ErrorBurst" in row or "+1" in row or width == 80
    if width >= 132:
        assert name in row


def test_a_view_that_no_worker_feeds_any_more_says_so_first_and_everywhere() -> None:
    fed = metrics("m", 0)
    late_ms = fed.last_updated + 7 * 60_000
    view = view_of(fed, now_ms=late_ms)
    (row,) = view.rows()
    assert (row.health, row.rate) == ("silent", 0.0)
    assert view.plain().splitlines()[0].startswith("NO WORKER HAS WRITTEN FOR 7 min")
    assert "(6 min ago)" in view.plain().splitlines()[0]
    answer = json.loads(view.as_json())["freshness"]
    assert (answer["stale"], answer["age_ms"]) == (True, late_ms - fed.window_end)
    assert "NO WORKER HAS WRITTEN" in shown(view, 80)


def test_nothing_written_and_a_broker_that_is_away_are_no_quiet_night() -> None:
    assert view_of().plain().startswith("NOTHING WRITTEN YET")
    view = view_of(metrics("m"))
    view.broker_away_s = 60.0
    assert view.plain().startswith("BROKER AWAY for 60 s; as of")
    assert json.loads(view.as_json())["freshness"]["broker_away"] is True


def test_a_fleet_that_is_written_of_is_as_of_its_newest_window() -> None:
    fed = metrics("m", 3)
    view = view_of(replace(fed, last_updated=fed.window_end), metrics("n", 1))
    assert view.freshness.trusted
    assert view.plain().splitlines()[0].endswith("(0 s ago)")


def test_it_is_said_which_since_when_and_why_with_the_figures_of_now() -> None:
    sick = metrics("pay", 4, health="critical", score=20)
    sick = replace(sick, health=Health("critical", 20.0, ["success_rate 0.63: -40.00 points"], since=START_MS))
    fired = replace(alert("pay", "firing"), annotations={"description": "26 % of requests failed"})
    dead = metrics("gone", 0)
    lines = view_of(sick, fired, dead).reasons(8)
    assert lines[0].startswith("Errors (critical) pay since ")
    assert "5 min: 26 % of requests failed; now 2.00 % errors, p95 120 ms, critical" in lines[0]
    assert lines[1].startswith("gone silent")
    assert "no event for 4 min" in lines[1]
    alone = view_of(sick).reasons(8)
    assert alone[0].endswith(", 5 min: success_rate 0.63: -40.00 points")
