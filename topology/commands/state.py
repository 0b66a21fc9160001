"""`modpulse state repartition`: more partitions without losing the state."""

from dataclasses import asdict
from typing import Annotated

import typer

from topology.commands.context import JsonFlag, print_json, print_table, settings_of


def register(app: typer.Typer) -> None:
    """Add the `state` commands."""
    state = typer.Typer(help="The state of the application, while no worker runs.", no_args_is_help=True)
    state.command()(repartition)
    state.callback()(lambda: None)
    app.add_typer(state, name="state")


def repartition(
    ctx: typer.Context,
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            help="How many the input is to have; none can be taken away. Without it: as many as it has now.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Add partitions: move the state of each module to the partition its id belongs to.

    Stop all workers first. The input and the internal topics are grown to the same number, and all state is written in one
    transaction; ended at any point, the command can be run again. The state of all tasks is held in memory meanwhile.
    """
    import uvloop

    from topology.settings.alert_rules import configured_rules
    from topology.state.repartition import repartition as run

    settings = settings_of(ctx)
    done = uvloop.run(run(settings, configured_rules(settings), partitions, dry_run=dry_run))
    if as_json:
        print_json({**asdict(done), "dry_run": dry_run})
        return
    would = "would " if dry_run else ""
    print_table(
        [
            ("partitions", f"{done.before} -> {done.after}"),
            (
                "modules",
                f"{done.modules}, of which {done.moved} {would}move" if done.state_records else "none has to move",
            ),
            ("state", f"{done.state_records} records {'to be ' if dry_run else ''}written"),
            ("topics", f"{would}grow: {', '.join(done.grown)}" if done.grown else "none to grow"),
            ("next", f"set topics.partitions = {done.after} where it is configured, and start the workers soon"),
        ][: 4 if dry_run else 5]
    )
