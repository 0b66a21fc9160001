"""Where records lie: the numpy parser against bytes made by hand, and against the compiled one on whatever is broken."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.native import TooManyHeadersError
from tests.support.core.cores import fixed
from tests.support.records import wire
from tests.support.records.parsed_records import parsers, random_rows
from topology.records.find_records import find_records, largest_record

BASE = 5
MOST_HEADERS = 1_000
HEADERS = st.lists(st.tuples(st.binary(max_size=3), st.none() | st.binary(max_size=3)), max_size=70)
FIELD = st.none() | st.binary(max_size=200)
PARTS = st.tuples(st.integers(-(1 << 63), (1 << 63) - 1), FIELD, FIELD, HEADERS)


@fixed(60)
@given(st.lists(PARTS, max_size=6))
def test_every_part_lies_where_it_was_written(parts: list[tuple[int, bytes | None, bytes | None, Any]]) -> None:
    data = b"".join(wire.record(delta, *part) for delta, part in enumerate(parts))
    rows = find_records(data, BASE, len(parts), MOST_HEADERS)
    assert rows.shape == (8, len(parts))
    stored = bytes(BASE) + data
    for delta, (row, (stamp, key, value, headers)) in enumerate(zip(rows.T.tolist(), parts, strict=True)):
        assert row[:2] == [delta, stamp]
        for field, start, size in ((key, *row[2:4]), (value, *row[4:6])):
            assert size == (-1 if field is None else len(field))
            assert stored[start : start + max(size, 0)] == (field or b"")
        assert stored[row[6] :].startswith(wire.varint(len(headers)))
        assert row[7] == wire.Rec(0, 0, key, value, tuple(headers)).size


def test_headers_are_too_many_one_beyond_the_bound_and_not_at_it() -> None:
    data = b"".join(wire.record(n, 0, b"k", b"v", [(b"h", b"x")] * 3) for n in range(4))
    assert find_records(data, 0, 4, 12).shape == (8, 4)
    for most in (11, 1, 0, -1):
        with pytest.raises(TooManyHeadersError, match=f"more than {most} headers"):
            find_records(data, 0, 4, most)


@pytest.mark.parametrize(("count", "said"), [(-1, "-1 records in 13 bytes"), (14, "14 records in 13 bytes")])
def test_a_count_that_cannot_be_is_refused_before_anything_is_read(count: int, said: str) -> None:
    data = wire.record(0, 0, b"k", b"v" * 5)
    assert len(data) == 13
    with pytest.raises(ValueError, match=said):
        find_records(data, 0, count, 0)


def test_bytes_behind_the_last_record_make_it_broken() -> None:
    data = wire.record(0, 0, b"k", b"v")
    for count in (0, 1):
        with pytest.raises(ValueError, match="bytes are left behind the last record"):
            find_records(data + data, 0, count, 0)
    assert find_records(b"", 0, 0, 0).shape == (8, 0)


@pytest.mark.parametrize("size", [0, 1, 50, 57, 58, 8_000, 8_184, 8_185, 100_000])
def test_the_largest_record_is_told_whatever_the_width_of_its_size(size: int) -> None:
    records = [wire.record(0, 0, None, b""), wire.record(1, 0, None, bytes(size)), wire.record(2, 0, None, b"")]
    width = next(n for n, octet in enumerate(records[1], 1) if octet < 0x80)
    assert largest_record(b"".join(records), 3) == len(records[1]) - width


def test_aiokafka_is_not_asked_where_it_would_read_something_else() -> None:
    """It reads the octet of attributes as a number, which goes on into the next octet from 128 up."""
    record = wire.record(0, 0, b"k", b"v")
    assert largest_record(record[:1] + b"\x7f" + record[2:], 1) is not None
    assert largest_record(record[:1] + b"\x80" + record[2:], 1) is None
    assert largest_record(record, 2) is None, "there is no second one"
    assert largest_record(b"\xff\xff\xff\x01" + bytes(1 << 21), 1) is None, "a size of four octets is not read"


def answers_of(data: bytes, count: int) -> list[Any]:
    """What each parser says of the records part of a batch."""
    answers: list[Any] = []
    for parser in parsers():
        find = find_records if parser is None else parser.records
        try:
            answers.append(find(data, 5, count, 1_000).tolist())
        except TooManyHeadersError:
            answers.append("headers")
        except ValueError:
            answers.append("broken")
    return answers


def test_broken_records_are_found_by_all_parsers_alike() -> None:
    rng = random.Random(7)
    broken = 0
    for _ in range(2_000):
        rows = random_rows(rng, rng.choice((1, 3)))
        small = [row._replace(value=row.value and row.value[:30], headers=row.headers[:3]) for row in rows]
        data = bytearray(wire.batch(small)[wire.HEADER_BYTES :])
        for _ in range(rng.choice((1, 1, 2))):
            where = rng.randrange(len(data))
            if rng.random() < 0.5:
                data[where] = rng.randrange(256)
            elif rng.random() < 0.5:
                del data[where]
            else:
                data.insert(where, rng.randrange(256))
        answers = answers_of(bytes(data), len(rows))
        broken += answers[0] == "broken"
        assert answers.count(answers[0]) == len(answers), bytes(data)
    assert 500 < broken < 2_000


def test_a_number_without_an_end_is_broken_for_all_parsers() -> None:
    assert answers_of(b"\x80" * 100_000, 1) == ["broken"] * len(parsers())
