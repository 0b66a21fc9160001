"""`modpulse generate`: synthetic traffic to Kafka or to a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import ConfigError
from topology.commands.context import JsonFlag, print_json, print_table, settings_of

if TYPE_CHECKING:
    from topology.traffic.events import ErrorBurst, LatencyShift, TrafficPlan
    from topology.traffic.generate import Job

_UNPACED_RATE = 5_000.0
# A record in twenty minutes; below it an event's time would leave the calendar.
_LEAST_RATE = 0.001
# Epoch ms of the year 33658.
_MOST_DIGITS = 15


def register(app: typer.Typer) -> None:
    """Add the `generate` command."""
    app.command()(generate)


def generate(
    ctx: typer.Context,
    rate: Annotated[float, typer.Option(min=0, help="Records a second; 0: as fast as possible.")] = 1_000.0,
    modules: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many modules.")] = 40,
    seconds: Annotated[float | None, typer.Option(min=0, help="Event time covered; default: no end.")] = None,
    count: Annotated[int | None, typer.Option(min=0, help="Stop after that many records.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed and start time: same bytes.")] = 1,
    error_burst: Annotated[
        str | None,
        typer.Option(metavar="START,SECONDS,SHARE,RATE", help="That share of modules fails at that rate for a while."),
    ] = None,
    latency_shift: Annotated[
        str | None,
        typer.Option(metavar="START,SECONDS,FACTOR[,SHARE]", help="Modules (or a share of them) are slower."),
    ] = None,
    disorder: Annotated[str, typer.Option(help="Events are up to this late, e.g. 500ms.")] = "0ms",
    duplicates: Annotated[float, typer.Option(min=0, max=1, help="Share of repeated events.")] = 0.0,
    bad_ratio: Annotated[float, typer.Option(min=0, max=1, help="Share of records that cannot be used.")] = 0.0,
    gauges: Annotated[float, typer.Option(min=0, max=1, help="Share of events with CPU, memory and so on.")] = 0.1,
    start_time: Annotated[
        str | None, typer.Option(help="Event time of the beginning: epoch ms or RFC 3339. Default: now.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write JSON Lines here instead; - is standard output.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Produce synthetic events, keyed by module, until they are all sent or Ctrl-C ends it.

    Without pacing (--rate 0, or a file) and without --start-time the traffic is dated back, so that it ends now.
    """
    import asyncio
    import sys

    settings = settings_of(ctx)
    from topology.runtime.progress import Progress
    from topology.traffic.events import TrafficPlan
    from topology.traffic.generate import generate as run
    from topology.traffic.generate import write
    from topology.traffic.json_lines import STANDARD
    from topology.traffic.outputs import open_output

    count, spacing = _extent(rate, seconds, count, unpaced=out is not None)
    plan = TrafficPlan(
        rate=spacing,
        modules=modules,
        seed=seed,
        error_burst=_burst(error_burst),
        latency_shift=_shift(latency_shift),
        disorder_ms=_duration("--disorder", disorder),
        duplicates=duplicates,
        bad=bad_ratio,
        gauges=gauges,
    )
    job = _job(plan, count, start_time, paced=rate > 0 and out is None)
    progress = Progress("generated")
    try:
        if out is None:
            done = asyncio.run(run(settings, job, progress))
        else:
            with open_output(out) as stream:
                done = write(stream, job, progress)
    finally:
        progress.close()
    summary = done.summary()
    if out == STANDARD:
        sys.stderr.write(f"{done.records} records written\n")
    elif as_json:
        print_json(summary)
    else:
        kinds = [("bad", name, str(number)) for name, number in sorted(done.kinds.items()) if "/" in name]
        totals = [("ok", name, str(summary[name])) for name in ("records", "events", "duplicates", "bad")]
        print_table([*totals, *kinds, ("ok", "seconds", f"{done.seconds:.1f}")])


def _extent(rate: float, seconds: float | None, count: int | None, *, unpaced: bool) -> tuple[int | None, float]:
    """How many records, and how many of them a second of event time."""
    if rate == 0:
        if count is None and seconds is None:
            raise ConfigError("--rate 0 has no end of its own; add --count N or --seconds N")
        spacing = count / seconds if count and seconds else _UNPACED_RATE
    elif rate < _LEAST_RATE:
        raise ConfigError(f"--rate {rate:g} is less than {_LEAST_RATE} records a second; write 0 or at least that")
    else:
        spacing = rate
    if seconds is not None:
        by_time = round(seconds * spacing)
        count = by_time if count is None else min(count, by_time)
    if count is None and unpaced:
        raise ConfigError("a file must end; add --count N or --seconds N")
    return count, spacing


def _job(plan: TrafficPlan, count: int | None, start_time: str | None, *, paced: bool) -> Job:
    import time

    from topology.traffic.generate import Job

    now_ms = time.time_ns() // 1_000_000
    if start_time is not None:
        start_ms = _moment(start_time)
    else:
        start_ms = now_ms if paced else now_ms - int((count or 0) / plan.rate * 1_000)
    return Job(plan, start_ms, count, paced)


def _burst(text: str | None) -> ErrorBurst | None:
    from topology.traffic.events import ErrorBurst

    return None if text is None else ErrorBurst(*_numbers("--error-burst", text, 4, 4))


def _shift(text: str | None) -> LatencyShift | None:
    from topology.traffic.events import LatencyShift

    return None if text is None else LatencyShift(*_numbers("--latency-shift", text, 3, 4))


def _numbers(flag: str, text: str, least: int, most: int) -> list[float]:
    import math

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not least <= len(numbers) <= most or not all(math.isfinite(number) and number >= 0 for number in numbers):
        raise ConfigError(f"{flag} {text}: write {least} numbers separated by commas, as the help shows")
    return numbers


def _duration(flag: str, text: str) -> int:
    from topology.settings.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"{flag} {text} {error}") from error


def _moment(text: str) -> int:
    from schemas.errors import PoisonRecord
    from schemas.valid.rules import parse_timestamp

    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
        return int(text)
    try:
        return parse_timestamp(text)
    except PoisonRecord as error:
        raise ConfigError(f"--start-time: {error.message}; or write epoch milliseconds") from error
