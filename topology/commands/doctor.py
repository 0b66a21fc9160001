"""`modpulse doctor`: one line per question, with the remedy."""

from dataclasses import asdict

import typer

from topology.commands.context import JsonFlag, print_json, print_table, settings_of


def register(app: typer.Typer) -> None:
    """Add the `doctor` command."""
    app.command()(doctor)


def doctor(ctx: typer.Context, as_json: JsonFlag = False) -> None:
    """Examine broker, listeners, clocks, topics, permissions, codecs and lag. Only reads.

    Exit code 0 when nothing fails (warnings may remain), 1 when something does, 3 when no broker answers.
    """
    import asyncio
    import logging

    settings = settings_of(ctx)
    # The client libraries log each failed attempt; the findings say the same once, with the remedy.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    from topology.monitor.doctor import examine

    diagnosis = asyncio.run(examine(settings))
    if as_json:
        print_json([asdict(finding) for finding in diagnosis.findings])
    else:
        print_table(
            (one.status, one.check, one.text + (f" -> {one.remedy}" if one.remedy else ""))
            for one in diagnosis.findings
        )
    if diagnosis.error is not None:
        from topology.runtime.exit_codes import exit_code

        raise typer.Exit(exit_code(diagnosis.error))
    if any(finding.status == "fail" for finding in diagnosis.findings):
        raise typer.Exit(1)
