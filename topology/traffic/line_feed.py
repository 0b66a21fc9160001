"""Lines from a source that may block, read by a thread so that whoever sends them stays free to send and to be told to stop."""

import asyncio
import threading
from collections.abc import Iterable
from typing import Self

from schemas.errors import ModpulseError

Line = tuple[int, bytes]

# So often is looked for new lines; far below the second within which a line that came is sent.
_LOOK_EVERY_S = 0.05
# Lines that wait to be taken; the thread stops reading above it.
_MOST_WAITING = 20_000
_PIECE = 1_000


class LineFeed:
    """Numbered lines, taken in chunks: at once where many wait, soon where few come."""

    def __init__(self, lines: Iterable[Line], chunk: int, *, live: bool) -> None:
        """Nothing is read before the block is entered.

        Args:
            lines: numbered; reading them may block.
            chunk: how many are taken at once at most.
            live: each line is handed over when it has come; else many together, which costs less.
        """
        self._lines = iter(lines)
        self._chunk = chunk
        self._piece = 1 if live else _PIECE
        self._waiting: list[Line] = []
        self._ended = self._closed = False
        self._error: ModpulseError | None = None
        self._room = threading.Condition()
        # A thread that waits for a line that never comes must not keep the process.
        self._thread = threading.Thread(target=self._read, name="lines", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._room:
            self._closed = True
            self._room.notify_all()

    async def take(self, stop: asyncio.Event) -> list[Line]:
        """The next lines, at most a chunk; none when the source has ended or `stop` is set.

        Raises:
            ModpulseError: the source cannot be read further; what was read before is taken first.
        """
        while not stop.is_set():
            with self._room:
                taken, self._waiting = self._waiting[: self._chunk], self._waiting[self._chunk :]
                self._room.notify_all()
                if taken:
                    return taken
                if self._error is not None:
                    raise self._error
                if self._ended:
                    return []
            await asyncio.sleep(_LOOK_EVERY_S)
        return []

    def _read(self) -> None:
        piece: list[Line] = []
        try:
            for line in self._lines:
                piece.append(line)
                if len(piece) >= self._piece:
                    if not self._hand_over(piece):
                        return
                    piece = []
        except ModpulseError as error:
            self._hand_over(piece)
            piece = []
            with self._room:
                self._error = error
        finally:
            self._hand_over(piece)
            with self._room:
                self._ended = True

    def _hand_over(self, piece: list[Line]) -> bool:
        """Let them be taken; answers whether more are wanted."""
        with self._room:
            self._waiting += piece
            self._room.wait_for(lambda: self._closed or len(self._waiting) < _MOST_WAITING)
            return not self._closed
