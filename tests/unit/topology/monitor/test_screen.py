"""Where a live view is shown: redrawn on a terminal, lines elsewhere, and never more often than asked."""

import io
import json
import time
from itertools import pairwise

import pytest

from pipeline.alerts.fields import EXAMPLE_MODULE
from topology.monitor.screen import live_screen
from topology.monitor.view import LiveView


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def view() -> LiveView:
    made = LiveView(EXAMPLE_MODULE.window, now_ms=lambda: EXAMPLE_MODULE.window_end)
    made.take(EXAMPLE_MODULE)
    return made


def test_elsewhere_than_on_a_terminal_it_is_shown_as_lines_and_not_more_often_than_asked(view: LiveView) -> None:
    out = io.StringIO()
    with live_screen(view, every_s=60, stream=out) as screen:
        screen.show()
        screen.show()
    assert out.getvalue() == view.plain()


@pytest.mark.parametrize(("stream", "every_s"), [(io.StringIO(), 5.0), (Terminal(), 0.5)])
def test_a_terminal_is_redrawn_twice_a_second_and_lines_come_every_five(
    view: LiveView, monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, every_s: float
) -> None:
    now = 1_000.0
    with live_screen(view, stream=stream) as screen:
        monkeypatch.setattr(time, "monotonic", lambda: now)
        lengths = []
        for step in (0.0, every_s - 0.125, 0.125, every_s - 0.125, 0.125):
            now += step
            screen.show()
            lengths.append(len(stream.getvalue()))
    assert [later > earlier for earlier, later in pairwise(lengths)] == [False, True, False, True]


def test_json_is_one_document_a_line_on_a_terminal_too(view: LiveView) -> None:
    for stream in (io.StringIO(), Terminal()):
        with live_screen(view, every_s=0, as_json=True, stream=stream) as screen:
            screen.show()
            screen.show()
        first, second = map(json.loads, stream.getvalue().splitlines())
        assert first == second == json.loads(view.as_json())


def test_brief_is_the_headline_alone_where_it_cannot_be_redrawn(view: LiveView) -> None:
    out, terminal = io.StringIO(), Terminal()
    for stream in (out, terminal):
        with live_screen(view, every_s=0, brief=True, stream=stream) as screen:
            screen.show()
    assert out.getvalue() == f"{view.freshness.line()}; {view.headline()}\n"
    assert EXAMPLE_MODULE.module_id in terminal.getvalue()
