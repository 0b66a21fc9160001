"""Durations, sizes, switches and addresses: read exactly or refused."""

import pytest

from topology.settings import split_host_port
from topology.settings.units import (
    format_duration,
    format_moment,
    format_size,
    parse_duration,
    parse_first_moment,
    parse_host_port,
    parse_moment,
    parse_size,
    parse_switch,
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
