"""`modpulse rules check FILE`: whether an alert rule file can be used."""

from pathlib import Path
from typing import Annotated

import typer

from topology.commands.context import JsonFlag, print_json, print_table, settings_of


def register(app: typer.Typer) -> None:
    """Add the `rules` commands."""
    rules = typer.Typer(help="The alert rules.", no_args_is_help=True)
    rules.command()(check)
    rules.callback()(lambda: None)
    app.add_typer(rules, name="rules")


def check(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A rule file (TOML).")],
    as_json: JsonFlag = False,
) -> None:
    """Compile every rule of a file; a bad one is named with line and reason. Exit code 2 when one is bad."""
    settings = settings_of(ctx)
    from topology.settings.alert_rules import read_rules

    rules = read_rules(file, settings)
    if as_json:
        print_json({"ok": True, "rules": [rule.name for rule in rules]})
    else:
        print_table([("ok", f"{file}: {len(rules)} rules"), *(("", rule.name) for rule in rules)])
