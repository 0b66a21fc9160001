"""`modpulse schema show|validate`: the published contract, and whether records keep it."""

from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import ConfigError
from topology.commands.context import JsonFlag, print_json, print_table, settings_of


def register(app: typer.Typer) -> None:
    """Add the `schema` commands."""
    schema = typer.Typer(help="The schemas of the topics.", no_args_is_help=True)
    schema.command()(show)
    schema.command()(validate)
    app.add_typer(schema, name="schema")


def show(
    ctx: typer.Context,
    topic: Annotated[
        str | None, typer.Argument(help="A topic of the contract; none: the whole AsyncAPI document.")
    ] = None,
) -> None:
    """Print the JSON Schema of one topic, or the AsyncAPI 3 document of all, with the limits of these settings."""
    from schemas import export

    if topic is not None:
        _known(topic)
    rules = settings_of(ctx).core().event_rules
    print_json(export.asyncapi(rules) if topic is None else export.json_schema(topic, rules))


def validate(
    ctx: typer.Context,
    topic: Annotated[str, typer.Argument(help="A topic of the contract, e.g. module-log-events.")],
    file: Annotated[Path, typer.Argument(help="JSON Lines, plain or .gz; - is standard input.")],
    as_json: JsonFlag = False,
) -> None:
    """Check each line of a file as the value of one record, as the worker would. Exit code 1 when a line is wrong."""
    from schemas import export
    from topology.traffic.json_lines import numbered_lines

    _known(topic)
    rules = settings_of(ctx).core().event_rules
    checked = 0
    wrong: list[tuple[int, str]] = []
    for number, line in numbered_lines(file):
        checked += 1
        if (problem := export.validate(topic, line, rules)) is not None:
            wrong.append((number, problem))
    if as_json:
        print_json({"checked": checked, "wrong": [{"line": number, "problem": problem} for number, problem in wrong]})
    else:
        print_table((f"{file}:{number}", problem) for number, problem in wrong)
        print_table([("fail" if wrong else "ok", f"{checked} records checked, {len(wrong)} wrong")])
    if wrong:
        raise typer.Exit(1)


def _known(topic: str) -> str:
    import difflib

    from schemas import export

    if topic not in export.TOPICS:
        near = difflib.get_close_matches(topic, export.TOPICS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(export.TOPICS)}"
        raise ConfigError(f"topic {topic} has no schema; {hint}")
    return topic
