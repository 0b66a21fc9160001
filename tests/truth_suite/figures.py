"""What the suite compared, for the summary: a comparison that says how much it saw cannot be empty unseen."""

from dataclasses import dataclass, field

import pytest


@dataclass(slots=True)
class Figures:
    """One line for each thing compared, in the order of the labels: tests run in any order."""

    lines: dict[str, str] = field(default_factory=dict)

    def say(self, label: str, text: str) -> None:
        """Say it once the comparison is done."""
        self.lines[label] = text

    def __str__(self) -> str:
        width = max(map(len, self.lines), default=0)
        return "\n".join(f"{label:<{width}}  {text}" for label, text in sorted(self.lines.items()))


FIGURES = pytest.StashKey[Figures]()
