"""The texts a setting may be written in: durations, sizes, switches, addresses, window sizes.

Each parser is total: it returns the value or raises ValueError with the remedy in the message. No parser guesses, so
`"False"` is never true and `"10 sec"` is never 10 ms.
"""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from schemas.valid.rules import FIRST_MS

_DURATION_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZE_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SWITCHES = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}

# Less is a number of seconds; 0 is the beginning of everything.
_FIRST_MS = 100_000_000_000
# The end of the year 9999.
_LAST_MS = 253_402_300_799_999
_DURATION = re.compile(r"(\d{1,15})\s*(ms|s|m|h|d)?")
_SIZE = re.compile(r"(\d{1,15})\s*(B|KiB|MiB|GiB)?")
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):(\d{1,5})")
_TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")

Sizes = tuple[tuple[str, int], ...]


def parse_duration(value: object) -> int:
    """A duration in milliseconds: `500ms`, `10s`, `5m`, `1h`, `1d`, or a whole number of milliseconds."""
    match = _DURATION.fullmatch(str(value).strip()) if _is_text_or_int(value) else None
    if match is None:
        raise ValueError("is not a duration; write 500ms, 10s, 5m, 1h, 1d or a whole number of milliseconds")
    return int(match[1]) * _DURATION_UNITS_MS[match[2] or "ms"]


def format_duration(milliseconds: int) -> str:
    """The shortest exact text that `parse_duration` reads back as the same value."""
    for unit in ("d", "h", "m", "s"):
        if milliseconds and milliseconds % _DURATION_UNITS_MS[unit] == 0:
            return f"{milliseconds // _DURATION_UNITS_MS[unit]}{unit}"
    return f"{milliseconds}ms"


def parse_size(value: object) -> int:
    """A size in bytes: `64KiB`, `32MiB`, `1GiB`, or a whole number of bytes."""
    match = _SIZE.fullmatch(str(value).strip()) if _is_text_or_int(value) else None
    if match is None:
        raise ValueError("is not a size; write 64KiB, 32MiB, 1GiB or a whole number of bytes")
    return int(match[1]) * _SIZE_UNITS[match[2] or "B"]


def format_size(size: int) -> str:
    """The shortest exact text that `parse_size` reads back as the same value."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _SIZE_UNITS[unit] == 0:
            return f"{size // _SIZE_UNITS[unit]}{unit}"
    return str(size)


def parse_switch(value: object) -> bool:
    """A switch: true, yes, on, 1 or false, no, off, 0; anything else is refused."""
    if isinstance(value, bool):
        return value
    switch = _SWITCHES.get(str(value).strip().lower()) if _is_text_or_int(value) else None
    if switch is None:
        raise ValueError("is not a switch; write true or false")
    return switch


def parse_moment(value: object) -> int | Literal["now"] | None:
    """A point in time, epoch ms: RFC 3339 with an offset, a whole number of milliseconds, or `now`; None for nothing."""
    if value is None or value == "":
        return None
    if value == "now":
        return "now"
    if _is_text_or_int(value) and str(value).strip().isdecimal() and int(str(value)) <= _LAST_MS:
        moment_ms = int(str(value))
        if 0 < moment_ms < _FIRST_MS:
            raise ValueError("is before 1973 in milliseconds since 1970; three zeros may be missing")
        return moment_ms
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or moment.timestamp() < 0:
        raise ValueError("is no point in time; write 2026-01-31T12:00:00Z, milliseconds since 1970, or now")
    return round(moment.timestamp() * 1_000)


def parse_first_moment(value: object) -> int:
    """The first time that is admitted, epoch ms: RFC 3339 with an offset from 1970 on, or a whole number of milliseconds."""
    if _is_text_or_int(value) and str(value).strip().isdecimal() and int(str(value)) <= _LAST_MS:
        if 0 < (moment_ms := int(str(value))) < FIRST_MS:
            raise ValueError(
                "is before 1973 in milliseconds since 1970; write it as 1970-01-31T12:00:00Z if that is meant"
            )
        return moment_ms
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or moment.timestamp() < 0:
        raise ValueError("is no point in time; write 1973-01-01T00:00:00Z, or 0 to admit all events from 1970 on")
    return round(moment.timestamp() * 1_000)


def format_moment(milliseconds: int) -> str:
    """RFC 3339 that `parse_first_moment` reads back as the same value."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z").replace(".000Z", "Z")


