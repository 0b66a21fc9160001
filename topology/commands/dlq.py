"""`modpulse dlq list|replay`: the letters set aside, and the way back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas.errors import ConfigError
from topology.commands.context import JsonFlag, print_json, print_table, settings_of

if TYPE_CHECKING:
    from topology.dead_letters.record import Letter, LetterFilter, Overview
    from topology.dead_letters.replay import Replayed
    from topology.settings import Settings

_PREVIEW_CHARS = 200

Reasons = Annotated[
    list[str] | None,
    typer.Option("--reason", help="Only these: undecodable, invalid, future_timestamp, too_large. Repeatable."),
]
Since = Annotated[
    str | None,
    typer.Option(metavar="DURATION", help="Only letters written to the topic within that time, e.g. 90m, 1h, 2d."),
]
Key = Annotated[str | None, typer.Option("--key", "--module", help="Only letters of this record key (the module id).")]
Late = Annotated[bool, typer.Option("--late", help="The late topic instead of the dead letters.")]


def register(app: typer.Typer) -> None:
    """Add the `dlq` commands."""
    dlq = typer.Typer(help="The dead and late letters.", no_args_is_help=True)
    dlq.command(name="list")(list_letters)
    dlq.command()(replay)
    app.add_typer(dlq, name="dlq")


def list_letters(
    ctx: typer.Context,
    reason: Reasons = None,
    since: Since = None,
    key: Key = None,
    late: Late = False,
    limit: Annotated[int, typer.Option(min=0, max=10_000, help="How many of the newest to show.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """Count the letters by reason and by the topic they came from, and show the newest. Only reads.

    Exit code 0 whether there are letters or not; alerting on them is the worker's metrics' business.
    """
    import asyncio

    settings = settings_of(ctx)
    from topology.dead_letters.reader import overview
    from topology.runtime.progress import Progress

    wanted = _filter(reason, since, key, late=late)
    topic = _topic(settings, late=late)
    progress = Progress("looked at")
    try:
        found = asyncio.run(overview(settings, topic, wanted, limit, progress))
    finally:
        progress.close()
    if as_json:
        print_json(_overview_json(topic, found))
        return
    print_table([("letters", topic, f"{found.letters:,}")])
    counts = [("reason", name, f"{count:,}") for name, count in found.reasons.most_common()]
    counts += [("from", name, f"{count:,}") for name, count in found.origins.most_common()]
    if counts:
        print_table(counts)
    rows = [_row(letter) for letter in found.newest]
    if rows:
        print_table([("time", "reason", "from", "key", "message", "value"), *rows])


def replay(
    ctx: typer.Context,
    reason: Reasons = None,
    since: Since = None,
    key: Key = None,
    late: Late = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Send at most so many.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.01, help="Send at most so many a second.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Send those, too, that were replayed before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent; change nothing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Send dead letters back to the input, unchanged and each only once. Mend the cause first, or they come back.

    A letter goes to the partition it came from, with its key, value and headers, less modpulse.errors.*, plus
    modpulse.replayed.from. What was sent is remembered in the same transaction: run it twice, kill it, run two at a time
    (the later one takes over): no letter is sent twice, none is left out. A letter that fails again is a new letter.
    An event whose event_id was counted meanwhile is suppressed by the worker as a duplicate.

    Exit code 1 when some can never be sent as they came in: cut ones, those that stand for a whole batch, and those too large
    for the input topic.
    """
    import asyncio
    import sys

    settings = settings_of(ctx)
    from topology.dead_letters.replay import ReplayOrder
    from topology.dead_letters.replay import replay as run
    from topology.runtime.progress import Progress

    order = ReplayOrder(
        _topic(settings, late=late), _filter(reason, since, key, late=late), limit, rate, again=again, dry_run=dry_run
    )
    if late and not dry_run:
        sys.stderr.write(
            "late letters are late again, unless windows.corrections was raised or the application is new\n"
        )
    progress = Progress("looked at")
    try:
        done = asyncio.run(run(settings, order, progress))
    finally:
        progress.close()
    if as_json:
        print_json(_replayed_json(settings, order.topic, done, dry_run=dry_run))
    else:
        print_table(_replayed_rows(settings, done, dry_run=dry_run))
    if done.unsendable:
        raise typer.Exit(1)


def _topic(settings: Settings, *, late: bool) -> str:
    return settings.topics.late if late else settings.topics.dlq


