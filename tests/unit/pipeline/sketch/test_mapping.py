"""Sketch arithmetic against the `ddsketch` package, exact order statistics, and bytes written down by hand."""

import base64
import math
import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from ddsketch.mapping import LogarithmicMapping

from pipeline.arrays import F8, I8
from pipeline.sketch import wire
from pipeline.sketch.cells import CellStore, sum_by_key
from pipeline.sketch.mapping import ALPHA, BIN_BITS, BIN_OFFSET, ZERO_BIN, bins_of, representatives
from pipeline.sketch.quantiles import PER_MILLE, quantiles
from tests.support.model import near, quantile_of

_oracle = LogarithmicMapping(ALPHA)
LARGEST = 1.7976931348623157e308
Values = Callable[[random.Random], float]
DISTRIBUTIONS: dict[str, Values] = {
    "uniform": lambda r: r.uniform(0, 1_000),
    "lognormal": lambda r: r.lognormvariate(3, 2),
    "pareto": lambda r: r.paretovariate(0.7),
    "all_equal": lambda _: 17.3,
    "all_zero": lambda _: 0.0,
    "half_zero": lambda r: r.choice((0.0, r.expovariate(0.1))),
    "tiny": lambda r: 1e-300 * r.uniform(1, 9),
    "huge": lambda r: 1e307 * r.uniform(1, 9),
    "every_magnitude": lambda r: 10.0 ** r.uniform(-307, 308),
    "two_far_apart": lambda r: r.choice((0.001, 1e6)),
    "whole_milliseconds": lambda r: float(r.randrange(50)),
    "smallest_normal": lambda r: 2.2250738585072014e-308 * r.uniform(1, 3),
    "largest": lambda r: LARGEST * r.uniform(0.9, 1),
}


def store_of(values_by_code: dict[int, list[float]]) -> CellStore:
    """Cells of some modules, their values added in turns."""
    store = CellStore()
    for code, values in values_by_code.items():
        for part in (values[::2], values[1::2]):
            store.add_values((code << BIN_BITS) | bins_of(np.array(part)))
    return store


def answers(values_by_code: dict[int, list[float]], codes: list[int]) -> F8:
    """The five percentiles of the given modules."""
    minima, maxima = (np.array([f(values_by_code[code]) for code in codes]) for f in (min, max))
    return quantiles(np.array(codes), store_of(values_by_code).folded(), minima, maxima)


def test_bins_are_those_of_ddsketch_but_for_values_at_the_edge_of_a_bin() -> None:
    rng = random.Random(1)
    values = [10.0 ** rng.uniform(-307.6, 308.2) for _ in range(20_000)]
    values += [rng.uniform(0, 10_000) for _ in range(20_000)] + [float(i) for i in range(1, 5_000)]
    ours = (bins_of(np.array(values)) - BIN_OFFSET).tolist()
    for value, bin_ in zip(values, ours, strict=True):
        theirs = _oracle.key(value)
        if bin_ != theirs:
            # Two ways to round the logarithm may part within a few ulps of an edge, and only there.
            edge = math.log(value) / math.log(_oracle.gamma)
            assert abs(bin_ - theirs) == 1
            assert abs(edge - round(edge)) < 1e-10, value
    assert sum(map(int.__ne__, ours, map(_oracle.key, values))) < 20


def test_every_double_has_a_bin_that_fits_its_field_and_is_not_the_bin_of_zero() -> None:
    extremes = np.array([5e-324, 2.2250738585072014e-308, 1e-300, 1.0, 1e308, LARGEST])
    bins = bins_of(extremes)
    assert (bins > ZERO_BIN).all()
    assert (bins < 1 << BIN_BITS).all()
    assert (np.diff(bins) > 0).all()
    assert bins_of(np.array([0.0, -0.0, 1.0])).tolist() == [ZERO_BIN, ZERO_BIN, BIN_OFFSET]
    assert bins_of(np.empty(0)).size == 0


