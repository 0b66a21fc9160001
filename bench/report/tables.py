"""From runs to a table, and from a table into README.md between its markers. No figure is ever written by hand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.report.catalog import MAIN, Program
from bench.rig.measure import Outcome

_LONGEST = 160
README = Path(__file__).parents[1] / "README.md"


@dataclass(slots=True)
class Row:
    """One program and its runs; `problem` says why there are none, or why one is void."""

    program: Program
    outcomes: list[Outcome] = field(default_factory=list)
    problem: str | None = None

    @property
    def rate(self) -> float | None:
        """Median events per second."""
        return median(outcome.rate for outcome in self.outcomes) if self.outcomes else None


def summary(rows: Sequence[Row]) -> list[dict[str, object]]:
    """The rows as plain values."""
    ours = next((row.rate for row in rows if row.program.name == MAIN), None)
    return [
        {
            "program": row.program.name,
            "does": row.program.does,
            "events": row.outcomes[0].processed if row.outcomes else 0,
            "rounds": len(row.outcomes),
            "events_per_second": row.rate,
            "least": min((o.rate for o in row.outcomes), default=None),
            "most": max((o.rate for o in row.outcomes), default=None),
            "second_half": median(o.warm_rate for o in row.outcomes) if row.outcomes else None,
            "ratio_to_modpulse": row.rate / ours if row.rate and ours else None,
            "cpu_seconds_per_million": median(o.cpu_per_million for o in row.outcomes) if row.outcomes else None,
            "peak_mib": max((o.peak_mib for o in row.outcomes), default=None),
            "problem": row.problem,
        }
        for row in rows
    ]


def throughput(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    head = (
        "program",
        "events/s",
        "least .. most",
        "second half",
        "modpulse is",
        "CPU s per million",
        "peak MiB",
        "events",
        "what it does",
    )
    body = []
    for row, values in zip(rows, summary(rows), strict=True):
        program = row.program
        if not row.outcomes:
            body.append(
                (
                    program.name,
                    "-",
                    "-",
                    "-",
                    "-",
                    "-",
                    "-",
                    "-",
                    f"{program.does}. **Not measured:** {row.problem[:_LONGEST] if row.problem else ''}",
                )
            )
            continue
        ratio = values["ratio_to_modpulse"]
        assert row.rate is not None
        body.append(
            (
                program.name,
                f"{row.rate:,.0f}",
                f"{values['least']:,.0f} .. {values['most']:,.0f}",
                f"{values['second_half']:,.0f}",
                f"{1 / ratio:.2f} x" if isinstance(ratio, float) else "-",
                f"{values['cpu_seconds_per_million']:.2f}",
                f"{values['peak_mib']:,.0f}",
                f"{values['events']:,}",
                program.does + (f". **One round is void:** {row.problem[:_LONGEST]}" if row.problem else ""),
            )
        )
    return markdown(head, body)


def markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns; numbers to the right."""
    widths = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]
    right = [i > 0 and all(row[i][:1].isdigit() or row[i] in ("-", "") for row in body) for i in range(len(head))]
    lines = [_line(head, widths, right), "|" + "|".join(_rule(w, r) for w, r in zip(widths, right, strict=True)) + "|"]
    return "\n".join(lines + [_line(row, widths, right) for row in body]) + "\n"


def _rule(width: int, right: bool) -> str:
    return "-" * (width + 1) + (":" if right else "-")


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    texts = [cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(cells, widths, right, strict=True)]
    return "| " + " | ".join(texts) + " |"


def taken(command: str, machine: dict[str, str]) -> str:
    """Where and how figures were taken, as a Markdown list."""
    return "\n".join([f"- command: `{command}`", *(f"- {name}: {text}" for name, text in machine.items())]) + "\n"


def write_section(name: str, text: str, file: Path = README) -> None:
    """Replace what is between the markers of a section.

    Raises:
        ValueError: the file has no such markers.
    """
    begin, end = f"<!-- {name}: written by the benchmark -->", f"<!-- end of {name} -->"
    before, found, rest = file.read_text(encoding="utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f"{file.name} has no section {name!r}")
    file.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")
