"""JSON Lines in and out: plain or .gz files, standard input and standard output. Lines are bytes, untouched."""

import contextlib
import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from schemas.errors import ConfigError

STANDARD = Path("-")
_GZIP_MAGIC = b"\x1f\x8b"
_BUFFER_BYTES = 1 << 20


def read_lines(file: Path) -> Iterator[bytes]:
    """Every line that is not blank, without its line end, in the order of the file.

    Args:
        file: plain or gzip, told apart by the first two bytes; `-` is standard input.

    Raises:
        ConfigError: the file cannot be read to its end.
    """
    try:
        with contextlib.ExitStack() as stack:
            raw: IO[bytes] = sys.stdin.buffer if file == STANDARD else stack.enter_context(file.open("rb"))
            source = io.BufferedReader(_Unclosed(raw), _BUFFER_BYTES)
            if source.peek(2)[:2] == _GZIP_MAGIC:
                source = io.BufferedReader(stack.enter_context(gzip.GzipFile(fileobj=source)), _BUFFER_BYTES)
            for line in source:
                stripped = line.rstrip(b"\r\n")
                if stripped and not stripped.isspace():
                    yield stripped
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"cannot read {file} ({error}); name a readable JSON Lines file, plain or .gz") from error


class _Unclosed(io.RawIOBase):
    """A reader over a stream that stays open: standard input is not ours to close."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object, /) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        data = self._stream.read(len(view))
        view[: len(data)] = data
        return len(data)


@contextlib.contextmanager
def open_output(file: Path | None) -> Iterator[IO[bytes]]:
    """A file to write lines to; standard output where none is named. A reader that went away ends it quietly.

    Raises:
        ConfigError: the file cannot be written.
    """
    if file is not None and file != STANDARD:
        try:
            stream = file.open("wb", buffering=_BUFFER_BYTES)
        except OSError as error:
            raise ConfigError(f"cannot write {file} ({error}); name a writable file") from error
        with stream:
            yield stream
        return
    output = sys.stdout.buffer
    try:
        yield output
        output.flush()
    except BrokenPipeError:
        # `modpulse replay ... | head`: nobody wants the rest, nor a second error when the interpreter flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
