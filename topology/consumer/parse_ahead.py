"""Parsing a few pieces ahead of their processing, in a thread of its own and in order.

The main loop computes in bursts, and now and then it flushes; with pieces in hand it never waits for the parser, nor the parser
for it. What is parsed may be a thousand times the size of what was fetched, so it is bounded by bytes too.
"""

import asyncio
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from faust.types import TP

from topology.records.piece import Piece
from topology.records.span import Span

# Parsed and not processed, the one that is being processed among them; each is two or three MiB as a rule.
PIECES_AHEAD = 5
# With so much in hand nothing more is parsed. A piece may exceed it alone, or none could be larger.
BYTES_AHEAD = 32 << 20


@dataclass(frozen=True, slots=True)
class Parsed:
    """A piece, where it belongs, and the span it is from.

    Attributes:
        size_bytes: memory of its records.
    """

    partition: TP
    span: Span
    piece: Piece
    size_bytes: int


class ParseAhead:
    """A bounded line of pieces: a reader has spans parsed into it, whoever processes them takes them out in the same order."""

    def __init__(self, pieces: int = PIECES_AHEAD, most_bytes: int = BYTES_AHEAD) -> None:
        self._line: asyncio.Queue[Parsed] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="parse")
        self._most_pieces, self._most_bytes = pieces, most_bytes
        self._room = threading.Condition()
        self._held_pieces = self._held_bytes = 0
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._room:
            self._closed = True
            self._room.notify_all()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def parse(self, spans: Iterable[tuple[TP, Span, Iterator[Piece]]]) -> asyncio.Future[None]:
        """Put the pieces of spans in line as they come, behind all that was asked for before.

        Returns:
            Done when the last piece is in line; raises CorruptRecordException where a batch could not be parsed.
        """
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._thread, self._parse, loop, spans)

    async def next(self, reader: asyncio.Task[None]) -> Parsed | None:
        """The next piece, or None when the reader has ended and the line is empty. Whoever took it says when it is `done`.

        Raises:
            Exception: what the reader raised.
        """
        if not self._line.empty():
            return self._line.get_nowait()
        waiting = asyncio.ensure_future(self._line.get())
        try:
            await asyncio.wait((waiting, reader), return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
        finally:
            waiting.cancel()
        reader.result()
        return None

    def done(self, parsed: Parsed) -> None:
        """It was processed: there is room for as much."""
        with self._room:
            self._held_pieces -= 1
            self._held_bytes -= parsed.size_bytes
            self._room.notify_all()

    def _parse(self, loop: asyncio.AbstractEventLoop, spans: Iterable[tuple[TP, Span, Iterator[Piece]]]) -> None:
        for partition, span, pieces in spans:
            for piece in pieces:
                size_bytes = piece.nbytes
                with self._room:
                    if self._closed:
                        return
                    self._held_pieces += 1
                    self._held_bytes += size_bytes
                    loop.call_soon_threadsafe(self._line.put_nowait, Parsed(partition, span, piece, size_bytes))
                    del piece  # or it would be held until the next one is there
                    # All that is held stands in line before the next piece, so it is processed whatever this one waits for.
                    self._room.wait_for(self._has_room)

    def _has_room(self) -> bool:
        return self._closed or (self._held_pieces < self._most_pieces and self._held_bytes < self._most_bytes)
