"""Where a live view is shown: a table that is redrawn on a terminal, plain text or JSON lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from topology.monitor.view import LiveView

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

_TERMINAL_EVERY_S = 0.5
_PLAIN_EVERY_S = 5.0


class Screen(Protocol):
    """Shows the view's present state each time it is asked to."""

    def show(self) -> None:
        """Show it, unless it was shown a moment ago."""


class _Lines:
    def __init__(self, text: Callable[[], str], stream: TextIO) -> None:
        self._text = text
        self._stream = stream

    def show(self) -> None:
        self._stream.write(self._text())
        self._stream.flush()


class _Redrawn:
    def __init__(self, view: LiveView, console: "Console", display: "Live") -> None:
        self._view = view
        self._console = console
        self._display = display

    def show(self) -> None:
        self._display.update(self._view.table(self._console.height, self._console.width), refresh=True)


class _Paced:
    """Passes on what comes in time, so that whoever feeds the view may ask as often as there is something new."""

    def __init__(self, screen: Screen, every_s: float) -> None:
        self._screen = screen
        self._every_s = every_s
        self._due = 0.0

    def show(self) -> None:
        now = time.monotonic()
        if now >= self._due:
            self._due = now + self._every_s
            self._screen.show()


@contextmanager
def live_screen(
    view: LiveView,
    *,
    every_s: float | None = None,
    as_json: bool = False,
    brief: bool = False,
    stream: TextIO | None = None,
) -> Iterator[Screen]:
    """A screen for the view: a table that is redrawn if the stream is a terminal, else lines.

    Args:
        view: what to show.
        every_s: how often at most; by default twice a second on a terminal, every 5 s elsewhere.
        as_json: write JSON lines instead.
        brief: where it is not a terminal, write the headline alone.
        stream: where to; standard output by default.
    """
    stream = sys.stdout if stream is None else stream
    if as_json or not stream.isatty():
        text: Callable[[], str] = view.plain
        if as_json:
            text = lambda: view.as_json().decode()  # noqa: E731 - one of three
        elif brief:
            text = lambda: f"{view.freshness.line()}; {view.headline()}\n"  # noqa: E731
        yield _Paced(_Lines(text, stream), _PLAIN_EVERY_S if every_s is None else every_s)
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(file=stream)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as display:
        yield _Paced(_Redrawn(view, console, display), _TERMINAL_EVERY_S if every_s is None else every_s)
