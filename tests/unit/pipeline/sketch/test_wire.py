"""The published form of a sketch: bytes written down by hand, and what is no sketch."""

import base64
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.arrays import I8
from pipeline.sketch import wire
from pipeline.sketch.mapping import BIN_BITS, BIN_OFFSET, ZERO_BIN
from tests.support.core.cores import fixed
from tests.support.core.model import sketch_of
from tests.support.core.sketches import store_of


def roundtrip(bins: list[int], counts: list[int]) -> tuple[bytes, list[list[int]]]:
    """Encoded bytes, and what is decoded from them."""
    data = wire.encode(np.array(bins, np.int64), np.array(counts, np.int64))
    return data, [a.tolist() for a in wire.decode(data)]


@pytest.mark.parametrize(
    ("bins", "counts", "golden"),
    [
        ([BIN_OFFSET], [1], "01020100 01000000 0000000000000000 0000 01"),
        ([ZERO_BIN], [300], "01020100 00000000 2c01000000000000"),
        ([ZERO_BIN, BIN_OFFSET - 2, BIN_OFFSET + 5], [7, 1, 255], "01020100 02000000 0700000000000000 feff 0500 01 ff"),
        ([BIN_OFFSET + 3, BIN_OFFSET + 4], [1, 256], "01020200 02000000 0000000000000000 0300 0400 0100 0001"),
        ([BIN_OFFSET + 32_767], [65_536], "01020400 01000000 0000000000000000 ff7f 00000100"),
        ([BIN_OFFSET + 32_768], [1 << 32], "01040800 01000000 0000000000000000 00800000 0000000001000000"),
        ([BIN_OFFSET - 32_768], [2], "01020100 01000000 0000000000000000 0080 02"),
        ([BIN_OFFSET - 32_769], [2], "01040100 01000000 0000000000000000 ff7fffff 02"),
        ([], [], "01020100 00000000 0000000000000000"),
    ],
)
def test_the_published_form_is_these_bytes_and_reads_back(bins: list[int], counts: list[int], golden: str) -> None:
    data, back = roundtrip(bins, counts)
    assert data == bytes.fromhex(golden)
    assert back == [bins, counts]


def test_the_published_form_of_random_sketches_reads_back() -> None:
    rng = random.Random(4)
    for _ in range(200):
        bins = sorted(rng.sample(range(1, 1 << BIN_BITS), rng.randrange(60)))
        if rng.random() < 0.5:
            bins = [ZERO_BIN, *bins]
        counts = [1 + rng.getrandbits(rng.choice((1, 8, 16, 32, 40))) for _ in bins]
        assert roundtrip(bins, counts)[1] == [bins, counts]


def test_many_modules_are_encoded_each_by_itself() -> None:
    modules = {0: [0.0, 1.0], 5: [2.0, 2.0, 3.0], 700: [1e-300, 1e300]}
    keys, counts = store_of(modules).folded()
    texts = wire.encode_modules(keys, counts)
    for code, values in modules.items():
        alone: tuple[I8, I8] = store_of({0: values}).folded()
        assert base64.b64decode(texts[code]) == wire.encode(*alone)
    assert sorted(texts) == sorted(modules)


NARROW = st.integers(BIN_OFFSET - 32_768, BIN_OFFSET + 32_767)
ANY = st.integers(ZERO_BIN + 1, (1 << BIN_BITS) - 1)
COUNTS = st.sampled_from([1, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 63) - 1])


def sketches(bins: st.SearchStrategy[int]) -> st.SearchStrategy[dict[int, dict[int, int]]]:
    """Counts by bin, by module code."""
    cells = st.dictionaries(bins | st.just(ZERO_BIN), COUNTS, min_size=1, max_size=4)
    return st.dictionaries(st.integers(0, 70), cells, max_size=5)


@fixed(100)
@given(sketches(NARROW) | sketches(ANY))
def test_a_reader_of_the_documentation_finds_every_count_of_every_module(modules: dict[int, dict[int, int]]) -> None:
    cells = sorted((code << BIN_BITS | bin_, n) for code, bins in modules.items() for bin_, n in bins.items())
    keys, counts = (np.array([cell[column] for cell in cells], np.int64) for column in (0, 1))
    texts = wire.encode_modules(keys, counts)
    assert sorted(texts) == sorted(modules)
    for code, bins in modules.items():
        assert sketch_of(texts[code]) == {bin_ - BIN_OFFSET if bin_ else None: n for bin_, n in bins.items()}


def test_bins_and_counts_take_no_more_bytes_than_the_widest_of_their_module_needs() -> None:
    modules = {0: {BIN_OFFSET: 255}, 1: {BIN_OFFSET: 256, BIN_OFFSET + 1: 1}, 2: {ZERO_BIN: 1 << 40, BIN_OFFSET: 1}}
    cells = [(code << BIN_BITS | bin_, n) for code, bins in modules.items() for bin_, n in bins.items()]
    texts = wire.encode_modules(*np.array(cells, np.int64).T)
    assert {code: len(base64.b64decode(text)) - 16 for code, text in texts.items()} == {0: 3, 1: 8, 2: 3}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "at least 16 bytes"),
        (b"\x01\x02\x01\x00", "at least 16 bytes"),
        (bytes.fromhex("02020100 00000000 0000000000000000"), "not a sketch of version 1"),
        (bytes.fromhex("01030100 00000000 0000000000000000"), "not a sketch of version 1"),
        (bytes.fromhex("01020300 00000000 0000000000000000"), "not a sketch of version 1"),
        (bytes.fromhex("01020100 01000000 0000000000000000 0000"), "has 19 bytes, got 18"),
        (bytes.fromhex("01020100 00000000 0000000000000000 00"), "has 16 bytes, got 17"),
    ],
)
def test_what_is_no_sketch_is_refused_by_name(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wire.decode(data)
