"""What is said of too many dead letters: gauges, lines for the probe, the log, and the error that stops the worker."""

from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from schemas.state import Ledger
from topology.settings import load_settings
from topology.worker.dead_letter_watch import DeadLetterWatch
from topology.worker.metrics import Instruments


def ledgers(good: int, bad: int) -> dict[str, Ledger]:
    return {"in": Ledger(consumed=good + bad, applied=good, invalid=bad)}


def watch_of(instruments: Instruments, *, stop_ratio: str = "0.3") -> DeadLetterWatch:
    """It alerts above the ordinary ratio, 0.05, of at least 10 records."""
    settings = load_settings(
        environ={
            "MODPULSE_LIMITS__DEAD_LETTER_WINDOW": "1d",
            "MODPULSE_LIMITS__DEAD_LETTER_MIN_RECORDS": "10",
            "MODPULSE_LIMITS__DEAD_LETTER_STOP_RATIO": stop_ratio,
        }
    )
    return DeadLetterWatch(settings.limits, instruments)


def gauge(instruments: Instruments, name: str) -> float | None:
    return instruments.registry.get_sample_value(name, {"task": "0"})


def logged(action: Callable[[], object]) -> list[Any]:
    with capture_logs() as lines:
        action()
    return lines


def test_the_watch_sets_gauges_names_what_is_too_much_and_takes_it_back() -> None:
    instruments = Instruments()
    watch = watch_of(instruments)
    watch.opened("0", {})
    watch.look(["0"])
    assert gauge(instruments, "modpulse_dead_letter_ratio") == 0
    assert gauge(instruments, "modpulse_dead_letter_alert") == 0
    assert watch.exceeded("0", ledgers(80, 20)) is None
    watch.look(["0"])
    assert gauge(instruments, "modpulse_dead_letter_ratio") == 0.2
    assert gauge(instruments, "modpulse_dead_letter_alert") == 1
    assert watch.warnings() == ["warning: task 0: 20.0% of the last 100 records are dead letters"]
    watch.exceeded("0", ledgers(980, 20))
    watch.look(["0"])
    assert gauge(instruments, "modpulse_dead_letter_alert") == 0
    assert watch.warnings() == []
    error = watch.exceeded("0", ledgers(980, 1_020))
    assert "51.0% of the last 2,000 records are dead letters, more than limits.dead_letter_stop_ratio = 0.3." in str(
        error
    )
    assert "\n" not in str(error)


def test_a_beginning_and_an_end_are_logged_once_and_what_lasts_when_it_is_asked_for() -> None:
    watch = watch_of(Instruments())
    watch.opened("0", {})
    watch.exceeded("0", ledgers(90, 10))
    (began,) = logged(lambda: watch.look(["0"]))
    assert (began["task"], began["ratio"], began["limit"], began["records"], began["letters"]) == (
        "0",
        0.1,
        0.05,
        100,
        10,
    )
    watch.exceeded("0", ledgers(180, 20))
    assert logged(lambda: watch.look(["0"])) == []
    (again,) = logged(watch.remind)
    assert (again["event"], again["records"]) == (began["event"], 200), "the newest numbers are said"
    watch.exceeded("0", ledgers(9_980, 20))
    (ended,) = logged(lambda: watch.look(["0"]))
    assert "no longer" in ended["event"]
    assert logged(watch.remind) == []
    assert logged(lambda: watch.look(["0"])) == []


def test_a_task_that_is_not_ours_any_more_takes_its_warning_along() -> None:
    watch = watch_of(Instruments())
    for task in ("2", "10"):
        watch.opened(task, {})
        watch.exceeded(task, ledgers(90, 10))
    watch.look(["2", "10"])
    assert [line.split(":")[1] for line in watch.warnings()] == [" task 10", " task 2"]
    watch.forget("10")
    assert [line.split(":")[1] for line in watch.warnings()] == [" task 2"]
    watch.opened("10", ledgers(90, 10))
    watch.look(["2", "10"])
    assert [line.split(":")[1] for line in watch.warnings()] == [" task 2"], "it opened with a ledger that is past"


@pytest.mark.parametrize(("stop_ratio", "stops"), [("off", False), ("1", False), ("0.99", True)])
def test_only_a_ratio_that_is_passed_stops_the_worker(stop_ratio: str, stops: bool) -> None:
    watch = watch_of(Instruments(), stop_ratio=stop_ratio)
    watch.opened("0", {})
    assert (watch.exceeded("0", ledgers(0, 1_000)) is not None) == stops
