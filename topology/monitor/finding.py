"""The answer to one question of `modpulse doctor`."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question.

    Attributes:
        check: what was asked.
        status: `ok`, `warn` (works, but look at it) or `fail` (the worker will not work).
        text: what was found.
        remedy: what to do about it; empty when ok.
    """

    check: str
    status: Status
    text: str
    remedy: str = ""
