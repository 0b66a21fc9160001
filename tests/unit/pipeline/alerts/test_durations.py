"""Durations of rule files: read as people write them, and written so that they read back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.alerts.durations import format_duration, parse_duration_ms


@given(st.integers(min_value=0, max_value=10**11))
def test_a_duration_reads_back_as_written(ms: int) -> None:
    assert parse_duration_ms(format_duration(ms)) == ms


@pytest.mark.parametrize(
    "text", ["", "5", "m", "-1m", "1m1h", "1.5m", "1 m", "٣m", "1w", "1m\n", "1M", "1m2m", "1" * 10 + "s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{text!r} is not a duration; write it like 30s, 2m or 1h30m")):
        parse_duration_ms(text)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0s", 0),
        ("5ms", 5),
        ("5m", 300_000),
        ("5m5ms", 300_005),
        ("90s", 90_000),
        ("1d2h3m4s5ms", 93_784_005),
        ("999999999s", 999_999_999_000),
    ],
)
def test_units_add_up_and_m_is_minutes_where_ms_is_milliseconds(text: str, ms: int) -> None:
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize(
    ("ms", "text"), [(0, "0s"), (1, "1ms"), (999, "999ms"), (1_000, "1s"), (90_000, "1m30s"), (86_400_000, "1d")]
)
def test_the_text_of_a_duration_leaves_out_units_that_are_zero_and_uses_the_largest(ms: int, text: str) -> None:
    assert format_duration(ms) == text
