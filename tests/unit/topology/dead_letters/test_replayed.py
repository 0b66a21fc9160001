"""Marks of replayed letters, without a broker."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import StateIncompatible
from tests.support.records.letters import letter
from topology.dead_letters.replayed import CHUNK_OFFSETS, Chunk, ReplayedLetters, mark_of, packed


def test_marks_count_only_when_they_are_adopted() -> None:
    marks = ReplayedLetters()
    one, other = letter(7), letter(8)
    changed = marks.marked([one])
    assert one not in marks
    marks.adopt(changed)
    assert one in marks
    assert other not in marks
    marks.marked([other])
    assert other not in marks, "a transaction that failed leaves no mark"


@given(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3 * CHUNK_OFFSETS)), max_size=60), st.randoms())
def test_marks_survive_the_topic_in_whatever_transactions_they_were_written(
    places: set[tuple[int, int]], random: object
) -> None:
    letters = [letter(offset, partition) for partition, offset in sorted(places)]
    replayed, left = letters[::2], letters[1::2]
    random.shuffle(replayed)  # type: ignore[attr-defined]
    topic: dict[bytes, bytes] = {}
    marks = ReplayedLetters()
    for at in range(0, len(replayed), 7):
        changed = marks.marked(replayed[at : at + 7])
        topic |= {chunk.key: packed(values) for chunk, values in changed.items()}
        marks.adopt(changed)
    again = ReplayedLetters(topic)
    assert all(one in again and one in marks for one in replayed)
    assert not any(one in again for one in left)
    assert all(len(value) <= 1 + 4 * CHUNK_OFFSETS for value in topic.values())


def test_letters_of_a_topic_made_anew_are_not_taken_for_replayed_ones() -> None:
    marks = ReplayedLetters()
    old = letter(7)
    marks.adopt(marks.marked([old]))
    assert old.origin is not None
    assert replace(old, origin=replace(old.origin, offset=22)) not in marks
    assert replace(old, origin=replace(old.origin, timestamp_ms=901)) not in marks


def test_a_mark_is_never_nothing() -> None:
    # CRC-32 of these four bytes is 0.
    nothing = replace(letter(), origin=None, key=None, value=b"\x9d\x0a\xd9\x6d")
    marks = ReplayedLetters()
    assert nothing not in marks
    assert mark_of(nothing) == 1


def test_chunks_that_retention_outlived_are_found() -> None:
    marks = ReplayedLetters()
    marks.adopt(marks.marked([letter(5), letter(CHUNK_OFFSETS + 5), letter(5, partition=1)]))
    assert marks.outlived("dlq", {0: CHUNK_OFFSETS - 1}) == []
    gone = marks.outlived("dlq", {0: CHUNK_OFFSETS})
    assert gone == [Chunk("dlq", 0, 0)]
    marks.forget(gone)
    assert letter(5) not in marks
    assert letter(CHUNK_OFFSETS + 5) in marks
    assert letter(5, partition=1) in marks


def test_marks_of_a_newer_build_are_refused() -> None:
    with pytest.raises(StateIncompatible, match="this build knows 1"):
        ReplayedLetters({b"dlq|0|0": b"\x02abc"})


def test_a_chunk_is_as_short_as_its_last_mark() -> None:
    marks = np.zeros(CHUNK_OFFSETS, np.uint32)
    assert packed(marks) == b"\x01"
    marks[1] = 0x01020304
    assert packed(marks) == b"\x01\0\0\0\0\x04\x03\x02\x01"
