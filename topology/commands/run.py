"""`modpulse run`: the worker, or several of them under a supervisor."""

import gc
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from topology.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def run(
        ctx: typer.Context,
        accept_state_loss: Annotated[
            bool,
            typer.Option(
                "--accept-state-loss",
                help="Go on from the group's commits with empty windows where the changelog was lost.",
            ),
        ] = False,
        workers: Annotated[
            str | None,
            typer.Option(
                metavar="N|auto",
                help="Start N worker processes, or one for each usable core, and keep them running under one address.",
            ),
        ] = None,
    ) -> None:
        """Process events until stopped (SIGTERM or Ctrl-C: a last flush, then a clean end).

        Any number of workers may run with one application_id; each takes its share of the partitions. Trouble with the broker
        makes it begin again from the checkpoint, by itself. Exit code 1 is a fail-stop: look at the log, then start it again.
        """
        from topology.commands.context import settings_of
        from topology.open_files import raise_open_files_limit

        count = None if workers is None else _count(workers)
        raise_open_files_limit()
        settings = settings_of(ctx)
        if count is not None:
            raise typer.Exit(_supervise(ctx, settings, count))
        _work(settings, accept_state_loss=accept_state_loss)


def _work(settings: "Settings", *, accept_state_loss: bool) -> None:
    """One worker, in this process."""
    import uvloop

    from topology.alert_rules import configured_rules
    from topology.fail_stop import end
    from topology.worker import run_worker

    # What is imported by now stays: the collector need not look at it, and the data plane makes hardly any cycles.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    rules = configured_rules(settings)
    end(lambda: uvloop.run(run_worker(settings, rules, accept_state_loss=accept_state_loss)))


def _supervise(ctx: typer.Context, settings: "Settings", count: int) -> int:
    """So many workers, each in a process of its own; answers the exit code."""
    import os
    import sys

    from topology.settings import split_host_port
    from topology.supervisor.command import child_command, child_settings, given_options
    from topology.supervisor.supervisor import Plan, run_workers

    root = cast("typer.Context", ctx.find_root())
    before, after = given_options(root), given_options(ctx, without={"workers"})
    told = [child_settings(settings, number, to_terminal=sys.stderr.isatty()) for number in range(count)]
    commands = [child_command(before, changed, after) for changed in told]
    bind = split_host_port(settings.metrics.bind) if settings.metrics.bind else None
    return run_workers(Plan(commands, dict(os.environ), bind))


def _count(text: str) -> int:
    """How many workers a text asks for.

    Raises:
        BadParameter: it is neither a number of at least 1 nor `auto`.
    """
    if text == "auto":
        from topology.supervisor.cores import usable_cores

        return usable_cores()
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"--workers {text}: write a number of at least 1, or auto for one a core")
    return int(text)
