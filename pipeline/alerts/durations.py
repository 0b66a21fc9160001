"""Durations as people write them in rule files and read them in reasons: `30s`, `2m`, `1h30m`."""

import re
from datetime import UTC, datetime

_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))
_DURATION = re.compile("".join(rf"(?:(\d{{1,9}}){unit})?" for unit, _ in _UNITS), re.ASCII)


def parse_duration_ms(text: str) -> int:
    """Milliseconds of a duration such as `2m` or `1h30m` (units d, h, m, s, ms, in that order).

    Raises:
        ValueError: anything else, a bare number included.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError(f"{text!r} is not a duration; write it like 30s, 2m or 1h30m")
    return sum(int(count) * ms for count, (_, ms) in zip(match.groups("0"), _UNITS, strict=True))


def format_duration(ms: int) -> str:
    """The shortest text that `parse_duration_ms` reads back."""
    parts: list[str] = []
    for unit, size in _UNITS:
        count, ms = divmod(ms, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def format_utc(time_ms: int) -> str:
    """A time for people, in UTC; a time that no calendar has stays a number."""
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"
