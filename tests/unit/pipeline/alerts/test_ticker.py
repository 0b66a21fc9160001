"""A tick for each closed window: in rising order, with the windows nobody had an event in, and none before the start."""

import msgspec

from pipeline.alerts.fields import Record
from pipeline.alerts.machine import AlertMachine
from pipeline.alerts.rules import NoData
from pipeline.alerts.ticker import AlertTicker
from pipeline.config import WindowConfig
from pipeline.outputs import Emitted
from schemas.alerts import Alert
from tests.support.core.alert_ticks import MINUTE, record, rule

WINDOWS = WindowConfig(sizes=(("1m", MINUTE), ("5m", 5 * MINUTE)))
BAD, GOOD = record(0.5), record(0.0)


def ticker_of(for_ms: int = 0, no_data: NoData = "ok") -> AlertTicker:
    return AlertTicker(AlertMachine([rule(for_ms=for_ms, no_data=no_data)], "module"), WINDOWS)


def close(ticker: AlertTicker, minute: int, *records: Record) -> list[tuple[str, int | None]]:
    """Close the window of a minute that ends then; status and end (in minutes) of each alert."""
    return told(ticker.tick(MINUTE, minute * MINUTE, records, 7))


def told(emitted: list[Emitted]) -> list[tuple[str, int | None]]:
    alerts = [msgspec.json.decode(one.value, type=Alert) for one in emitted]
    return [(alert.status, None if alert.ends_at is None else alert.ends_at // MINUTE) for alert in alerts]


def test_an_alert_goes_out_under_its_fingerprint_with_its_revision_and_the_clock() -> None:
    (emitted,) = ticker_of().tick(MINUTE, MINUTE, [BAD], 7)
    alert = msgspec.json.decode(emitted.value, type=Alert)
    assert emitted[:2] == ("module_alerts", alert.fingerprint.encode())
    assert (emitted.revision, emitted.time_ms) == (alert.revision, alert.updated_at) == (1, 7)


def test_after_a_gap_an_alert_ends_at_the_first_window_in_it_and_not_at_the_next_one_with_events() -> None:
    ticker = ticker_of()
    assert close(ticker, 1, BAD) == [("firing", None)]
    assert close(ticker, 9, BAD) == [("resolved", 2), ("firing", None)]
    assert close(ticker, 10, BAD) == [], "the next window is no gap"


def test_a_gap_means_nothing_to_a_rule_that_holds_without_data() -> None:
    ticker = ticker_of(no_data="hold")
    close(ticker, 1, BAD)
    assert close(ticker, 9, BAD) == []
    assert close(ticker, 10, GOOD) == [("resolved", 10)]


def test_the_gaps_of_one_size_are_none_of_another() -> None:
    ticker = ticker_of()
    close(ticker, 1, BAD)
    assert told(ticker.tick(5 * MINUTE, 5 * MINUTE, [BAD], 7)) == []
    assert ticker.ticks == {MINUTE: MINUTE, 5 * MINUTE: 5 * MINUTE}
    assert close(ticker, 2, GOOD) == [("resolved", 2)]


def test_windows_that_end_before_the_first_moment_of_alerts_are_only_noted() -> None:
    ticker = ticker_of(for_ms=MINUTE)
    ticker.alerts_from_ms = 3 * MINUTE
    assert close(ticker, 1, BAD) == close(ticker, 2, BAD) == []
    assert ticker.ticks == {MINUTE: 2 * MINUTE}
    assert close(ticker, 3, BAD) == [("pending", None)], "what held before counts for nothing"
    assert close(ticker, 4, BAD) == [("firing", None)]


def test_where_nothing_comes_any_more_alerts_end_at_the_newest_closed_window_once() -> None:
    ticker = ticker_of()
    close(ticker, 1, BAD)
    assert ticker.end_ticks(2 * MINUTE - 1, 7) == []
    assert told(ticker.end_ticks(3 * MINUTE + 5, 7)) == [("resolved", 2)]
    assert ticker.end_ticks(9 * MINUTE, 7) == [], "nobody waits for a tick now"
    assert ticker.ticks[MINUTE] == 2 * MINUTE, "where nobody waits there is no tick"


def test_before_its_first_window_a_size_has_no_empty_ones_also_where_alerts_are_known() -> None:
    former, machine = AlertMachine([rule(for_ms=0)], "module"), AlertMachine([rule(for_ms=0)], "module")
    former.tick("1m", MINUTE, [BAD], 7, size_ms=MINUTE)
    machine.adopt(former.states(), 0)
    ticker = AlertTicker(machine, WINDOWS)
    assert machine.next_empty_tick("1m", MINUTE, MINUTE) == 2 * MINUTE
    assert ticker.end_ticks(60 * MINUTE, 7) == []
    assert ticker.ticks == {}
