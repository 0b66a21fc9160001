"""Standard output and standard error of a command, so that trouble with them is told as what it is.

A full disk or a closed pipe behind standard output becomes `OutputFailed` where it happens; else an error of writing would pass
for one of the network, which raises the same kind. A character that the terminal cannot show is escaped instead of ending the
command. What standard error does not take is lost: there is no other place to tell it.
"""

import contextlib
import errno
import io
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from schemas.errors import OutputFailed


class _Output(io.RawIOBase):
    """Bytes to a file descriptor; an error of writing is `OutputFailed`, once, and nothing is written after it."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._raw = io.FileIO(stream.fileno(), "wb", closefd=False)
        self._failed = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def isatty(self) -> bool:
        return self._raw.isatty()

    def write(self, data: Any, /) -> int:
        if self._failed:
            return len(data)
        try:
            return self._raw.write(data)
        except OSError as error:
            self._failed = True
            return self._fail(error, len(data))

    def _fail(self, error: OSError, size: int) -> int:
        gone = error.errno == errno.EPIPE
        why = "its reader is gone" if gone else f"{error.strerror}; free some space, or send it elsewhere"
        raise OutputFailed(f"cannot write standard output: {why}", reader_gone=gone) from error


class _Errors(_Output):
    def _fail(self, error: OSError, size: int) -> int:
        return size


def _checked(former: TextIO, kind: type[_Output]) -> TextIO:
    """The same stream, checked; a stream that is no file stays as it is."""
    try:
        raw = kind(former)
    except (OSError, ValueError):
        return former
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=former.encoding,
        errors="backslashreplace",
        line_buffering=raw.isatty() or isinstance(raw, _Errors),
    )


@contextlib.contextmanager
def checked_streams() -> Iterator[None]:
    """Within the block standard output and standard error are such streams.

    Raises:
        OutputFailed: what was still buffered at the end cannot be written.
    """
    former = sys.stdout, sys.stderr
    # A stream whose descriptor was closed before the start is none at all.
    sys.stdout, sys.stderr = former[0] or io.StringIO(), former[1] or io.StringIO()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = _checked(sys.stdout, _Output), _checked(sys.stderr, _Errors)
        yield
        sys.stdout.flush()
    except SystemExit:  # the ordinary end of a command
        sys.stdout.flush()
        raise
    finally:
        for stream, before in zip((sys.stdout, sys.stderr), former, strict=True):
            if stream is not before:
                # What could not be written is told already; closing writes the rest of it, if it can.
                with contextlib.suppress(OutputFailed):
                    stream.close()
        sys.stdout, sys.stderr = former
