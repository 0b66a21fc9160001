"""Patterns of the published schemas, against the calendar and against the rules they stand for."""

import re
from calendar import monthrange

import pytest

from schemas.valid.published import FORBIDDEN_IN_ID, HALF_A_PAIR, RFC3339, VISIBLE, _years_from
from schemas.valid.rules import BIDI_CONTROLS, BLANKS


@pytest.mark.parametrize("year", [1900, 1972, 2000, 2023, 2024, 2100])
def test_the_pattern_knows_how_long_each_month_is(year: int) -> None:
    for month in range(14):
        days = monthrange(year, month)[1] if 1 <= month <= 12 else 0
        found = [day for day in range(40) if re.search(RFC3339, f"{year}-{month:02}-{day:02}T00:00:00Z")]
        assert found == list(range(1, days + 1))


def test_no_second_60_and_no_hour_24() -> None:
    for clock, good in (("23:59:59", True), ("23:59:60", False), ("24:00:00", False), ("00:60:00", False)):
        assert bool(re.search(RFC3339, f"2026-06-01T{clock}Z")) is good


@pytest.mark.parametrize("first", [1970, 1973, 1999, 2000, 2026, 9999])
def test_years_are_counted_from_the_first_one_on(first: int) -> None:
    pattern = re.compile(f"(?:{_years_from(first)})")
    assert [year for year in range(10_000) if pattern.fullmatch(f"{year:04}")] == list(range(first, 10_000))


def test_patterns_of_characters_match_what_the_rules_refuse() -> None:
    assert all(
        re.search(FORBIDDEN_IN_ID, character) for character in [*BIDI_CONTROLS, *map(chr, range(32)), "\x7f", "\x9f"]
    )
    assert not any(re.search(VISIBLE, character) for character in BLANKS)
    assert re.search(VISIBLE, f" {'x'}")
    assert [bool(re.search(HALF_A_PAIR, text)) for text in ("\ud83d", "\ude00", "\U0001f600", "ud83d")] == [
        True,
        True,
        False,
        False,
    ]
