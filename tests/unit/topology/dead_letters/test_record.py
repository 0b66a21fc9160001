"""Letters, filters and counts, without a broker."""

from dataclasses import replace

import pytest

from pipeline.outputs import Header
from tests.support.records.letters import letter, made_of, said
from topology.commands.dlq import _preview
from topology.dead_letters.record import BatchPlace, LetterFilter, Origin, Overview, letter_of


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


def test_many_large_letters_cannot_fill_the_memory() -> None:
    seen = Overview(keep=10_000)
    large = letter_of(("dlq", 0, 1), 1, b"k" * 5_000, b"v" * 100_000, (("h", b"x" * 100_000), *said()))
    seen.take(large)
    (kept,) = seen.newest
    assert (len(kept.key or b""), len(kept.value or b""), kept.headers) == (1_000, 1_000, ())
    assert (kept.key_bytes, kept.value_bytes, kept.reason) == (5_000, 100_000, "invalid")
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


def test_what_is_shown_of_a_value_cannot_turn_the_line_around_and_escapes_count() -> None:
    assert _preview("\u202e".encode()) == "\\u202e"
    assert _preview(b"\x01" * 100) == ("\\x01" * 100)[:200] + "... (100 bytes)"
