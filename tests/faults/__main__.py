"""`python -m tests.faults`: break workers and broker under load, and count what is lost, doubled or wrong.

Exit code 0 when every row of the product is clean and every mutant is caught, else 1.
"""

import argparse
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from confluent_kafka import KafkaException

from tests.faults import report as table
from tests.faults.broker import Brokers, own_broker
from tests.faults.outcome import Report
from tests.faults.rows import all_rows, short_rows
from tests.faults.run import Run

SEED = 20_261
MUTANT_LINES = 3
_print = threading.Lock()


def say(text: str) -> None:
    with _print:
        print(text, flush=True)


def tell(report: Report) -> None:
    """A row's verdict and what the table has no column for; of what a mutant did, a little."""
    say(f"    {report.name}: {report.verdict} after {report.seconds:.0f} s")
    for text in table.words(report)[: None if report.must_be_clean else MUTANT_LINES]:
        say(f"      {text}")


def run_short(brokers: Brokers, seed: int, directory: Path) -> list[Report]:
    """The short form: its rows run at the same time, each with topics and workers of its own."""
    rows = short_rows(seed)
    with ThreadPoolExecutor(len(rows)) as pool:
        found = list(pool.map(lambda row: Run(row, brokers, seed, directory)(), rows))
    for report in found:
        report.seed, report.commit = seed, table.commit()
        tell(report)
    return found


def run_rows(brokers: Brokers, seed: int, directory: Path, only: Sequence[str] = (), again: int = 1) -> list[Report]:
    """The rows one after the other; with `only`, those whose name holds one of the texts."""
    found: list[Report] = []
    # A plan belongs to its seed: the same number alone must repeat it.
    for rows in zip(*(all_rows(seed + number) for number in range(again)), strict=True):
        for number, (name, make) in enumerate(rows, seed):
            if only and not any(text.lower() in name.lower() for text in only):
                continue
            say(f"... {name}, seed {number}")
            try:
                report = make(brokers, number, directory)
            except (AssertionError, TimeoutError, RuntimeError, KafkaException) as error:
                report = Report(name, "", failure=f"{type(error).__name__}: {error}")
            report.seed, report.commit = number, table.commit()
            found.append(report)
            tell(report)
            process = brokers.process
            if process is not None and not process.alive:
                process.start()
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for, print the table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--short", action="store_true", help="30 s of load, 5 kills, some mutants, all at once")
    parser.add_argument("--seed", type=int, default=SEED, help="default: %(default)s")
    parser.add_argument("--only", nargs="+", default=(), metavar="ROW", help="rows whose name holds one of these texts")
    parser.add_argument("--again", type=int, default=1, help="run each row so many times, with the next seeds")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write all figures, beside the rows it has",
    )
    parser.add_argument("--page", action="store_true", help="write the table into docs/reliability.md")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs there")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="modpulse-faults-") as made:
        directory = options.keep or Path(made)
        with own_broker(directory / "kafka") as brokers:
            reports = (
                run_short(brokers, options.seed, directory)
                if options.short
                else run_rows(brokers, options.seed, directory, options.only, options.again)
            )
    print(table.plain(reports))
    print(table.summary(reports))
    known = reports
    if options.json is not None:
        former = table.from_json(options.json) if options.json.exists() else []
        known = table.merged(former, reports, [name for name, _ in all_rows(options.seed)])
        options.json.write_bytes(table.as_json(known))
    if options.page:
        table.write_page(known)
    return 0 if reports and all(report.as_wanted for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
