"""`modpulse probe`: is the worker of this machine alive, or ready."""

from typing import Annotated

import typer

from topology.commands.context import JsonFlag, print_json, print_table, settings_of


def register(app: typer.Typer) -> None:
    """Add the `probe` command."""
    app.command()(probe)


def probe(
    ctx: typer.Context,
    ready: Annotated[bool, typer.Option("--ready", help="Ask whether it is ready, not only alive.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Ask the worker that listens at metrics.bind on this machine: the image's health check. No broker is asked.

    Exit code 0 when it answers ok, 1 when not. With an empty metrics.bind there is nothing to ask: exit code 0.
    """
    settings = settings_of(ctx)
    from topology.serve.probe_client import Answer, ask, probe_url
    from topology.settings import split_host_port

    if not settings.metrics.bind:
        answer = Answer(True, "metrics.bind is empty: the worker has no endpoint, so there is nothing to ask")
    else:
        answer = ask(probe_url(*split_host_port(settings.metrics.bind), "/readyz" if ready else "/livez"))
    if as_json:
        print_json({"ok": answer.ok, "text": answer.text})
    else:
        print_table([("ok" if answer.ok else "fail", answer.text)])
    if not answer.ok:
        raise typer.Exit(1)
