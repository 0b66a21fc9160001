"""`modpulse publish FILE`: events from a file to Kafka."""

from pathlib import Path
from typing import Annotated

import typer

from topology.commands.context import JsonFlag, print_json, print_table, settings_of


def register(app: typer.Typer) -> None:
    """Add the `publish` command."""
    app.command()(publish)


def publish(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Events as JSON Lines, plain or .gz; - is standard input.")],
    as_json: JsonFlag = False,
) -> None:
    """Publish each line of a file to the input topic, keyed by its module_id, and wait until the broker has all.

    Lines that are no JSON object or name no module are published without a key, for the worker's dead letters.
    Exit code 1 when a line was too large to be sent.
    """
    import asyncio
    from dataclasses import asdict

    settings = settings_of(ctx)
    from topology.runtime.progress import Progress
    from topology.traffic.json_lines import read_lines
    from topology.traffic.publish import publish as run

    progress = Progress("published")
    try:
        done = asyncio.run(run(settings, read_lines(file), progress))
    finally:
        progress.close()
    if as_json:
        print_json({"topic": settings.topics.module_log_events, **asdict(done)})
    else:
        rate = f"{done.records} records in {done.seconds:.1f} s, {done.records / done.seconds:,.0f}/s"
        print_table(
            [
                ("ok", settings.topics.module_log_events, rate),
                *([("note", "without a key", f"{done.keyless} lines name no module")] if done.keyless else []),
                *([("fail", "too large", f"{done.too_large} lines were not sent")] if done.too_large else []),
            ]
        )
    if done.too_large:
        raise typer.Exit(1)