def parse_window_sizes(value: object) -> Sizes:
    """Window sizes as ("30s", 30000), ...: ascending, and each a multiple of the first, which is the base pane.

    A size keeps the name it was written with, because that name is part of every record key.
    """
    if isinstance(value, str):
        items: list[object] = [item.strip() for item in value.split(",")]
    elif isinstance(value, list | tuple) and value:
        items = [item[0] if isinstance(item, tuple) and len(item) == 2 else item for item in value]
    else:
        raise ValueError('is not a list of window sizes; write "30s,1m,5m"')
    sizes: Sizes = tuple(_window_size(item) for item in items)
    base_name, base_ms = sizes[0]
    for (name, size), (next_name, next_size) in pairwise(sizes):
        if next_size == size:
            raise ValueError(f"names {name} twice; leave one out")
        if next_size < size:
            raise ValueError(f"is not ascending: {next_name} comes after {name}; put the smaller size first")
    for name, size in sizes[1:]:
        if size % base_ms:
            raise ValueError(
                f"{name} is not a multiple of the base pane {base_name}; choose multiples of {base_name}, or a smaller"
                " first size that divides all others"
            )
    return sizes


def parse_ratio_or_off(value: object) -> float | None:
    """A share from 0 to 1; None for `off`, `none` or nothing."""
    if value is None or (isinstance(value, str) and value.strip().lower() in {"off", "none", ""}):
        return None
    try:
        ratio = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise ValueError("is not a ratio; write a number from 0 to 1 such as 0.05, or off")
    return ratio


def parse_host_port(value: str) -> str:
    """`host:port`, with an IPv6 address in brackets."""
    match = _HOST_PORT.fullmatch(value.strip())
    if match is None or int(match[2]) > 65_535:
        raise ValueError("is not an address; write host:port, for example 127.0.0.1:9092 or [::1]:9092")
    return match[0]


def parse_host_port_or_off(value: str) -> str:
    """The same, or nothing."""
    return parse_host_port(value) if value.strip() else ""


def split_host_port(address: str) -> tuple[str, int]:
    """The two halves of a valid `host:port`, the brackets of an IPv6 address removed."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def parse_topic_name(value: str) -> str:
    """A name Kafka accepts for a topic, a group or a transactional id of ours."""
    if not _TOPIC_NAME.fullmatch(value) or value in {".", ".."}:
        raise ValueError("is not a legal Kafka name; use 1..249 of A-Z a-z 0-9 . _ -")
    return value


def _is_text_or_int(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _window_size(item: object) -> tuple[str, int]:
    try:
        size = parse_duration(item)
    except ValueError as error:
        raise ValueError(f"{item!r} {error}") from error
    if size == 0:
        raise ValueError("a window of size 0 holds nothing; leave it out")
    text = str(item).strip()
    return (format_duration(size) if text.isdigit() else text.replace(" ", "")), size


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("is not a number; write a number")
    return value


def _positive(value: int) -> int:
    if value <= 0:
        raise ValueError("must be longer than 0")
    return value


DurationMs = Annotated[int, BeforeValidator(parse_duration)]
PositiveDurationMs = Annotated[int, BeforeValidator(parse_duration), AfterValidator(_positive)]
ByteSize = Annotated[int, BeforeValidator(parse_size), Field(ge=1, le=2**31 - 1)]
FirstMoment = Annotated[int, BeforeValidator(parse_first_moment)]
Moment = Annotated[int | Literal["now"] | None, BeforeValidator(parse_moment)]
RatioOrOff = Annotated[float | None, BeforeValidator(parse_ratio_or_off)]
Switch = Annotated[bool, BeforeValidator(parse_switch)]
WindowSizes = Annotated[Sizes, BeforeValidator(parse_window_sizes)]
HostPort = Annotated[str, AfterValidator(parse_host_port)]
HostPortOrOff = Annotated[str, AfterValidator(parse_host_port_or_off)]
TopicName = Annotated[str, AfterValidator(parse_topic_name)]
Count = Annotated[int, BeforeValidator(_number), Field(ge=1, le=2**31 - 1)]
CountOrZero = Annotated[int, BeforeValidator(_number), Field(ge=0, le=2**31 - 1)]
Points = Annotated[float, BeforeValidator(_number), Field(ge=0, le=100)]
