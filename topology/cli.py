"""The `modpulse` command: global options, the commands, and what each kind of error means for the exit code.

What an exit code means stands in topology/runtime/exit_codes.py. A command imports what it needs when it runs, so that `--help`
answers at once. With `--json` a command that fails says so as JSON too.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import ModpulseError, OutputFailed
from topology.commands.context import GlobalOptions, parse_assignments
from topology.runtime.exit_codes import exit_code
from topology.runtime.streams import checked_streams

COMMANDS = (
    "run",
    "demo",
    "topics",
    "generate",
    "publish",
    "replay",
    "state",
    "dlq",
    "doctor",
    "probe",
    "config",
    "schema",
    "rules",
    "top",
    "explain",
)

app = typer.Typer(
    name="modpulse",
    help="Exact event-time metrics, health and alerts for a fleet of services, on Kafka.",
    epilog="Exit codes: 0 ok, 1 finding, 2 usage or configuration, 3 broker unreachable.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from topology.runtime.version import version_line

        sys.stdout.write(version_line() + "\n")
        raise typer.Exit


@app.callback()
def global_options(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="Configuration file; else MODPULSE_CONFIG, else ./modpulse.toml.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting, e.g. windows.grace=5s. Repeatable."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Say which build this is.")
    ] = False,
) -> None:
    """Keep what every command needs; the settings themselves are read when a command asks for them."""
    ctx.obj = GlobalOptions(config, {**parse_assignments(assignments or ()), "log.level": log_level})


def main() -> None:
    """Run the command line and end the process with the contract's exit code."""
    try:
        with checked_streams():
            _run()
    except OutputFailed as error:
        _tell(error)
        sys.exit(exit_code(error))


def _run() -> None:
    try:
        app(prog_name="modpulse")
    except OutputFailed:
        raise  # nothing more can be said on standard output
    except ModpulseError as error:
        _tell(error)
        code = exit_code(error)
        if "--json" in sys.argv:
            from topology.commands.context import print_json

            print_json({"ok": False, "exit_code": code, "error": str(error), **error.answer})
        sys.exit(code)


def _tell(error: ModpulseError) -> None:
    if isinstance(error, OutputFailed) and error.reader_gone:
        return
    # Standard error may be a terminal, and the message may quote what somebody published.
    from topology.runtime.logs import safe_text

    lines = [safe_text(line) for line in str(error).splitlines()]
    sys.stderr.write("modpulse: " + "\n".join(lines) + "\n")


for _name in COMMANDS:
    import_module(f"topology.commands.{_name}").register(app)
