"""Small bad payloads for synthetic traffic: what confused senders really send. None holds a line break.

Each maker gets a good event's bytes and returns a value that the worker must refuse for the reason named here.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

Reason = Literal["undecodable", "invalid", "future_timestamp"]


class BadKind(NamedTuple):
    """One way to be wrong.

    Attributes:
        name: as it appears in summaries.
        reason: what the dead letter must say.
        make: from a good event's bytes to the bad ones.
    """

    name: str
    reason: Reason
    make: Callable[[bytes], bytes]


BAD_KINDS: tuple[BadKind, ...] = (
    BadKind("truncated", "undecodable", lambda good: good[:-9]),
    BadKind("trailing_garbage", "undecodable", lambda good: good + b" garbage"),
    BadKind("plain_text", "undecodable", lambda good: b"checkout answered in 12 ms"),
    BadKind("nan", "undecodable", lambda good: _with(good, b'"response_time_ms":NaN')),
    BadKind("not_utf8", "undecodable", lambda good: _with(good, b'"module_id":"check\xffout"')),
    BadKind("empty_object", "invalid", lambda good: b"{}"),
    BadKind("array", "invalid", lambda good: b"[" + good + b"]"),
    BadKind("wrong_case", "invalid", lambda good: good.replace(b'"success"', b'"Success"')),
    BadKind("success_text", "invalid", lambda good: _with(good, b'"success":"true"')),
    BadKind("negative_time", "invalid", lambda good: _with(good, b'"response_time_ms":-1')),
    BadKind("control_in_id", "invalid", lambda good: _with(good, b'"module_id":"check\\u0007out"')),
    BadKind("time_without_zone", "invalid", lambda good: _with(good, b'"timestamp":"2026-06-01T12:00:00"')),
    BadKind("gauge_fraction", "invalid", lambda good: _with(good, b'"goroutines":1.5')),
    BadKind("year_2100", "future_timestamp", lambda good: _with(good, b'"timestamp":4102444800000')),
)


def _with(good: bytes, member: bytes) -> bytes:
    """The event with one member more; of two members with one name a JSON reader takes the last."""
    return good[:-1] + b"," + member + b"}"
