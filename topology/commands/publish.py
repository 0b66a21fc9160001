"""`modpulse publish FILE`: events from a file to Kafka."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import ConfigError
from topology.commands.context import JsonFlag, print_json, print_table, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from topology.settings import Settings
    from topology.traffic.publish import Published


def register(app: typer.Typer) -> None:
    """Add the `publish` command."""
    app.command()(publish)


def publish(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Events as JSON Lines, plain or .gz; - is standard input.")],
    from_line: Annotated[int, typer.Option(min=1, help="Begin at this line, where an earlier run broke off.")] = 1,
    validate: Annotated[bool, typer.Option("--validate", help="Check each line, and send no wrong one.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check each line, and send nothing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Publish each line of a file to the input topic, keyed by its module_id, and wait until the broker has all.

    A line that came through a pipe is sent within a second. Ctrl-C sends what was read and says how far that is. Without
    --validate, lines that are no valid event are sent too, for the worker's dead letters. Exit code 1 when a line was
    wrong or too large to be sent, 130 when it was interrupted.
    """
    import asyncio
    from dataclasses import asdict

    settings = settings_of(ctx)
    from topology.runtime.exit_codes import INTERRUPTED
    from topology.runtime.progress import Progress
    from topology.traffic.json_lines import is_live, require_readable
    from topology.traffic.publish import look_at
    from topology.traffic.publish import publish as run

    require_readable(file)
    if dry_run:
        done = look_at(_from(file, from_line), _event_check(settings))
    else:
        progress = Progress("published")
        try:
            check = _event_check(settings) if validate else None
            done = asyncio.run(run(settings, _from(file, from_line), progress, check=check, live=is_live(file)))
        finally:
            progress.close()
    topic = settings.topics.module_log_events
    if as_json:
        print_json({"ok": not (done.wrong or done.too_large), "topic": topic, "dry_run": dry_run, **asdict(done)})
    else:
        print_table(_rows(topic, done, dry_run=dry_run))
    if done.interrupted:
        raise typer.Exit(INTERRUPTED)
    if done.too_large or done.wrong:
        raise typer.Exit(1)


def _from(file: Path, from_line: int) -> "Iterator[tuple[int, bytes]]":
    from topology.traffic.json_lines import numbered_lines

    number = 0
    for number, line in numbered_lines(file):
        if number >= from_line:
            yield number, line
    if number < from_line - 1:
        raise ConfigError(f"--from-line {from_line}: {file} has {number:,} lines")


def _event_check(settings: "Settings") -> "Callable[[bytes], str | None]":
    from schemas.export import validate

    rules = settings.core().event_rules
    return lambda line: validate("module-log-events", line, rules)


def _rows(topic: str, done: "Published", *, dry_run: bool) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]]
    if dry_run:
        rows = [("ok", topic, f"{done.records} records would be sent")]
    else:
        rate = f"{done.records} records in {done.seconds:.1f} s, {done.records / done.seconds:,.0f}/s"
        rows = [("stopped" if done.interrupted else "ok", topic, rate)]
    if done.interrupted:
        rows.append(("note", "interrupted", f"go on with --from-line {done.next_line}"))
    if done.keyless:
        rows.append(("note", "without a key", f"{done.keyless} lines name no module"))
    if done.too_large:
        rows.append(("fail", "too large", f"{done.too_large} lines were not sent"))
    if done.wrong:
        rows.append(
            (
                "fail",
                "wrong",
                f"{done.wrong} lines {'are' if dry_run else 'were not sent, for they are'} no valid event",
            )
        )
        rows += [("fail", f"line {number}", problem) for number, problem in done.problems]
    return rows
