"""Records written as another implementation writes them, and read back to the byte."""

import numpy as np
import pytest
from aiokafka.record.default_records import DefaultRecordBatch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.outputs import Header, RawName, name_bytes
from pipeline.record_wire import NO_HEADERS, FieldReader, PlacedHeaders, framed, header_bytes, tail_of, varint
from tests.support.core.cores import fixed
from tests.support.records import wire

FIELDS = st.none() | st.binary(max_size=200)
NAMES = st.sampled_from(["", "ü", "x" * 130, RawName(b"\xff"), RawName(b"a\xc3")])
HEADERS = st.lists(st.tuples(NAMES, FIELDS), max_size=4)
EDGES = [edge + step for bits in (6, 7, 13, 14, 20, 31, 32, 62, 63) for edge in (1 << bits,) for step in (-1, 0)]
NUMBERS = [number for number in (0, *EDGES, *(-edge for edge in EDGES)) if -(1 << 63) <= number < 1 << 63]


@pytest.mark.parametrize("number", [*NUMBERS, -(1 << 63)])
def test_a_number_at_the_edge_of_a_byte_is_written_as_in_java_and_read_back(number: int) -> None:
    data = varint(number)
    assert data == wire.varint(number)
    assert FieldReader(b"\xff" + data + b"\x02", 1).varint() == number


@fixed(200)
@given(FIELDS, FIELDS, HEADERS, st.integers(0, 2**31 - 1))
def test_a_framed_record_is_that_of_another_writer(
    key: bytes | None, value: bytes | None, headers: list[Header], delta: int
) -> None:
    raw = [(name_bytes(name), content) for name, content in headers]
    assert framed(tail_of(key, value, headers), delta) == wire.record(delta, 0, key, value, raw)


@fixed(200)
@given(FIELDS, FIELDS, HEADERS, st.binary(max_size=5))
def test_a_tail_is_read_back_with_null_and_empty_kept_apart(
    key: bytes | None, value: bytes | None, headers: list[Header], before: bytes
) -> None:
    reader = FieldReader(before + tail_of(key, value, headers) + b"\x01", len(before))
    assert (reader.field(), reader.field()) == (key, value)
    found = reader.headers()
    assert [(name_bytes(name), content) for name, content in found] == [(name_bytes(n), c) for n, c in headers]
    assert [type(name) for name, _ in found] == [type(name) for name, _ in headers], (
        "only bytes that are no text are raw"
    )
    assert reader.varint() == -1, "it stops behind the last header"


def test_the_client_library_reads_what_is_framed() -> None:
    tails = [tail_of(b"k", b"v", [("a", None), ("ü", b"1")]), tail_of(None, None, []), tail_of(b"", b"x" * 300, [])]
    body = b"".join(framed(tail, delta) for delta, tail in enumerate(tails))
    batch = DefaultRecordBatch(wire.framed(body, base=50, count=3, last_delta=2, first_stamp=9, max_stamp=9))
    assert batch.validate_crc()
    assert [(one.offset, one.timestamp, one.key, one.value, list(one.headers)) for one in batch] == [
        (50, 9, b"k", b"v", [("a", None), ("ü", b"1")]),
        (51, 9, None, None, []),
        (52, 9, b"", b"x" * 300, []),
    ]


def test_headers_are_read_where_they_are_placed_and_a_record_of_an_old_format_has_none() -> None:
    first, second = header_bytes([("a", b"1"), ("b", None)]), header_bytes([])
    placed = PlacedHeaders(b"." + first + second, np.array([1 + len(first), NO_HEADERS, 1], np.int64))
    assert [placed[index] for index in range(3)] == [(), (), (("a", b"1"), ("b", None))]


def test_a_header_whose_name_is_null_has_an_empty_one() -> None:
    """Kafka's format forbids it; a reader must not stop at it."""
    assert FieldReader(varint(1) + varint(-1) + varint(-1)).headers() == (("", None),)
