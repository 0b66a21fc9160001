"""`modpulse replay FILE`: the same core without a broker."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topology.commands.context import JsonFlag, settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.state import Ledger
    from topology.traffic.rejects import Rejects


def register(app: typer.Typer) -> None:
    """Add the `replay` command."""
    app.command()(replay)


def replay(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Events as JSON Lines, plain or .gz; - is standard input.")],
    partitions: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Of the input topic; default: topics.partitions.")
    ] = None,
    drain: Annotated[bool, typer.Option("--drain", help="Close what is open at the end.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the module metrics here, not to standard output.")] = None,
    alerts: Annotated[Path | None, typer.Option(help="Also write the alerts, as JSON Lines, to this file.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Print every `module-metrics` value the worker would publish for a file of events, as JSON Lines.

    The summary goes to standard error (with --json as one JSON line). Exit code 1 when the ledger does not balance.
    """
    import time
    from contextlib import ExitStack

    settings = settings_of(ctx)
    from topology.settings.alert_rules import configured_rules
    from topology.traffic.json_lines import read_lines, require_readable
    from topology.traffic.outputs import open_output, refuse_same_file
    from topology.traffic.rejects import Rejects
    from topology.traffic.replay import replay as run

    rules = configured_rules(settings)
    require_readable(file)
    refuse_same_file([file], {"--out": out, "--alerts": alerts})
    count = partitions or settings.topics.partitions
    rejects = Rejects()
    totals: list[Ledger | None] = [None] * count
    records = 0
    with ExitStack() as stack:
        metrics_out = stack.enter_context(open_output(out))
        alerts_out = None if alerts is None else stack.enter_context(open_output(alerts))
        steps = run(
            read_lines(file),
            settings.core(),
            rules,
            partitions=count,
            now_ms=time.time_ns() // 1_000_000,
            drain=drain,
        )
        for partition, cut in steps:
            for emitted in cut.outbox.emitted:
                if emitted.role == "module_metrics":
                    metrics_out.write(emitted.value + b"\n")
                    records += 1
                elif emitted.role == "module_alerts" and alerts_out is not None:
                    alerts_out.write(emitted.value + b"\n")
            rejects.note(cut.outbox)
            totals[partition] = _total(cut.position.ledger)
    ledgers = [ledger for ledger in totals if ledger is not None]
    _report(ledgers, records, rejects, as_json=as_json)
    if not all(ledger.balanced for ledger in ledgers):
        raise typer.Exit(1)


def _total(ledgers: dict[str, Ledger]) -> Ledger:
    from pipeline.outputs import total_ledger

    return total_ledger(ledgers)


def _report(ledgers: Sequence[Ledger], records: int, rejects: Rejects, *, as_json: bool) -> None:
    import orjson
    from msgspec.structs import asdict

    from pipeline.outputs import total_ledger

    whole = total_ledger({str(number): ledger for number, ledger in enumerate(ledgers)})
    if as_json:
        answer = {"records": records, "ledger": asdict(whole), "partitions": [asdict(one) for one in ledgers]}
        answer["rejected"] = rejects.answer()
        sys.stderr.write(orjson.dumps(answer).decode() + "\n")
        return
    columns = type(whole).__struct_fields__
    sys.stderr.write("partition" + "".join(f"{name:>11}" for name in columns) + "\n")
    for name, ledger in [*((str(number), one) for number, one in enumerate(ledgers)), ("all", whole)]:
        sys.stderr.write(f"{name:<9}" + "".join(f"{getattr(ledger, column):>11}" for column in columns) + "\n")
    sys.stderr.write(f"{records} module-metrics records\n")
    for line in rejects.lines():
        sys.stderr.write(line + "\n")
