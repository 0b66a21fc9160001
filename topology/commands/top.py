"""`modpulse top`: the modules as they are now, in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import ConfigError
from topology.commands.context import settings_of

if TYPE_CHECKING:
    from topology.settings import Settings

# On top of a base window and the grace: for the flush, and clocks that differ a little.
_SLACK_MS = 5_000


def register(app: typer.Typer) -> None:
    """Add the `top` command."""
    app.command()(top)


def top(
    ctx: typer.Context,
    window: Annotated[str | None, typer.Option(help="A configured window size; default: the smallest.")] = None,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between refreshes.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one plain table and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per refresh.")] = False,
) -> None:
    """Show every module with rate, errors, percentiles, health and alerts, the worst first, and why. Ctrl-C ends it.

    The first line says as of when. It is red when no worker writes any more, or the broker does not answer.

    On a terminal it is a live table; elsewhere a plain one every --interval seconds.
    """
    import asyncio

    settings = settings_of(ctx)
    names = [name for name, _ in settings.windows.sizes]
    if window is not None and window not in names:
        raise ConfigError(f"--window {window} is not configured; choose one of {', '.join(names)}")
    try:
        asyncio.run(_watch(settings, window or names[0], interval, once=once, as_json=as_json))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


async def _watch(settings: Settings, window: str, interval: float, *, once: bool, as_json: bool) -> None:
    import sys

    from topology.monitor.feed import live_feed
    from topology.monitor.screen import live_screen
    from topology.monitor.view import LiveView

    windows = settings.windows
    view = LiveView(window, stale_after_ms=windows.sizes[0][1] + windows.grace + _SLACK_MS)
    async with live_feed(settings) as feed:
        await feed.catch_up(view.take)
        if once:
            sys.stdout.write(view.as_json().decode() if as_json else view.plain())
            return
        with live_screen(view, every_s=interval, as_json=as_json) as screen:
            while True:
                view.broker_away_s = feed.unheard_s
                screen.show()
                await feed.read(view.take)
