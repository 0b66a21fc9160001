"""What was fetched of a partition, to be parsed piece by piece.

A span says from which offset to which it reaches, so that a reader can prove it missed nothing: records are skipped
legitimately (transaction markers, compaction), batches never.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from aiokafka.errors import CorruptRecordException

from pipeline.native import Native
from schemas.errors import PoisonRecord
from topology.records.piece import Piece, Records
from topology.records.record_objects import RecordObjects
from topology.records.refused_batches import RefusedBatches
from topology.records.wire_batches import Batch

# A piece ends with the batch, or the part of one, that makes it so large: a batch may hold a thousand times what was fetched.
PIECE_BYTES = 16 << 20
# What one batch of a topic of our own may take: none of ours comes near it.
TRUSTED_BYTES = 256 << 20


class Span:
    """One fetched piece of a partition: offsets [start, end), still in the broker's batches.

    Attributes:
        start: the first offset asked for. end: the next offset to ask for.
    """

    __slots__ = ("_batches", "_check_crcs", "_place", "end", "start")

    def __init__(
        self, start: int, end: int, batches: Iterable[Batch], *, check_crcs: bool = True, place: str = "a batch"
    ) -> None:
        self.start = start
        self.end = end
        self._batches = deque(batches)
        self._check_crcs = check_crcs
        self._place = place

    def pieces(
        self, least_records: int, native: Native | None = None, *, refuse_above: int | None = None
    ) -> Iterator[Piece]:
        """Parse batch by batch, and give out whenever at least so many records, or `PIECE_BYTES`, are there.

        Every offset is in one piece. A batch is let go when it was parsed, so this can be asked for once.

        Args:
            least_records: of every piece but the last, and but those where the kind of batches changes or one is cut. A piece
                has less than three times as many.
            native: the compiled part, to find records by position.
            refuse_above: what one batch may take when parsed, bytes. One that takes more, or is not what its header says, is
                an entry of its own then (`RefusedBatches`). None for topics of our own: such a batch is an error.

        Raises:
            CorruptRecordException: a batch fails its CRC, or cannot be used and is not to be refused.
        """
        begin, end = self.start, self.start
        taken: list[Any] = []
        count = size_bytes = 0
        while self._batches:
            batch = self._batches.popleft()
            for records in self._parts(batch, native, end, 2 * least_records, refuse_above):
                records = records.since(end)
                if taken and (type(records) is not type(taken[0]) or size_bytes + records.nbytes > PIECE_BYTES):
                    yield _piece(begin, end, taken)
                    begin, count, size_bytes = end, 0, 0
                if not len(records):
                    continue
                taken.append(records)
                count += len(records)
                size_bytes += records.nbytes
                end = records.next_offset
                del records  # or it would be held for as long as the piece waits
                if count >= least_records or size_bytes >= PIECE_BYTES:
                    yield _piece(begin, end, taken)
                    begin, count, size_bytes = end, 0, 0
            end = max(end, batch.next_offset)
        if taken or begin < self.end:
            yield _piece(begin, self.end, taken)

    def _parts(
        self, batch: Batch, native: Native | None, begin: int, most_records: int, refuse_above: int | None
    ) -> Iterator[Records]:
        """The records of a batch in parts of bounded size, or the batch itself as one entry."""
        if self._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"{self._place}: CRC mismatch in the batch at offset {batch.base_offset}")
        most_bytes = TRUSTED_BYTES if refuse_above is None else refuse_above
        try:
            return batch.parts(native, most_bytes, most_records, PIECE_BYTES)
        except PoisonRecord as why:
            if refuse_above is None:
                raise CorruptRecordException(f"{self._place}: the batch at offset {batch.base_offset}: {why}") from why
            return iter((RefusedBatches([batch.refused(_explained(why, refuse_above), begin)]),))


class MissingSpan(Span):
    """Stands in line where the log does not hold the offset that was asked for; it has one piece, without a record."""

    __slots__ = ()

    def __init__(self, offset: int) -> None:
        super().__init__(offset, offset, [])

    def pieces(
        self, least_records: int, native: Native | None = None, *, refuse_above: int | None = None
    ) -> Iterator[Piece]:
        """The empty piece that takes its place among those fetched before and after."""
        yield _piece(self.start, self.end, [])


def _explained(why: PoisonRecord, most_bytes: int) -> PoisonRecord:
    if why.reason != "too_large":
        return PoisonRecord(why.reason, f"the whole batch cannot be read: {why.message}")
    remedy = f"send smaller batches, or raise limits.max_batch_bytes = {most_bytes}"
    return PoisonRecord(why.reason, f"the whole batch is too large when decompressed: {why.message}; {remedy}")


def _piece(start: int, end: int, parts: list[Any]) -> Piece:
    """Join the parts to a piece; the list is empty then."""
    records: Records = type(parts[0]).join(parts) if parts else RecordObjects([], 0, 0)
    parts.clear()
    return Piece(start, end, records)
