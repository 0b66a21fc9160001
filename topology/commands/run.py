"""`modpulse run`: the worker."""

import gc
from typing import Annotated

import typer


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
    ) -> None:
        """Process events until stopped (SIGTERM or Ctrl-C: a last flush, then a clean end).

        Any number of workers may run with one application_id; each takes its share of the partitions. Trouble with the broker
        makes it begin again from the checkpoint, by itself. Exit code 1 is a fail-stop: look at the log, then start it again.
        """
        import uvloop

        from topology.alert_rules import configured_rules
        from topology.commands.context import settings_of
        from topology.fail_stop import end
        from topology.open_files import raise_open_files_limit
        from topology.worker import run_worker

        # What is imported by now stays: the collector need not look at it, and the data plane makes hardly any cycles.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        raise_open_files_limit()
        settings = settings_of(ctx)
        rules = configured_rules(settings)
        end(lambda: uvloop.run(run_worker(settings, rules, accept_state_loss=accept_state_loss)))
