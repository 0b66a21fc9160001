"""A fetched batch: byte strings that lie in one buffer are what a list of them is, and sizes count every part of a record."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.batch import FORWARDED_BYTES, NoHeaders, RecordBatch, Slices, equal_to, join_slices, sizes_of
from pipeline.outputs import Header, RawName, WholeBatch
from tests.support.core.cores import batch_of, fixed

Columns = list[bytes | None]
COLUMN = st.lists(st.one_of(st.none(), st.binary(max_size=3)), max_size=6)


@fixed(200)
@given(COLUMN, COLUMN, st.integers(-7, 7), st.integers(-7, 7))
def test_columns_that_were_joined_are_read_like_the_lists_they_were(
    one: Columns, other: Columns, low: int, high: int
) -> None:
    for joined, column in zip(join_slices(one, [], other), (one, [], other), strict=True):
        assert list(joined) == [joined[index] for index in range(len(joined))] == column
        assert list(joined[low:high]) == column[low:high]
        assert (None in joined) == (None in column)
    first, second = join_slices(one, other)
    assert first.buffer is second.buffer


@fixed(200)
@given(COLUMN, st.binary(max_size=3))
def test_equal_is_what_holds_the_same_bytes_and_a_null_equals_nothing(column: Columns, text: bytes) -> None:
    text = column[0] or text if column else text
    rows = np.array([row for row in range(len(column)) if row % 2 == 0], np.int64)
    expected = [column[row] == text for row in rows.tolist()]
    (slices,) = join_slices(column)
    assert equal_to(column, rows, text).tolist() == equal_to(slices, rows, text).tolist() == expected


def test_a_text_at_the_very_end_of_its_buffer_is_compared_and_one_beyond_it_is_not_read() -> None:
    column = Slices(b"abcab", np.array([0, 3, 4, 5], np.int64), np.array([2, 2, 1, 0], np.int64))
    rows = np.arange(4)
    assert equal_to(column, rows, b"ab").tolist() == [True, True, False, False]
    assert equal_to(column, rows, b"").tolist() == [False, False, False, True]


HEADERS: Sequence[tuple[Header, ...]] = (
    (),
    (("h", None),),
    (("ü", b"xyz"), ("", b"")),
    ((RawName(b"\xff\xfe"), b"1"),),
)


def test_the_size_of_a_record_is_its_key_value_and_headers_with_8_bytes_for_each() -> None:
    keys, values = [None, b"k", b"", b"kk"], [b"vvv", None, b"", b"v"]
    assert sizes_of(keys, values, NoHeaders()).tolist() == [3, 1, 0, 3]
    joined_keys, joined_values = join_slices(keys, values)
    expected = [3, 1 + 8 + 1, 8 + 2 + 3 + 8, 3 + 8 + 2 + 1]
    assert (
        sizes_of(keys, values, HEADERS).tolist() == sizes_of(joined_keys, joined_values, HEADERS).tolist() == expected
    )


def test_records_above_a_size_are_those_that_are_larger_and_the_room_for_forwarding_counts_only_there() -> None:
    values, keys = [b"x" * size for size in (9, 10, 11, 10 + FORWARDED_BYTES, 11 + FORWARDED_BYTES)], [None] * 5
    assert batch_of(values, keys).above(10).tolist() == [2, 3, 4]
    assert batch_of(values, keys, forwarded=True).above(10).tolist() == [4]


def test_what_the_shell_says_of_sizes_is_believed() -> None:
    plain = batch_of([b"x" * 20, b""], [None, None])
    told = RecordBatch("t", 0, [0, 1], [0, 0], plain.keys, plain.values, NoHeaders(), sizes=np.array([1, 99], np.int64))
    assert (plain.above(10).tolist(), told.above(10).tolist()) == ([0], [1])
    for largest, above in ((10, []), (11, [1])):
        bounded = RecordBatch(
            "t", 0, [0, 1], [0, 0], plain.keys, plain.values, NoHeaders(), sizes=told.sizes, largest=largest
        )
        assert bounded.above(10).tolist() == above


@pytest.mark.parametrize(("low", "high", "offsets"), [(0, 2, [50, 51]), (1, 9, [51, 52, 53]), (2, 2, []), (4, 9, [])])
def test_a_part_of_a_batch_is_a_batch_of_its_records_with_all_that_is_known_of_them(
    low: int, high: int, offsets: list[int]
) -> None:
    values: Columns = [b"a", None, b"c", b"d"]
    headers: list[tuple[Header, ...]] = [((str(index), None),) for index in range(4)]
    places = [WholeBatch(index, index, 1, "r", "m") for index in range(4)]
    batch = RecordBatch(
        "t", 7, range(50, 54), range(4), values, values, headers, True, sizes=np.arange(4), largest=9, whole=places
    )
    part = batch.part(low, high)
    chosen = slice(low, high)
    assert (part.topic, part.partition, part.forwarded, part.largest, len(part)) == ("t", 7, True, 9, len(offsets))
    assert list(part.offsets) == offsets
    assert [part.timestamps[index] for index in range(len(part))] == list(range(4))[chosen]
    assert (part.keys, part.values, part.whole) == (values[chosen], values[chosen], places[chosen])
    assert [part.headers[index] for index in range(len(part))] == headers[chosen]
    assert part.sizes is not None
    assert part.sizes.tolist() == list(range(4))[chosen]
