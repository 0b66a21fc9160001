"""Files that a command writes: what was there before stays until the new one is whole."""

import contextlib
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Protocol

from schemas.errors import ConfigError, OutputFailed
from topology.traffic.json_lines import STANDARD

_BUFFER_BYTES = 1 << 20


class Sink(Protocol):
    """Takes bytes."""

    def write(self, data: bytes, /) -> int:
        """Write all of them."""


def refuse_same_file(inputs: Sequence[Path], outputs: dict[str, Path | None]) -> None:
    """Refuse to write over an input, or two outputs to one file.

    Args:
        inputs: files that are read.
        outputs: by option, files that are written; None where the option was not given.

    Raises:
        ConfigError: two of them are the same file, by whatever name.
    """
    named = [(option, file) for option, file in outputs.items() if file is not None and file != STANDARD]
    for number, (option, file) in enumerate(named):
        for source in inputs:
            if source != STANDARD and _same(source, file):
                raise ConfigError(f"{option} {file} is the input {source}; name another file")
        for other, second in named[:number]:
            if _same(second, file):
                raise ConfigError(f"{option} {file} is what {other} writes too; name another file")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return one.resolve() == other.resolve()


@contextlib.contextmanager
def open_output(file: Path | None) -> Iterator[Sink]:
    """A file to write lines to; standard output where none is named.

    A file is written beside its place and renamed when the block is left without an error, so that a run that fails or is
    interrupted leaves what was there. What is no regular file (a pipe, a device) is written as it comes.

    Raises:
        ConfigError: the file cannot be made.
        OutputFailed: writing failed.
    """
    if file is None or file == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    # A link stays a link; what it points to is replaced.
    place = file.resolve()
    try:
        mode = place.stat().st_mode if place.exists() else None
        beside = mode is None or stat.S_ISREG(mode)
        written = place.with_name(f".{place.name}.{os.getpid()}.partial") if beside else place
        stream = written.open("wb", buffering=_BUFFER_BYTES)
    except OSError as error:
        raise ConfigError(f"cannot write {file} ({error.strerror}); name a writable file") from error
    try:
        with _told(file, beside), stream:
            if beside and mode is not None:
                written.chmod(stat.S_IMODE(mode))
            yield _Checked(stream, file, beside)
        if beside:
            with _told(file, beside):
                written.replace(place)
    finally:
        if beside:
            written.unlink(missing_ok=True)


class _Checked:
    """Writes, and says which file it was where that fails."""

    def __init__(self, stream: IO[bytes], file: Path, beside: bool) -> None:
        self._stream = stream
        self._file = file
        self._beside = beside

    def write(self, data: bytes, /) -> int:
        with _told(self._file, self._beside):
            return self._stream.write(data)


@contextlib.contextmanager
def _told(file: Path, beside: bool) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        left = "; it holds what it held before" if beside else ""
        raise OutputFailed(
            f"cannot write {file} ({error.strerror}){left}; free some space, or name another file"
        ) from error