def _filter(reasons: list[str] | None, since: str | None, key: str | None, *, late: bool) -> LetterFilter:
    """The flags as a filter.

    Raises:
        ConfigError: a flag is wrong.
    """
    import time

    from topology.dead_letters.record import DEAD_REASONS, UNKNOWN, LetterFilter
    from topology.settings.units import parse_duration

    possible = ("late", UNKNOWN) if late else (*DEAD_REASONS, UNKNOWN)
    for reason in reasons or ():
        if reason not in possible:
            hint = "late letters are on a topic of their own, add --late" if reason == "late" else "choose another"
            raise ConfigError(f"--reason {reason}: here it is one of {', '.join(possible)}; {hint}")
    since_ms = None
    if since is not None:
        try:
            since_ms = time.time_ns() // 1_000_000 - parse_duration(since)
        except ValueError as error:
            raise ConfigError(f"--since {since} {error}") from error
    return LetterFilter(frozenset(reasons or ()), since_ms, None if key is None else os.fsencode(key))


def _preview(data: bytes | None, size: int | None = None) -> str:
    """The beginning of a key or value as one harmless line; `size` is that of all of it."""
    from topology.runtime.logs import safe_text

    if data is None:
        return "(none)"
    # Cut first: a character has at most four bytes, and a value at most some megabytes.
    text = safe_text(data[: 4 * _PREVIEW_CHARS].decode("utf-8", "backslashreplace"))
    size = len(data) if size is None else size
    whole = size <= 4 * _PREVIEW_CHARS and len(text) <= _PREVIEW_CHARS
    return text if whole else f"{text[:_PREVIEW_CHARS]}... ({size:,} bytes)"


def _time(ms: int) -> str:
    """RFC 3339, or the number where it is no time."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return str(ms)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _row(letter: Letter) -> tuple[str, ...]:
    origin, batch = letter.origin, letter.batch
    place = "?" if origin is None else f"{origin.topic}/{origin.partition}/{origin.offset}"
    if batch is not None:
        place += f" to {batch.last_offset} ({batch.records:,} records)"
    said = f"{letter.message} (cut: {letter.truncated})" if letter.truncated else letter.message
    key, value = _preview(letter.key, letter.key_bytes), _preview(letter.value, letter.value_bytes)
    return _time(letter.timestamp_ms), letter.reason, place, key, _preview(said.encode("utf-8", "replace")), value


def _overview_json(topic: str, found: Overview) -> dict[str, Any]:
    return {
        "topic": topic,
        "letters": found.letters,
        "by_reason": dict(found.reasons),
        "by_origin": dict(found.origins),
        "newest": [_letter_json(letter) for letter in found.newest],
    }


def _letter_json(letter: Letter) -> dict[str, Any]:
    from dataclasses import asdict

    from topology.runtime.logs import safe_text

    return {
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp": letter.timestamp_ms,
        "reason": letter.reason,
        "message": safe_text(letter.message),
        "from": None if letter.origin is None else asdict(letter.origin),
        "key": None if letter.key is None else _preview(letter.key, letter.key_bytes),
        "value": None if letter.value is None else _preview(letter.value, letter.value_bytes),
        "value_bytes": None if letter.value is None else letter.value_bytes,
        "truncated": letter.truncated != "",
        "cut": safe_text(letter.truncated),
        "batch": None if letter.batch is None else letter.batch._asdict(),
    }


def _replayed_json(settings: Settings, topic: str, done: Replayed, *, dry_run: bool) -> dict[str, Any]:
    reasons = sorted(done.sent_by_reason.keys() | done.already_by_reason.keys())
    return {
        "topic": topic,
        "to": settings.topics.module_log_events,
        "dry_run": dry_run,
        "read": done.read,
        "sent": done.sent,
        "already_replayed": done.already_replayed,
        "filtered": done.filtered,
        "unsendable": dict(done.unsendable),
        "by_reason": {
            reason: {"sent": done.sent_by_reason[reason], "already_replayed": done.already_by_reason[reason]}
            for reason in reasons
        },
        "seconds": round(done.seconds, 3),
    }


def _replayed_rows(settings: Settings, done: Replayed, *, dry_run: bool) -> list[tuple[str, ...]]:
    sent = "would be sent" if dry_run else "sent"
    return [
        ("ok", sent, f"{done.sent:,} to {settings.topics.module_log_events} in {done.seconds:.1f} s"),
        *(("ok", f"  {reason}", f"{count:,}") for reason, count in done.sent_by_reason.most_common()),
        ("ok", "already replayed", f"{done.already_replayed:,}"),
        ("ok", "filtered", f"{done.filtered:,}"),
        *(("fail", "cannot be sent", f"{count:,}: {why}") for why, count in done.unsendable.items()),
    ]
