"""`modpulse topics create`: the topics of the contract and our own, made where missing."""

from dataclasses import asdict
from typing import Annotated

import typer

from topology.commands.context import JsonFlag, print_json, print_table, settings_of


def register(app: typer.Typer) -> None:
    """Add the `topics` commands."""
    topics = typer.Typer(help="The topics the worker reads and writes.", no_args_is_help=True)
    topics.command()(create)
    topics.callback()(lambda: None)
    app.add_typer(topics, name="topics")


def create(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Create every missing topic; report those that differ. Running it again changes nothing."""
    import asyncio

    from topology.kafka.topic_admin import create_topics

    reports = asyncio.run(create_topics(settings_of(ctx), dry_run))
    if as_json:
        print_json([asdict(report) for report in reports])
    else:
        print_table(
            (report.status, report.name, f"partitions {report.partitions}", "; ".join(report.details))
            for report in reports
        )
    if any(report.is_finding for report in reports):
        raise typer.Exit(1)
