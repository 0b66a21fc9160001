"""What is said of one row."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from tests.faults.judge.verdict import Findings


@dataclass(slots=True)
class Report:
    """A line of the table.

    Attributes:
        mutant: the bug that was planted, if any. harmless: it is none: the row must be clean all the same.
        figures: what the table has no column for and the page shows. remarks: what only the terminal shows.
    """

    name: str
    about: str
    mutant: str | None = None
    harmless: bool = False
    seed: int = 0
    day: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d}")
    commit: str = "not noted"
    events: int = 0
    duplicates: int = 0
    late: int = 0
    faults: int = 0
    kills: int = 0
    phases: dict[str, int] = field(default_factory=dict)
    own_ends: int = 0
    begun_again: int = 0
    unexpected_ends: int = 0
    recovery_s: float | None = None
    typical_recovery_s: float | None = None
    worst_lag: int = 0
    seconds: float = 0.0
    findings: Findings = field(default_factory=Findings)
    void: str | None = None
    failure: str | None = None
    figures: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether everything came out right."""
        return self.findings.clean and self.void is None and self.failure is None and not self.unexpected_ends

    @property
    def as_wanted(self) -> bool:
        """Clean for the product; for a mutant, wrong in what came out.

        A run of a mutant that only failed proves nothing: a worker that cannot start fails too.
        """
        return self.clean if self.must_be_clean else self.void is None and not self.findings.clean

    @property
    def must_be_clean(self) -> bool:
        """Whether nothing wrong may come out of it."""
        return self.mutant is None or self.harmless

    @property
    def verdict(self) -> str:
        if self.void is not None:
            return "void"
        if not self.must_be_clean:
            return "caught" if self.as_wanted else "NOT CAUGHT"
        return "clean" if self.clean else "RED"

    def as_json(self) -> dict[str, Any]:
        said: dict[str, Any] = orjson.loads(orjson.dumps(self))
        return {"verdict": self.verdict, "clean": self.clean, "as_wanted": self.as_wanted} | said
