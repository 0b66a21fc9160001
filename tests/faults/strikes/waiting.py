"""Waiting for something to become true, never for a time."""

import time
from collections.abc import Callable

DEADLINE_S = 300.0
POLL_S = 0.05


def until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait for it.

    Raises:
        TimeoutError: it did not come.
    """
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {deadline_s:g} s: {what}")
        time.sleep(POLL_S)
