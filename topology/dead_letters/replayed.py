"""Which letters were replayed: one mark per letter, at the letter's own place, in chunks that fit a compacted topic.

A filter makes replayed letters a scattered set, so no offset can stand for it; a record per letter would make the topic as large
as the one it speaks of. Here a chunk of 4,096 offsets is one record of at most 16 KiB, and all chunks together take four bytes
a letter in memory. A mark is not a bit but a checksum of where the letter's record came from: if the topic of the letters is
deleted and made anew, new letters at old offsets are not taken for replayed ones.

Values go in and out; reading and writing the topic is `topology.dead_letters.replay`'s business.
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.errors import StateIncompatible
from topology.dead_letters.record import Letter

CHUNK_OFFSETS = 4_096
_VERSION = 1
_LITTLE = np.dtype("<u4")

Marks = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Chunk:
    """The place of 4,096 offsets of one partition."""

    topic: str
    partition: int
    number: int

    @property
    def key(self) -> bytes:
        """The record key on the topic of marks."""
        return f"{self.topic}|{self.partition}|{self.number}".encode()

    @classmethod
    def of(cls, letter: Letter) -> "Chunk":
        """The chunk a letter is in."""
        return cls(letter.topic, letter.partition, letter.offset // CHUNK_OFFSETS)

    @classmethod
    def parse(cls, key: bytes) -> "Chunk":
        """The chunk of a record key."""
        topic, partition, number = key.decode().split("|")
        return cls(topic, int(partition), int(number))


def mark_of(letter: Letter) -> int:
    """What is remembered of a letter; never 0, which means not replayed."""
    origin = letter.origin
    if origin is None:
        return zlib.crc32(letter.value or b"", zlib.crc32(letter.key or b"")) or 1
    text = f"{origin.topic}|{origin.partition}|{origin.offset}|{origin.timestamp_ms}"
    return zlib.crc32(text.encode()) or 1


class ReplayedLetters:
    """The marks of an application. Changes are made as values first and adopted when they are committed."""

    def __init__(self, state: Mapping[bytes, bytes] | None = None) -> None:
        """The marks of a compacted topic's newest records.

        Raises:
            StateIncompatible: a newer build wrote one.
        """
        self._chunks: dict[Chunk, Marks] = {}
        for key, value in (state or {}).items():
            if value[:1] != bytes([_VERSION]):
                raise StateIncompatible(
                    f"the marks of replayed letters at {key!r} are of version {value[:1].hex()}, this build knows {_VERSION}:"
                    " replay with the newer build"
                )
            self._chunks[Chunk.parse(key)] = _padded(np.frombuffer(value[1:], _LITTLE))

    def __contains__(self, letter: Letter) -> bool:
        marks = self._chunks.get(Chunk.of(letter))
        return marks is not None and int(marks[letter.offset % CHUNK_OFFSETS]) == mark_of(letter)

    def marked(self, letters: Iterable[Letter]) -> dict[Chunk, Marks]:
        """The chunks as they are with these letters marked too; nothing is remembered yet."""
        changed: dict[Chunk, Marks] = {}
        for letter in letters:
            chunk = Chunk.of(letter)
            if chunk not in changed:
                before = self._chunks.get(chunk)
                changed[chunk] = np.zeros(CHUNK_OFFSETS, np.uint32) if before is None else before.copy()
            changed[chunk][letter.offset % CHUNK_OFFSETS] = mark_of(letter)
        return changed

    def adopt(self, changed: Mapping[Chunk, Marks]) -> None:
        """The changes were committed."""
        self._chunks.update(changed)

    def outlived(self, topic: str, begins: Mapping[int, int]) -> list[Chunk]:
        """Chunks of a topic of which every letter was deleted by retention."""
        return [
            chunk
            for chunk in self._chunks
            if chunk.topic == topic and (chunk.number + 1) * CHUNK_OFFSETS <= begins.get(chunk.partition, 0)
        ]

    def forget(self, chunks: Iterable[Chunk]) -> None:
        """The deletion of these chunks was committed."""
        for chunk in chunks:
            del self._chunks[chunk]


def packed(marks: Marks) -> bytes:
    """The record value of a chunk: a version byte, then the marks, little endian, less the zeros at the end."""
    last = int(np.flatnonzero(marks)[-1]) + 1 if marks.any() else 0
    return bytes([_VERSION]) + marks[:last].astype(_LITTLE).tobytes()


def _padded(marks: Marks) -> Marks:
    whole = np.zeros(CHUNK_OFFSETS, np.uint32)
    whole[: len(marks)] = marks
    return whole
