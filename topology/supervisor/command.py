"""The command line of one worker: that of the supervisor, without what is the supervisor's alone."""

import os
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import typer

from topology.runtime import parent_death
from topology.settings import Settings

_PROGRAM = (sys.executable, "-c", "from topology.cli import main; main()")
_PARENT_DEATH = Path(parent_death.__file__)


def given_options(context: typer.Context, without: Collection[str] = ()) -> list[str]:
    """The options of one level of the command line, written out again as they were given.

    Args:
        context: of the program (options before the command) or of the command.
        without: names of parameters to leave out.
    """
    written: list[str] = []
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name in without or source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[name]
        if getattr(parameter, "is_flag", False):
            written.append(parameter.opts[0] if value else parameter.secondary_opts[0])
            continue
        for one in value if isinstance(value, list | tuple) else (value,):
            written += [parameter.opts[0], str(one)]
    return written


def child_settings(settings: Settings, number: int, *, to_terminal: bool) -> dict[str, str]:
    """What one worker is told differently.

    Args:
        settings: the supervisor's.
        number: of the worker, from 0.
        to_terminal: the supervisor's standard error is one, which a worker behind a pipe cannot see.
    """
    # Each worker on a port of its own, which only the supervisor asks; metrics.bind is the supervisor's.
    changed = {"metrics.bind": "127.0.0.1:0"}
    if settings.kafka.group_instance_id is not None:
        # A static member's name belongs to one process; of two with the same each would fence the other for ever.
        changed["kafka.group_instance_id"] = f"{settings.kafka.group_instance_id}-{number}"
    if to_terminal and settings.log.format == "auto":
        changed["log.format"] = "console"
    return changed


def child_command(before: Iterable[str], changed: Mapping[str, str], after: Iterable[str]) -> list[str]:
    """A worker that the kernel ends when this process dies (Linux).

    Args:
        before: options of the program.
        changed: settings that replace those of files, environment and flags.
        after: options of `run`.
    """
    assignments = [part for name, value in changed.items() for part in ("--set", f"{name}={value}")]
    guard = [sys.executable, "-I", "-S", str(_PARENT_DEATH), str(os.getpid())] if sys.platform == "linux" else []
    return [*guard, *_PROGRAM, *before, *assignments, "run", *after]
