"""Durations, sizes, switches, addresses, moments, window sizes, ratios and names: read exactly or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core.cores import fixed
from topology.settings import load_settings, split_host_port
from topology.settings.units import (
    format_duration,
    format_moment,
    format_size,
    parse_duration,
    parse_first_moment,
    parse_host_port,
    parse_moment,
    parse_ratio_or_off,
    parse_size,
    parse_switch,
    parse_topic_name,
    parse_window_sizes,
)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("500ms", 500),
        ("10s", 10_000),
        ("10m", 600_000),
        ("1h", 3_600_000),
        ("1d", 86_400_000),
        ("250", 250),
        (250, 250),
    ],
)
def test_a_duration_is_a_number_with_a_unit_or_milliseconds(text: object, milliseconds: int) -> None:
    assert parse_duration(text) == milliseconds
    assert parse_duration(format_duration(milliseconds)) == milliseconds


@pytest.mark.parametrize("text", ["", "10 sec", "-1s", "1.5s", "s", "1e3", True, 1.0, None, "10xs"])
def test_anything_else_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [("64KiB", 65_536), ("32MiB", 32 << 20), ("1GiB", 1 << 30), (7, 7), ("7", 7)]
)
def test_a_size_is_a_number_with_a_binary_unit_or_bytes(text: object, size: int) -> None:
    assert parse_size(text) == size
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize("text", ["64KB", "64kib", "-1", "1.5MiB", True])
def test_anything_else_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


def test_a_switch_is_never_guessed() -> None:
    assert [parse_switch(text) for text in ("true", "True", "yes", "on", "1", 1, True)] == [True] * 7
    assert [parse_switch(text) for text in ("false", "False", "no", "off", "0", 0, False)] == [False] * 7
    for text in ("", "maybe", "2", "t", None):
        with pytest.raises(ValueError, match="is not a switch"):
            parse_switch(text)


def test_an_address_is_a_host_and_a_port() -> None:
    assert split_host_port(parse_host_port("localhost:9092")) == ("localhost", 9_092)
    assert split_host_port(parse_host_port("[::1]:9093")) == ("::1", 9_093)
    for text in ("localhost", ":9092", "localhost:", "localhost:65536", "::1:9092", "a b:1"):
        with pytest.raises(ValueError, match="is not an address"):
            parse_host_port(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", "now"),
        ("", None),
        ("0", 0),
        ("1769860800000", 1_769_860_800_000),
        (1_769_860_800_000, 1_769_860_800_000),
        ("2026-01-31T12:00:00Z", 1_769_860_800_000),
        ("2026-01-31T14:00:00+02:00", 1_769_860_800_000),
    ],
)
def test_a_moment_is_rfc_3339_or_milliseconds_or_now(text: object, moment: object) -> None:
    assert parse_moment(text) == moment


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-01-31T12:00:00", "1769860800", "99999999999999999999", "-1", "1e5", True, 1.5]
)
def test_anything_else_is_no_moment(text: object) -> None:
    with pytest.raises(ValueError, match="milliseconds"):
        parse_moment(text)


@pytest.mark.parametrize(
    ("sizes", "problem"),
    [
        ("30s,45s", "45s is not a multiple of the base pane 30s"),
        ("1m,30s", "30s comes after 1m"),
        ("30s,1m,60s", "names 1m twice"),
        ("0s,1m", "a window of size 0"),
        ("30s,,1m", "'' is not a duration"),
        ("", "is not a duration"),
        ([], "is not a list of window sizes"),
        (30, "is not a list of window sizes"),
        ([True], "True is not a duration"),
    ],
)
def test_window_sizes_ascend_and_are_multiples_of_the_first(sizes: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_window_sizes(sizes)


def test_window_sizes_are_taken_as_text_and_as_a_list_and_keep_the_names_they_were_given() -> None:
    wanted = (("10s", 10_000), ("1m", 60_000))
    for written in ("10s, 1m", ["10s", "1 m"], [10_000, 60_000], "10000,60000", wanted):
        assert parse_window_sizes(written) == wanted
    assert parse_window_sizes("60s,3600s") == (("60s", 60_000), ("3600s", 3_600_000))


@fixed(100)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_window_sizes_are_taken_exactly_when_each_is_larger_and_the_first_divides_all(sizes: list[int]) -> None:
    fine = sorted(set(sizes)) == sizes and all(size % sizes[0] == 0 for size in sizes)
    if fine:
        assert [size for _, size in parse_window_sizes(sizes)] == sizes
    else:
        with pytest.raises(ValueError, match=r"twice|ascending|multiple"):
            parse_window_sizes(sizes)


@fixed(100)
@given(st.integers(0, 10**13))
def test_what_is_written_for_a_duration_or_a_size_is_read_back_exactly(number: int) -> None:
    assert parse_duration(format_duration(number)) == number
    assert parse_size(format_size(number)) == number


@pytest.mark.parametrize(
    ("text", "ratio"), [("0", 0.0), (1, 1.0), ("0.05", 0.05), ("off", None), (" None ", None), ("", None), (None, None)]
)
def test_a_ratio_is_from_0_to_1_or_off(text: object, ratio: float | None) -> None:
    assert parse_ratio_or_off(text) == ratio


@pytest.mark.parametrize("text", ["1.01", -0.01, "nan", "5%", True, "inf", [0.5]])
def test_anything_else_is_no_ratio(text: object) -> None:
    with pytest.raises(ValueError, match="is not a ratio"):
        parse_ratio_or_off(text)


def test_a_topic_has_a_name_that_kafka_takes() -> None:
    for name in ("a", "A.b_c-9", "...", "x" * 249):
        assert parse_topic_name(name) == name
    for name in ("", ".", "..", "x" * 250, "a b", "a/b", "ä", "a\n"):
        with pytest.raises(ValueError, match="is not a legal Kafka name"):
            parse_topic_name(name)


@pytest.mark.parametrize(("text", "bind"), [("", ""), ("  ", ""), ("[::1]:80", "[::1]:80")])
def test_an_empty_address_of_the_metrics_means_no_endpoint(text: str, bind: str) -> None:
    assert load_settings(environ={"MODPULSE_METRICS__BIND": text}).metrics.bind == bind


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("0", 0),
        (0, 0),
        ("1973-01-01T00:00:00Z", 94_694_400_000),
        (94_694_400_000, 94_694_400_000),
        ("1970-01-01T00:00:00.250+00:00", 250),
        ("2026-06-01T14:00:00+02:00", 1_780_315_200_000),
    ],
)
def test_a_first_moment_is_a_time_or_nothing_at_all(text: object, milliseconds: int) -> None:
    assert parse_first_moment(text) == milliseconds
    assert parse_first_moment(format_moment(milliseconds)) == milliseconds


@pytest.mark.parametrize(
    "text", ["", "1973", "1973-01-01", "1969-01-01T00:00:00Z", "now", "-1", True, None, 1_780_315_200]
)
def test_what_is_no_first_moment_says_how_to_write_one(text: object) -> None:
    with pytest.raises(ValueError, match=r"write (it as )?19"):
        parse_first_moment(text)
