"""`modpulse run`: the worker."""

import gc
import os
from typing import Annotated

import typer


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
    ) -> None:
        """Process events until stopped (SIGTERM or Ctrl-C: a last flush, then a clean end).

        Any number of workers may run with one application_id; each takes its share of the partitions. Trouble with the broker
        makes it begin again from the checkpoint, by itself. A task that cannot be opened is parked: it says so once a minute, and
        the others go on; SIGHUP tries it again. Exit code 1 is a fail-stop: look at the log, then start it again.
        """
        import uvloop

        from topology.acceptance import Acceptance, parse_tasks
        from topology.alert_rules import configured_rules
        from topology.commands.context import settings_of
        from topology.fail_stop import Failure, end, restarts_so_far
        from topology.worker import Worker, run_worker

        # What is imported by now stays: the collector need not look at it, and the data plane makes hardly any cycles.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        settings = settings_of(ctx)
        rules = configured_rules(settings)
        acceptance = Acceptance(
            parse_tasks("--accept-state-loss", accept_state_loss),
            parse_tasks("--accept-input-reset", accept_input_reset),
        )
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
