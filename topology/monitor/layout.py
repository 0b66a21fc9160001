"""Which columns a terminal of some width has room for. A number never gives way to a name."""

from collections.abc import Sequence
from dataclasses import dataclass

_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
# Between columns.
_GAP = 2
_LEAST_NAME, _MOST_NAME = 14, 48
_LEAST_ALERTS = 12


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `width` characters, or what is left where it is 0; shown from terminals of `from_width` on."""

    name: str
    width: int
    from_width: int = 0
    right: bool = True


NUMBERS = (
    Column("req/s", 9),
    Column("error %", 7),
    Column("p50 ms", 7, from_width=100),
    Column("p95 ms", 7),
    Column("p99 ms", 7, from_width=90),
)
HEALTH = Column("health", 8, right=False)
SINCE = Column("since", 8, from_width=120)
AGE = Column("age", 6)


def columns_for(width: int, names: Sequence[str]) -> list[Column]:
    """The columns of a table; the last one is `alerts`.

    Args:
        width: of the terminal, in characters.
        names: of the modules, for the width of theirs.
    """
    fixed = [column for column in (*NUMBERS, HEALTH, SINCE, AGE) if width >= column.from_width]
    taken = sum(column.width + _GAP for column in fixed)
    longest = max(map(len, names), default=_LEAST_NAME)
    room = width - taken - _GAP - 1
    name = max(_LEAST_NAME, min(longest, _MOST_NAME, room - _LEAST_ALERTS))
    alerts = max(0, room - name)
    return [Column("module", name, right=False), *fixed, Column("alerts", alerts, right=False)]


def shortened(text: str, width: int) -> str:
    """A text cut in its middle, for both ends of a name tell it from others."""
    if len(text) <= width:
        return text
    if width <= 1:
        return text[:width]
    front = (width - 1) // 2
    return text[:front] + _ELLIPSIS + text[len(text) - (width - 1 - front) :]


def first_and_more(names: Sequence[str], width: int) -> str:
    """As many names as fit, and how many more there are: `ErrorBurst +2`."""
    for count in range(len(names), 0, -1):
        more = f" +{len(names) - count}" if count < len(names) else ""
        text = ", ".join(names[:count]) + more
        if len(text) <= width:
            return text
    if not names:
        return ""
    more = f" +{len(names) - 1}" if len(names) > 1 else ""
    return shortened(names[0], max(1, width - len(more))) + more
