"""JSON Lines in: plain or .gz files and standard input. Lines are bytes, untouched but for what marks a file's encoding."""

import codecs
import contextlib
import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from schemas.errors import ConfigError

STANDARD = Path("-")
_GZIP_MAGIC = b"\x1f\x8b"
# What a file of another encoding begins with, longest first; UTF-8 has a mark too, which is left out.
_OTHER_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def require_readable(file: Path) -> None:
    """Refuse a file that cannot be opened, before anything else is done.

    Raises:
        ConfigError: it is not there, or may not be read.
    """
    if file == STANDARD:
        return
    try:
        if file.is_dir():
            raise ConfigError(f"cannot read {file} (it is a directory); name a JSON Lines file, plain or .gz")
        # A pipe is opened once only: whoever writes to it would see its reader go.
        if not file.is_fifo():
            file.open("rb").close()
    except OSError as error:
        raise _unreadable(file, error) from error


def is_live(file: Path) -> bool:
    """Whether lines may come one by one, with time between them."""
    return file == STANDARD or file.is_fifo()


def read_lines(file: Path) -> Iterator[bytes]:
    """Every line that is not blank, without its line end, in the order of the file. See `numbered_lines`."""
    for _, line in numbered_lines(file):
        yield line


def numbered_lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """Every line that is not blank with its number from 1, as an editor counts; without its line end (LF or CRLF).

    Args:
        file: plain or gzip, told apart by the first two bytes; `-` is standard input. A byte order mark of UTF-8 is left out.

    Raises:
        ConfigError: the file cannot be read to its end, or is in another encoding; the message says after which line.
    """
    number = 0
    try:
        with contextlib.ExitStack() as stack:
            source = _standard_input() if file == STANDARD else stack.enter_context(file.open("rb"))
            packed = source.peek(2)[:2] == _GZIP_MAGIC
            for line in stack.enter_context(gzip.GzipFile(fileobj=source)) if packed else source:
                number += 1
                if number == 1:
                    line = _without_mark(file, line)
                stripped = line.rstrip(b"\r\n")
                if stripped and not stripped.isspace():
                    yield number, stripped
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(file, error, number) from error


def _standard_input() -> io.BufferedReader:
    """A reader of its own: a thread that waits in `sys.stdin` when the process ends would make the interpreter abort."""
    try:
        return io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False))
    except OSError:  # no file stands behind it
        return cast("io.BufferedReader", sys.stdin.buffer)


def _without_mark(file: Path, first: bytes) -> bytes:
    for mark, name in _OTHER_ENCODINGS.items():
        if first.startswith(mark):
            raise ConfigError(
                f"{file} is {name}, and JSON Lines are UTF-8; convert it, as in `iconv -f {name} -t UTF-8`"
            )
    return first.removeprefix(codecs.BOM_UTF8)


def _unreadable(file: Path, error: Exception, lines: int = 0) -> ConfigError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    after = f" after line {lines:,}" if lines else ""
    return ConfigError(f"cannot read {file}{after} ({why}); name a readable JSON Lines file, plain or .gz")
