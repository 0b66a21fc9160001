"""`modpulse config show|check`: what is set, and where it was set."""

from typing import Annotated

import typer

from topology.commands.context import JsonFlag, print_json, print_table, settings_of


def register(app: typer.Typer) -> None:
    """Add the `config` commands."""
    config = typer.Typer(help="The configuration: flag > environment > file > default.", no_args_is_help=True)
    config.command()(show)
    config.command()(check)
    app.add_typer(config, name="config")


def show(
    ctx: typer.Context,
    origin: Annotated[bool, typer.Option("--origin", help="Also say where each value comes from.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Print every setting with its value; secrets are masked."""
    settings = settings_of(ctx)
    from topology.settings.show import show_settings

    rows = show_settings(settings)
    if as_json:
        with_origin = {row.name: {"value": row.value, "origin": row.origin} for row in rows}
        print_json(with_origin if origin else {row.name: row.value for row in rows})
    else:
        print_table((row.name, *((row.origin,) if origin else ()), str(row.value)) for row in rows)


def check(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """Check every setting, the certificates and the alert rules; no broker is asked. Exit code 2 if something is wrong."""
    from topology.kafka.client import client_options
    from topology.settings.alert_rules import configured_rules
    from topology.settings.names import setting_names

    settings = settings_of(ctx)
    client_options(settings)
    rules = configured_rules(settings)
    given = [name for name in setting_names() if settings.origin(name) != "default"]
    if as_json:
        print_json({"ok": True, "given": given, "rules": len(rules)})
    else:
        defaults = len(setting_names()) - len(given)
        print_table([("ok", f"{len(given)} settings given, {defaults} at their defaults; {len(rules)} alert rules")])
