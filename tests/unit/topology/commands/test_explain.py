"""`modpulse explain`: what makes no sense is refused before a broker is asked."""

from tests.support.shell.command import Run


def test_a_window_that_is_not_configured_ends_with_2_and_those_there_are(run: Run) -> None:
    code, out, err = run("explain", "pay", "--window", "7s")
    assert (code, out) == (2, "")
    assert "--window 7s is not configured; choose one of 30s, 1m" in err


def test_a_broker_that_is_away_ends_with_3(run: Run) -> None:
    code, out, err = run("--set", "kafka.bootstrap_servers=127.0.0.1:1", "explain", "pay")
    assert (code, out) == (3, "")
    assert err.startswith("modpulse: no broker at ")
