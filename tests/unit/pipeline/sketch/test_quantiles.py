"""Percentiles of modules against exact order statistics."""

import random
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.arrays import F8
from pipeline.sketch.quantiles import PER_MILLE, quantiles
from tests.support.core.model import near, quantile_of
from tests.support.core.sketches import store_of

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


def answers(values_by_code: dict[int, list[float]], codes: list[int]) -> F8:
    """The five percentiles of the given modules."""
    minima, maxima = (np.array([f(values_by_code[code]) for code in codes]) for f in (min, max))
    return quantiles(np.array(codes), store_of(values_by_code).folded(), minima, maxima)


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
