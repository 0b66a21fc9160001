"""What a record takes along when it is forwarded: where it came in, when, and with which key, so that a later letter can say so.

These headers are the last ones of a forwarded record, in one order. What a sender wrote under the same names stands before them
and means nothing.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from pipeline.outputs import Header

FORWARDED_FROM = "modpulse.forwarded.from"
FORWARDED_TIMESTAMP = "modpulse.forwarded.timestamp"
FORWARDED_KEY = "modpulse.forwarded.key"
_INTEGER = re.compile(rb"-?\d{1,19}")


class Place(NamedTuple):
    """Where a record came in."""

    topic: str
    partition: int
    offset: int


def trace(topic: str, partition: int, offset: int, timestamp_ms: int, key: bytes | None, home: str) -> list[Header]:
    """The headers of a record that is sent on to a module's home; its key is said where it is not the module's id."""
    said: list[Header] = [
        (FORWARDED_FROM, f"{topic}/{partition}/{offset}".encode()),
        (FORWARDED_TIMESTAMP, b"%d" % timestamp_ms),
    ]
    return said if key == home.encode() else [*said, (FORWARDED_KEY, key)]


def own_headers(headers: Sequence[Header]) -> Sequence[Header]:
    """Those it came in with."""
    return headers[: _begin(headers)]


def first_place(headers: Sequence[Header]) -> Place | None:
    """Where it came in; None where nothing says so."""
    said = dict(headers[_begin(headers) :]).get(FORWARDED_FROM) or b""
    topic, _, numbers = said.decode(errors="replace").partition("/")
    partition, _, offset = numbers.partition("/")
    found = partition.isdecimal() and offset.isdecimal()
    return Place(topic, int(partition), int(offset)) if found else None


def first_timestamp(headers: Sequence[Header], timestamp_ms: int) -> int:
    """The timestamp it came in with; its own, where nothing says so, is that of the second hop."""
    said = dict(headers[_begin(headers) :]).get(FORWARDED_TIMESTAMP) or b""
    return int(said) if _INTEGER.fullmatch(said) else timestamp_ms


def original_key(headers: Sequence[Header], key: bytes | None) -> bytes | None:
    """The key it came in with: its own, where nothing says otherwise."""
    return dict(headers[_begin(headers) :]).get(FORWARDED_KEY, key)


def _begin(headers: Sequence[Header]) -> int:
    """The index of the first of our headers; behind the last one where there are none."""
    places = range(len(headers) - 1, -1, -1)
    return next((place for place in places if headers[place][0] == FORWARDED_FROM), len(headers))