def test_a_representative_is_within_one_percent_of_both_ends_of_its_bin() -> None:
    bins = np.arange(-35_000, 35_000, 7) + BIN_OFFSET
    shown = representatives(bins)
    gamma = 1.01 / 0.99
    upper = np.exp((bins - BIN_OFFSET) * math.log(gamma))
    assert np.all(np.abs(shown - upper) <= 0.01 * upper * (1 + 1e-9))
    assert np.all(np.abs(shown - upper / gamma) <= 0.01 * upper / gamma * (1 + 1e-9))
    assert representatives(np.array([ZERO_BIN]))[0] == 0.0


@pytest.mark.parametrize("size", [1, 2, 3, 10, 101, 1_000, 4_321])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_percentiles_are_within_one_percent_of_the_exact_order_statistic(name: str, size: int) -> None:
    rng = random.Random(f"{name}{size}")
    values = [DISTRIBUTIONS[name](rng) for _ in range(size)]
    found = answers({0: values}, [0])[0].tolist()
    for per_mille, answer in zip(PER_MILLE.tolist(), found, strict=True):
        truth = quantile_of(values, per_mille)
        assert near(answer, truth), (per_mille, answer, truth)
        assert min(values) <= answer <= max(values)
    assert found == sorted(found)


def test_percentiles_of_subnormal_values_are_right_to_the_last_place() -> None:
    values = [5e-324 * k for k in (1, 2, 3, 50, 51, 52, 1_000)]
    for per_mille, answer in zip(PER_MILLE.tolist(), answers({0: values}, [0])[0].tolist(), strict=True):
        truth = quantile_of(values, per_mille)
        assert abs(answer - truth) <= truth * 0.01 + 5e-324


def test_percentiles_of_a_module_do_not_see_its_neighbours() -> None:
    rng = random.Random(5)
    modules = {code: [rng.lognormvariate(code % 5, 1) for _ in range(1 + code * 3)] for code in (0, 1, 7, 64, 1_999)}
    alone = {code: answers({code: values}, [code])[0].tolist() for code, values in modules.items()}
    for codes in ([0, 1, 7, 64, 1_999], [1], [7, 1_999], [0, 64]):
        assert answers(modules, codes).tolist() == [alone[code] for code in codes]


def test_ranks_are_exact_where_a_float_product_would_round() -> None:
    # 0.9 * 10 and 0.95 * 20 and 0.99 * 100 are whole; a rank one lower or higher is another value here.
    for n in (2, 3, 11, 21, 101, 201, 1_001, 2_001):
        values = [2.0**i if n < 1_000 else 1.05**i for i in range(n)]
        for per_mille, answer in zip(PER_MILLE.tolist(), answers({3: values}, [3])[0].tolist(), strict=True):
            assert near(answer, values[per_mille * (n - 1) // 1000])


def test_cells_are_counted_the_same_in_any_order_and_any_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sketch.cells.MAX_PENDING", 50)  # fold often
    rng = random.Random(2)
    keys = [rng.randrange(40) << BIN_BITS | rng.choice((ZERO_BIN, 65_000, 65_001, 70_000)) for _ in range(1_000)]
    store = CellStore()
    rest = keys
    while rest:
        size = rng.randrange(1, 60)
        store.add_values(np.array(rest[:size]))
        rest = rest[size:]
    cells, counts = store.folded()
    assert cells.tolist() == sorted(Counter(keys))
    assert dict(zip(cells.tolist(), counts.tolist(), strict=True)) == Counter(keys)
    some, some_counts = store.between(10, 12)
    assert dict(zip(some.tolist(), some_counts.tolist(), strict=True)) == Counter(
        k for k in keys if k >> BIN_BITS in (10, 11)
    )


def test_adding_cells_is_the_union_of_the_values() -> None:
    rng = random.Random(3)
    left, right = ([rng.lognormvariate(2, 3) for _ in range(n)] + [0.0] for n in (500, 70))
    parts = [store_of({0: values}).folded() for values in (left, right)]
    merged = sum_by_key(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))
    direct = store_of({0: left + right}).folded()
    assert [a.tolist() for a in merged] == [a.tolist() for a in direct]
    empty = np.empty(0, np.int64)
    assert sum_by_key(empty, empty)[0].size == 0


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
