"""JSON Lines in and out: plain or .gz files, standard input and standard output. Lines are bytes, untouched."""

import contextlib
import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

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
            stdin = file == STANDARD
            source = cast("io.BufferedReader", sys.stdin.buffer) if stdin else stack.enter_context(file.open("rb"))
            packed = source.peek(2)[:2] == _GZIP_MAGIC
            for line in stack.enter_context(gzip.GzipFile(fileobj=source)) if packed else source:
                stripped = line.rstrip(b"\r\n")
                if stripped and not stripped.isspace():
                    yield stripped
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"cannot read {file} ({error}); name a readable JSON Lines file, plain or .gz") from error


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
