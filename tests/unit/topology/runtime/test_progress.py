"""How far a command is: one line rewritten on a terminal, plain lines elsewhere, and neither too often."""

import io
import time

import pytest

from topology.runtime.progress import Progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that goes when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


def told(stream: io.StringIO, clock: Clock, *steps: tuple[float, int]) -> str:
    """What is written when so many records are reached after so many seconds each."""
    progress = Progress("published", stream)
    for seconds, records in steps:
        clock.now += seconds
        progress.reached(records)
    progress.close()
    return stream.getvalue()


def test_elsewhere_than_on_a_terminal_it_is_a_line_every_five_seconds(clock: Clock) -> None:
    text = told(io.StringIO(), clock, (4.5, 10), (0.5, 12_000), (4.5, 20_000), (0.5, 30_000), (0.0, 31_000))
    assert text == "published 12,000 records, 2,400/s\npublished 30,000 records, 3,000/s\n"


def test_a_terminals_line_is_rewritten_and_left_clean(clock: Clock) -> None:
    text = told(Terminal(), clock, (0.125, 5), (0.125, 1_000), (0.125, 1_100), (0.125, 2_000))
    clear = "\r\x1b[2K"
    assert text == f"{clear}published 1,000 records, 4,000/s{clear}published 2,000 records, 4,000/s{clear}"


def test_what_is_done_at_once_is_never_told(clock: Clock) -> None:
    assert told(Terminal(), clock, (0.1, 1_000)) == ""
    assert told(io.StringIO(), clock, (4.9, 1_000)) == ""


def test_a_rate_can_be_taken_from_it_before_any_time_has_passed(clock: Clock) -> None:
    progress = Progress("looked at", io.StringIO())
    assert 0 < progress.seconds < 1e-6
    clock.now += 3
    assert progress.seconds == 3
