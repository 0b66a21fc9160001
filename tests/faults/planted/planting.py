"""How a bug is planted into the running program from outside, and said so: a bug that nobody planted proves nothing."""

import json
import sys
from collections.abc import Callable
from typing import Any

# The event by which a worker's log says that its program has the bug.
PLANTED = "planted"


class RottenMutantError(Exception):
    """What a bug was made for is not there any more; the bug must be made anew."""


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put what `make` makes of a class's or module's attribute in its place.

    Raises:
        RottenMutantError: there is no such attribute.
    """
    if not hasattr(owner, name):
        raise RottenMutantError(f"{getattr(owner, '__name__', owner)} has no {name} any more")
    setattr(owner, name, make(getattr(owner, name)))


def say_planted(mutant: str) -> None:
    """Tell the harness, on the worker's log."""
    print(json.dumps({"event": PLANTED, "mutant": mutant}, separators=(",", ":")), file=sys.stderr, flush=True)
