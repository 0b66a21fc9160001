"""`modpulse top` as far as it goes without a broker."""

from tests.support.shell.command import Run

AWAY = ("--set", "kafka.bootstrap_servers=127.0.0.1:1")


def test_only_a_configured_window_can_be_shown(run: Run) -> None:
    code, out, err = run(*AWAY, "--set", "windows.sizes=5s,15s", "top", "--window", "7s")
    assert (code, out) == (2, "")
    assert err == "modpulse: --window 7s is not configured; choose one of 5s, 15s\n"
    assert run(*AWAY, "--set", "windows.sizes=7s", "top", "--window", "7s", "--once")[0] == 3


def test_it_is_not_drawn_more_often_than_a_terminal_can_show(run: Run) -> None:
    assert run(*AWAY, "top", "--interval", "0.05")[0] == 2
