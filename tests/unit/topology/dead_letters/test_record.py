"""Letters, filters, counts and marks, without a broker."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.outputs import Header, RawName
from schemas.errors import ConfigError, StateIncompatible
from tests.support import wire
from tests.support.wire import Rec
from topology.commands.dlq import _filter, _preview, _time
from topology.dead_letters.reader import letters_of
from topology.dead_letters.record import BatchPlace, Letter, LetterFilter, Origin, Overview, letter_of
from topology.dead_letters.replayed import CHUNK_OFFSETS, Chunk, ReplayedLetters, mark_of, packed
from topology.records.span import Span
from topology.records.wire_batches import WireBatches


def said(**more: bytes) -> tuple[Header, ...]:
    all_of_them = {"reason": b"invalid", "message": b"no", "topic": b"in", "partition": b"1", "offset": b"5"}
    return tuple((f"modpulse.errors.{k}", v) for k, v in (all_of_them | {"timestamp": b"900"} | more).items())


def made_of(headers: tuple[Header, ...], offset: int = 7, partition: int = 2, timestamp_ms: int = 1_000) -> Letter:
    return letter_of(("dlq", partition, offset), timestamp_ms, b"shop", b"{", headers)


def letter(offset: int = 7, partition: int = 0, reason: str = "invalid", timestamp_ms: int = 1_000) -> Letter:
    made = made_of(said(reason=reason.encode()), offset, partition, timestamp_ms)
    return replace(made, origin=Origin("in", partition, offset * 3, 900))


def test_a_letter_says_why_and_from_where() -> None:
    made = made_of((("trace", b"\xff"), *said()))
    assert (made.reason, made.message, made.origin) == ("invalid", "no", Origin("in", 1, 5, 900))
    assert made.own_headers == (("trace", b"\xff"),)
    assert (made.truncated, made.batch) == ("", None)


def test_a_letter_says_what_was_cut_and_which_batch_it_stands_for() -> None:
    assert made_of(said(truncated=b"key=9,value=10")).truncated == "key=9,value=10"
    assert made_of(said(truncated=b"9000000")).truncated == "9000000", "as former builds wrote it"
    assert made_of(said(truncated=b"")).truncated == "?"
    batch = {"first_offset": b"5", "last_offset": b"90", "records": b"12"}
    assert made_of(said(**batch)).batch == BatchPlace(5, 90, 12)
    assert made_of(said(**(batch | {"records": b"many"}))).batch is None


def test_any_batch_on_the_topic_is_letters() -> None:
    """Names that are not UTF-8, nulls, and what cannot be read at all: nothing of it ends the reader."""
    raw = RawName(b"\xff\xfe")
    known = tuple((name.encode(), value) for name, value in said())
    stored = wire.batch([Rec(0, 1, None, None), Rec(1, 2, b"k", b"v", ((b"\xff\xfe", None), *known))])
    stored += wire.framed(b"garbage", base=2, count=3, last_delta=2, max_stamp=5, attributes=wire.ZSTD)
    stored += wire.bomb([70 << 20], base=5)
    batches, taken = WireBatches(stored), []
    while batches.has_next():
        taken.append(batches.next_batch())
    pieces = Span(0, 6, taken).pieces(10, refuse_above=64 << 20)
    found = [letter for piece in pieces for letter in letters_of("dlq", 4, piece)]
    assert [(one.offset, one.timestamp_ms, one.key, one.reason) for one in found] == [
        (0, 1, None, "unknown"),
        (1, 2, b"k", "invalid"),
        (4, 5, None, "unknown"),
        (5, 0, None, "unknown"),
    ]
    assert found[1].own_headers == ((raw, None),)
    assert "cannot be read" in found[2].message
    assert "too large" in found[3].message


def test_many_large_letters_cannot_fill_the_memory() -> None:
    seen = Overview(keep=10_000)
    large = letter_of(("dlq", 0, 1), 1, b"k" * 5_000, b"v" * 100_000, (("h", b"x" * 100_000), *said()))
    seen.take(large)
    (kept,) = seen.newest
    assert (len(kept.key or b""), len(kept.value or b""), kept.headers) == (1_000, 1_000, ())
    assert (kept.key_bytes, kept.value_bytes, kept.reason) == (5_000, 100_000, "invalid")
    assert _preview(kept.value, kept.value_bytes) == "v" * 200 + "... (100,000 bytes)"
    nothing = letter_of(("dlq", 0, 1), 1, None, b"", ()).beginning
    assert (nothing.key, nothing.value) == (None, b"")


def test_the_workers_headers_win_over_the_senders() -> None:
    spoofed = (("modpulse.errors.reason", b"late"), ("modpulse.errors.offset", b"1"))
    made = made_of((*spoofed, *said()))
    assert made.reason == "invalid"
    assert made.origin is not None
    assert made.origin.offset == 5
    assert made.own_headers == ()


@pytest.mark.parametrize(
    "headers",
    [
        (),
        said(offset=b"9" * 5_000),
        said(partition=b"x"),
        said(timestamp=b""),
        said(offset="٣".encode()),
        (("modpulse.errors.topic", None),),
    ],
)
def test_a_record_that_does_not_say_where_it_comes_from_is_still_a_letter(headers: tuple[Header, ...]) -> None:
    assert made_of(headers).origin is None


@pytest.mark.parametrize("reason", [b"", b"my own reason", b"\xff"])
def test_a_reason_that_is_none_of_ours_is_unknown(reason: bytes) -> None:
    assert made_of(said(reason=reason)).reason == "unknown"


def test_a_filter_admits_what_every_part_of_it_admits() -> None:
    one = letter(timestamp_ms=1_000)
    assert LetterFilter().admits(one)
    assert LetterFilter(frozenset({"late", "invalid"}), 1_000, b"shop").admits(one)
    assert not LetterFilter(frozenset({"late"})).admits(one)
    assert not LetterFilter(since_ms=1_001).admits(one)
    assert not LetterFilter(key=b"sho").admits(one)
    assert not LetterFilter(key=b"").admits(replace(one, key=None)), "an empty key is not a missing key"


def test_an_overview_counts_all_and_keeps_the_newest() -> None:
    seen = Overview(keep=3)
    for offset, time in enumerate([50, 10, 90, 90, 20, 70]):
        seen.take(letter(offset, timestamp_ms=time, reason="late" if offset == 1 else "invalid"))
    assert (seen.letters, dict(seen.reasons), dict(seen.origins)) == (6, {"invalid": 5, "late": 1}, {"in": 6})
    assert [one.offset for one in seen.newest] == [3, 2, 5]
    empty = Overview(keep=0)
    empty.take(letter())
    assert (empty.letters, empty.newest) == (1, [])


def test_made_up_origins_cannot_fill_the_memory() -> None:
    seen = Overview(keep=0)
    for number in range(3_000):
        seen.take(replace(letter(number), origin=Origin(f"topic-{number}", 0, 0, 0)))
    assert len(seen.origins) == 1_001
    assert seen.origins["(others)"] == 2_000


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


def test_a_preview_is_one_harmless_line_of_limited_length() -> None:
    assert _preview(None) == "(none)"
    assert _preview(b'{"a":1}') == '{"a":1}'
    assert _preview(b"a\n\x1b[2J\xff") == "a\\x0a\\x1b[2J\\xff"
    assert _preview("\u202e".encode()) == "\\u202e"
    assert _preview(b"x" * 1_000_000) == "x" * 200 + "... (1,000,000 bytes)"
    assert _preview(b"\x01" * 100) == ("\\x01" * 100)[:200] + "... (100 bytes)"


def test_a_time_beyond_the_calendar_is_a_number() -> None:
    assert _time(1_700_000_000_000) == "2023-11-14T22:13:20Z"
    assert _time(2**62) == str(2**62)


def test_flags_become_a_filter_or_an_error_with_the_way_out() -> None:
    assert _filter(["invalid"], None, "shop", late=False) == LetterFilter(frozenset({"invalid"}), None, b"shop")
    since = _filter(None, "1h", None, late=False).since_ms
    assert since is not None
    with pytest.raises(ConfigError, match="add --late"):
        _filter(["late"], None, None, late=False)
    with pytest.raises(ConfigError, match="one of undecodable, invalid"):
        _filter(["wrong"], None, None, late=False)
    with pytest.raises(ConfigError, match="--since 1 hour is not a duration"):
        _filter(None, "1 hour", None, late=False)
