"""`modpulse run`: the worker, or several of them under a supervisor."""

import gc
import os
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from topology.runtime.acceptance import Acceptance
    from topology.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def run(
        ctx: typer.Context,
        accept_state_loss: Annotated[
            str | None,
            typer.Option(
                metavar="TASKS",
                help="Go on from the group's commits with empty windows where the state of these tasks is lost or damaged:"
                " partitions, `system`, or `all`, such as 3,system. For this start only.",
            ),
        ] = None,
        accept_input_reset: Annotated[
            str | None,
            typer.Option(
                metavar="TASKS",
                help="Go on with the windows of these tasks where their input was made anew (from its beginning) or cut (from"
                " its end). For this start only.",
            ),
        ] = None,
        strict: Annotated[
            bool, typer.Option("--strict", help="End where one task cannot be opened, instead of parking it.")
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
        makes it begin again from the checkpoint, by itself. A task that cannot be opened is parked: it says so once a minute, and
        the others go on; SIGHUP tries it again. Exit code 1 is a fail-stop: look at the log, then start it again.
        """
        from topology.commands.context import settings_of
        from topology.runtime.acceptance import Acceptance, parse_tasks
        from topology.runtime.open_files import raise_open_files_limit

        count = None if workers is None else _count(workers)
        raise_open_files_limit()
        settings = settings_of(ctx)
        acceptance = Acceptance(
            parse_tasks("--accept-state-loss", accept_state_loss),
            parse_tasks("--accept-input-reset", accept_input_reset),
        )
        if count is not None:
            raise typer.Exit(_supervise(ctx, settings, count))
        _work(settings, acceptance, strict=strict)


def _work(settings: "Settings", acceptance: "Acceptance", *, strict: bool) -> None:
    """One worker, in this process."""
    import uvloop

    from topology.runtime.fail_stop import Failure, end, restarts_so_far
    from topology.settings.alert_rules import configured_rules
    from topology.worker.worker import Worker, run_worker

    # What is imported by now stays: the collector need not look at it, and the data plane makes hardly any cycles.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    rules = configured_rules(settings)
    given_up = restarts_so_far(os.environ).given_up
    workers: list[Worker] = []

    async def work() -> None:
        workers.append(Worker(settings, rules, acceptance=acceptance, strict=strict, given_up=given_up))
        await run_worker(workers[0])

    end(
        lambda: uvloop.run(work()),
        lambda: workers[0].failure if workers else Failure(),
        instance_id=settings.kafka.group_instance_id,
        strict=strict,
    )


def _supervise(ctx: typer.Context, settings: "Settings", count: int) -> int:
    """So many workers, each in a process of its own; answers the exit code."""
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
