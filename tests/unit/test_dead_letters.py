"""Letters, filters, counts and marks, without a broker."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.outputs import Header
from schemas.errors import ConfigError, StateIncompatible
from topology.commands.dlq import _filter, _preview, _time
from topology.dead_letters import Letter, LetterFilter, Origin, Overview, letter_of
from topology.replayed_letters import CHUNK_OFFSETS, Chunk, ReplayedLetters, mark_of, packed


@dataclass
class Fetched:
    """What a consumer gives."""

    offset: int = 7
    timestamp: int = 1_000
    key: bytes | None = b"shop"
    value: bytes | None = b"{"
    headers: tuple[Header, ...] = ()


def said(**more: bytes) -> tuple[Header, ...]:
    all_of_them = {"reason": b"invalid", "message": b"no", "topic": b"in", "partition": b"1", "offset": b"5"}
    return tuple((f"modpulse.errors.{k}", v) for k, v in (all_of_them | {"timestamp": b"900"} | more).items())


def letter(offset: int = 7, partition: int = 0, reason: str = "invalid", timestamp_ms: int = 1_000) -> Letter:
    made = letter_of("dlq", partition, Fetched(offset, timestamp_ms, headers=said(reason=reason.encode())))
    return replace(made, origin=Origin("in", partition, offset * 3, 900))


def test_a_letter_says_why_and_from_where() -> None:
    made = letter_of("dlq", 2, Fetched(headers=(("trace", b"\xff"), *said())))
    assert (made.reason, made.message, made.origin) == ("invalid", "no", Origin("in", 1, 5, 900))
    assert made.own_headers == (("trace", b"\xff"),)
    assert not made.truncated
    assert letter_of("dlq", 2, Fetched(headers=said(truncated=b"9000000"))).truncated


def test_the_workers_headers_win_over_the_senders() -> None:
    spoofed = (("modpulse.errors.reason", b"late"), ("modpulse.errors.offset", b"1"))
    made = letter_of("dlq", 2, Fetched(headers=(*spoofed, *said())))
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
    assert letter_of("dlq", 2, Fetched(headers=headers)).origin is None


@pytest.mark.parametrize("reason", [b"", b"my own reason", b"\xff"])
def test_a_reason_that_is_none_of_ours_is_unknown(reason: bytes) -> None:
    assert letter_of("dlq", 2, Fetched(headers=said(reason=reason))).reason == "unknown"


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
