"""The table: printed, as JSON, and written into docs/reliability.md between its markers."""

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import orjson

from tests.faults.judge.verdict import Findings
from tests.faults.outcome import Report
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
HEAD = (
    *("row", "verdict", "events", "kills / faults", "lost", "doubled", "missing finals", "conflicting finals", "wrong"),
    *("ledger", "alerts lost / doubled", "recovery s, usual / worst", "worst lag"),
)


def cells(report: Report) -> tuple[str, ...]:
    """A line of the table."""
    found = report.findings
    recovery = "" if report.recovery_s is None else f"{report.typical_recovery_s:.1f} / {report.recovery_s:.1f}"
    return (
        report.name,
        report.verdict,
        f"{report.events:,}",
        f"{report.kills} / {report.faults}",
        *(str(n) for n in (found.lost, found.doubled, found.missing_finals, found.conflicting_finals, found.wrong)),
        str(found.ledger),
        f"{found.alerts_lost} / {found.alerts_doubled}",
        recovery,
        f"{report.worst_lag:,}",
    )


def plain(reports: Sequence[Report]) -> str:
    """The table for a terminal."""
    rows = [HEAD, *map(cells, reports)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def words(report: Report) -> list[str]:
    """What the table has no column for."""
    said = [f"{report.failure or report.void}"] if report.failure or report.void else []
    if report.phases:
        said.append(f"killed while {report.phases}")
    if report.own_ends:
        said.append(f"{report.own_ends} ends by themselves, started again by the supervisor")
    if report.begun_again:
        said.append(f"{report.begun_again} times a worker began again from the checkpoint by itself")
    return [*said, *report.figures, *report.remarks, *report.findings.notes]


def summary(reports: Sequence[Report]) -> str:
    """One sentence."""
    product = [report for report in reports if report.must_be_clean]
    mutants = [report for report in reports if not report.must_be_clean]
    found = [report.findings for report in product]
    return (
        f"{sum(report.events for report in product):,} events, {sum(report.kills for report in product)} kills,"
        f" {sum(report.faults for report in product)} faults: {sum(f.lost for f in found)} lost,"
        f" {sum(f.doubled for f in found)} doubled, {sum(f.wrong + f.missing_finals + f.conflicting_finals for f in found)}"
        f" wrong of {sum(f.windows + f.finals for f in found):,} records compared;"
        f" {sum(report.as_wanted for report in mutants)} of {len(mutants)} mutants caught"
    )


def as_json(reports: Sequence[Report]) -> bytes:
    """Everything, for machines."""
    document = {"summary": summary(reports), "rows": [report.as_json() for report in reports]}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def from_json(file: Path) -> list[Report]:
    """The rows of a former run."""
    names = {field.name for field in fields(Report)}
    rows = [
        {name: value for name, value in row.items() if name in names} for row in orjson.loads(file.read_bytes())["rows"]
    ]
    return [Report(**{**row, "findings": Findings(**row["findings"])}) for row in rows]


def merged(former: Sequence[Report], now: Sequence[Report], order: Sequence[str]) -> list[Report]:
    """Rows of two runs in the table's order; of a row that is in both, the newer."""
    found = {report.name: report for report in (*former, *now)}
    known = [found.pop(name) for name in order if name in found]
    return [*known, *found.values()]


def write_page(reports: Sequence[Report]) -> None:
    """Replace what stands between the markers."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    seeds = ", ".join(sorted({str(report.seed) for report in reports}))
    commits = ", ".join(sorted({report.commit for report in reports}))
    lines = [
        BEGIN,
        f"{dates(reports)}, seed {seeds}, commit {commits}, {machine()}.",
        f"{summary(reports)}.",
        "",
        f"| {' | '.join(HEAD)} |",
        f"|{'---|' * len(HEAD)}",
        *(f"| {' | '.join(cells(report))} |" for report in reports),
        "",
        *(f"- **{report.name}**: {'. '.join((report.about, *report.figures))}." for report in reports),
        END,
    ]
    PAGE.write_text(before + "\n".join(lines) + after, encoding="utf-8")


def dates(reports: Sequence[Report]) -> str:
    """When the rows were run."""
    days = sorted({report.day for report in reports})
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def commit() -> str:
    """What was run; `-dirty` when files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    done = subprocess.run(command, cwd=PAGE.parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "not noted"


def machine() -> str:
    """What it ran on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{os.cpu_count()} cores, {memory} GiB, {platform.system()} {platform.release()}, Python {platform.python_version()}"
