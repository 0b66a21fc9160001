"""What the demo saw, and whether it is what it must be: every published record accounted for, alerts that came and went."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from schemas.alerts import Alert
from schemas.state import Ledger
from topology.monitor.feed import OutputRecord


@dataclass(slots=True)
class Tally:
    """Counts what was published: window records by status, and every alert's life."""

    windows: Counter[str] = field(default_factory=Counter)
    fired: set[str] = field(default_factory=set)
    resolved: set[str] = field(default_factory=set)
    rules: Counter[str] = field(default_factory=Counter)
    _active: set[str] = field(default_factory=set)

    def take(self, record: OutputRecord) -> None:
        """Count one record."""
        if not isinstance(record, Alert):
            self.windows[record.status] += 1
            return
        one = record.fingerprint
        if record.status == "firing":
            self.fired.add(one)
            self.rules[record.alertname] += 1
        if record.status == "resolved":
            self._active.discard(one)
            if one in self.fired:
                self.resolved.add(one)
        else:
            self._active.add(one)

    @property
    def active(self) -> int:
        """How many alerts are pending or firing."""
        return len(self._active)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished demo.

    Attributes:
        published: what the generator says it sent (its `--json` summary).
        ledger: what the worker says became of it, by its committed positions.
        ledgers_balanced: each partition's ledger balances for itself.
        tally: what came out.
        interrupted: ended before the incidents were over; alerts are not required then.
    """

    published: dict[str, Any]
    ledger: Ledger
    ledgers_balanced: bool
    tally: Tally
    interrupted: bool

    def findings(self) -> list[str]:
        """Everything that is not as it must be, in words; empty when all is well."""
        ledger, published = self.ledger, self.published
        expected = {
            "consumed": (ledger.consumed, published["records"]),
            "applied": (ledger.applied, published["events"]),
            "duplicate": (ledger.duplicate, published["duplicates"]),
            "invalid and future": (ledger.invalid + ledger.future, published["bad"]),
            "late and forwarded": (ledger.late + ledger.forwarded, 0),
        }
        found = [f"{name}: {have}, not {want}" for name, (have, want) in expected.items() if have != want]
        if not self.ledgers_balanced:
            found.append("a partition's ledger does not balance")
        if not self.interrupted:
            if not self.tally.fired:
                found.append("no alert fired")
            if self.tally.active:
                found.append(f"{self.tally.active} alerts did not resolve")
        return found

    def rows(self) -> list[tuple[str, str]]:
        """The summary for people."""
        published, ledger, tally = self.published, self.ledger, self.tally
        rate = published["records"] / max(published["seconds"], 1e-9)
        kinds = f"{published['events']:,} events, {published['duplicates']:,} duplicates, {published['bad']:,} bad"
        names = ", ".join(f"{name} {count}" for name, count in sorted(tally.rules.items()))
        columns = ", ".join(f"{name} {getattr(ledger, name):,}" for name in Ledger.__struct_fields__)
        findings = self.findings()
        return [
            ("published", f"{published['records']:,} records ({kinds}) in {published['seconds']:.1f} s, {rate:,.0f}/s"),
            ("ledger", columns),
            ("windows", ", ".join(f"{count:,} {status}" for status, count in sorted(tally.windows.items()))),
            ("alerts", f"{len(tally.fired)} fired, {len(tally.resolved)} of them resolved ({names or 'none'})"),
            *(("fail", finding) for finding in findings),
            *(() if findings else (("ok", "the ledger balances to the event"),)),
        ]

    def summary(self) -> dict[str, Any]:
        """The summary for machines."""
        ledger = {name: getattr(self.ledger, name) for name in Ledger.__struct_fields__}
        alerts = {"fired": len(self.tally.fired), "resolved": len(self.tally.resolved), "rules": dict(self.tally.rules)}
        return {
            "published": self.published,
            "ledger": ledger,
            "windows": dict(self.tally.windows),
            "alerts": alerts,
            "findings": self.findings(),
        }
