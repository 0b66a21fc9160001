"""`modpulse explain MODULE`: why a module is in the state it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import ConfigError, NothingFound
from topology.commands.context import JsonFlag, print_json, settings_of

if TYPE_CHECKING:
    from topology.monitor.explain import Explanation
    from topology.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the `explain` command."""
    app.command()(explain)


def explain(
    ctx: typer.Context,
    module: Annotated[str, typer.Argument(help="The module_id.")],
    window: Annotated[str | None, typer.Option(help="A configured window size; default: the smallest.")] = None,
    deadline: Annotated[float, typer.Option(min=1, help="Seconds for each look into the topics.")] = 15.0,
    as_json: JsonFlag = False,
) -> None:
    """Say which class a module is of and why, since when, its last 10 windows, its alerts, and what was before.

    It reads the worker's topics: the last windows, those of an hour and a day before, and the alerts of a day. Exit code 1
    when no window of the module is found.
    """
    import asyncio
    import sys

    settings = settings_of(ctx)
    sizes = dict(settings.windows.sizes)
    name = window or next(iter(sizes))
    if name not in sizes:
        raise ConfigError(f"--window {name} is not configured; choose one of {', '.join(sizes)}")
    found = asyncio.run(_look(settings, module, name, sizes[name], deadline))
    if found is None:
        raise NothingFound(
            f"no window of module {module} is in {settings.topics.module_metrics}; `modpulse top` lists the modules there are"
        )
    if as_json:
        print_json(found.answer())
    else:
        sys.stdout.write("\n".join(found.lines()) + "\n")


async def _look(settings: Settings, module: str, window: str, size_ms: int, deadline_s: float) -> Explanation | None:
    from topology.monitor.explain import explain as ask
    from topology.monitor.freshness import wall_ms
    from topology.monitor.history import topic_history
    from topology.runtime.progress import Progress

    progress = Progress("read")
    stale_after_ms = settings.windows.sizes[0][1] + settings.windows.grace
    try:
        async with topic_history(settings, deadline_s=deadline_s, progress=progress.reached) as history:
            return await ask(history, module, window, size_ms, wall_ms(), stale_after_ms)
    finally:
        progress.close()
