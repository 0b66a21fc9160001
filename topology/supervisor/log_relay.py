"""Passes a worker's standard error on, line by line, each with the worker's number.

A line that is a JSON object gets the field `worker`; any other (a traceback, a terminal's columns) gets `worker=N` in front.
Lines are written whole, so those of two workers never mix.
"""

import os
import threading
from typing import BinaryIO

_READ_BYTES = 1 << 16
# A longer line goes out in parts: what a worker says without an end must not fill this process.
_MOST_BYTES = 1 << 20


def labelled(line: bytes, worker: int) -> bytes:
    """One line, without its end, with the worker's number."""
    if line.startswith(b'{"') and line.endswith(b"}"):
        return b'{"worker":%d,%b' % (worker, line[1:])
    return b"worker=%d %b" % (worker, line)


class LogRelay:
    """A thread that reads one worker's pipe to its end; the event loop does not wait for it."""

    def __init__(self, worker: int, out: BinaryIO) -> None:
        self._worker = worker
        self._out = out
        self._read_end, self.write_end = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"log-of-worker-{worker}", daemon=True)

    def started(self) -> None:
        """The worker has its end of the pipe; ours is closed, so that the pipe ends with the worker."""
        os.close(self.write_end)
        self._thread.start()

    def ended(self, timeout_s: float) -> None:
        """Wait until the last line is out, but not for ever."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        held = b""
        while piece := os.read(self._read_end, _READ_BYTES):
            *lines, held = (held + piece).split(b"\n")
            if len(held) > _MOST_BYTES:
                lines, held = [*lines, held], b""
            self._write(lines)
        os.close(self._read_end)
        if held:
            self._write([held])

    def _write(self, lines: list[bytes]) -> None:
        text = b"".join(labelled(line, self._worker) + b"\n" for line in lines)
        try:
            self._out.write(text)
            self._out.flush()
        except (OSError, ValueError):  # nobody reads it any more; the worker must not stand still for that
            return
