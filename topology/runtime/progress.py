"""How far a long command is, on standard error: one line rewritten on a terminal, plain lines elsewhere."""

import sys
import time
from typing import TextIO

_TERMINAL_EVERY_S = 0.2
_PLAIN_EVERY_S = 5.0


class Progress:
    """Counts records and tells about it now and then.

    Args:
        verb: what is being done, e.g. `published`.
        stream: where to tell it.
    """

    def __init__(self, verb: str, stream: TextIO | None = None) -> None:
        stream = sys.stderr if stream is None else stream
        self._verb = verb
        self._stream = stream
        self._terminal = stream.isatty()
        self._every_s = _TERMINAL_EVERY_S if self._terminal else _PLAIN_EVERY_S
        self._began = self._told = time.monotonic()
        self._shown = False

    @property
    def seconds(self) -> float:
        """Since it was made; never 0."""
        return max(time.monotonic() - self._began, 1e-9)

    def reached(self, records: int) -> None:
        """Tell how many records are done, if it is time to."""
        now = time.monotonic()
        if now - self._told >= self._every_s:
            self._told = now
            self._shown = True
            text = f"{self._verb} {records:,} records, {records / self.seconds:,.0f}/s"
            self._stream.write(f"\r\x1b[2K{text}" if self._terminal else text + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Leave the terminal's line clean for what comes next."""
        if self._terminal and self._shown:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
