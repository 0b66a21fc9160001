"""The rules of an event that go beyond its types: characters of ids, labels, and times with their unit."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from schemas.errors import PoisonRecord
from schemas.events import ModuleLogEvent

# Controls that reorder text (Unicode UAX 9): a name holding one can be shown as another name.
BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# What leaves no ink: spaces, marks of width zero, and fillers. A name of nothing else is a row without a name.
BLANKS = (
    "\u0020\u00a0\u00ad\u034f\u115f\u1160\u1680\u17b4\u17b5\u180e\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u200b\u200c\u200d\u2028\u2029\u202f\u205f\u2060\u2061\u2062\u2063\u2064\u2800\u3000\u3164\ufeff\uffa0"
)

# A stamp counts in the unit in which it lies between 1973 and 4970: each unit ends where the next one begins.
FIRST_MS = 94_694_400_000
FIRST_SECOND = FIRST_MS // 1_000
FIRST_MICROSECOND = FIRST_MS * 1_000
FIRST_NANOSECOND = FIRST_MS * 1_000_000
# The date of a text counts as it is written, so its moment may lie so much before or after.
LARGEST_OFFSET_MS = 86_400_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_Rfc3339 = Annotated[datetime, msgspec.Meta(tz=True)]
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EventRules:
    """What the configuration decides of an event (`limits`, `windows.min_timestamp`).

    Attributes:
        max_record_bytes: largest key, value and headers.
        max_labels: most labels.
        max_label_key_chars: longest label name.
        max_label_value_chars: longest label value.
        min_timestamp_ms: the first time of an event.
    """

    max_record_bytes: int = 65_536
    max_labels: int = 32
    max_label_key_chars: int = 64
    max_label_value_chars: int = 256
    min_timestamp_ms: int = FIRST_MS


def id_fault(module_id: str) -> str | None:
    """Why this module id must be refused, or None. Length is the type's business."""
    if not module_id.strip(BLANKS):
        return "module_id is blank"
    if module_id.isprintable():  # neither a control nor a mark of format is
        return None
    for character in module_id:
        if unicodedata.category(character) == "Cc":
            return f"module_id holds the control character U+{ord(character):04X}"
        if character in BIDI_CONTROLS:
            return f"module_id holds the bidirectional control U+{ord(character):04X}"
    return None


def label_fault(labels: Mapping[str, str], rules: EventRules) -> str | None:
    """Why these labels must be refused, or None."""
    if not labels:
        return None
    if len(labels) > rules.max_labels:
        return f"{len(labels)} labels; limits.max_labels allows {rules.max_labels}"
    if max(map(len, labels)) > rules.max_label_key_chars:
        return f"a label name is longer than limits.max_label_key_chars = {rules.max_label_key_chars}"
    if max(map(len, labels.values())) > rules.max_label_value_chars:
        return f"a label value is longer than limits.max_label_value_chars = {rules.max_label_value_chars}"
    return None


def parse_timestamp(text: str) -> int:
    """RFC 3339 to epoch ms (rounded down).

    Raises:
        PoisonRecord: not RFC 3339, without an offset, or before 1970.
    """
    return _moment(text)[0]


def event_time(stamp: int | str, rules: EventRules) -> int:
    """The time of an event, epoch ms.

    Raises:
        PoisonRecord: the stamp is of another unit, too old, or no RFC 3339 text.
    """
    if isinstance(stamp, str):
        moment_ms, written_ms = _moment(stamp)
        # As it is written, so that the published pattern can say the same without arithmetic.
        if (written_ms if rules.min_timestamp_ms else moment_ms) < rules.min_timestamp_ms:
            raise PoisonRecord("invalid", f"timestamp {stamp[:40]!r} lies before {_least(rules)}")
        return moment_ms
    if fault := unit_fault(stamp, rules):
        raise PoisonRecord("invalid", fault)
    return stamp


def unit_fault(stamp: float, rules: EventRules) -> str | None:
    """What is wrong with a number as epoch ms, or None: nearly always its unit."""
    if stamp >= FIRST_NANOSECOND:
        return f"timestamp {stamp} is in nanoseconds; send epoch milliseconds"
    if stamp >= FIRST_MICROSECOND:
        return f"timestamp {stamp} is in microseconds; send epoch milliseconds"
    if stamp >= rules.min_timestamp_ms:
        return None
    if FIRST_SECOND <= stamp < FIRST_MS:
        return f"timestamp {stamp} is in seconds; send epoch milliseconds"
    return f"timestamp {stamp} lies before {_least(rules)}; send epoch milliseconds"


def event_fault(event: ModuleLogEvent, rules: EventRules) -> PoisonRecord | None:
    """Why a decoded event must be refused, or None; the clock's part (`future_timestamp`) is the worker's."""
    fault = id_fault(event.module_id) or label_fault(event.labels or {}, rules)
    if fault is not None:
        return PoisonRecord("invalid", fault)
    try:
        event_time(event.timestamp, rules)
    except PoisonRecord as error:
        return error
    return None


def _least(rules: EventRules) -> str:
    moment = _EPOCH + timedelta(milliseconds=rules.min_timestamp_ms)
    return f"windows.min_timestamp = {moment.isoformat().replace('+00:00', 'Z')}"


def _moment(text: str) -> tuple[int, int]:
    """The moment of RFC 3339 text, epoch ms, and what it would be without the offset."""
    # The converter takes a little more (as ISO 8601 does), and rounds fractions: they are cut off here.
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise PoisonRecord("invalid", f"timestamp {text[:40]!r} is not RFC 3339 with an offset (2026-01-31T12:00:00Z)")
    try:
        moment = msgspec.convert(match[1] + match[3], _Rfc3339)
    except msgspec.ValidationError as error:
        if match[1].endswith(":60"):
            why = "names second 60; send 59 for a leap second"
        else:
            why = "names a date, a time or an offset that is none"
        raise PoisonRecord("invalid", f"timestamp {text[:40]!r} {why}") from error
    delta = moment - _EPOCH
    if delta.days < 0:
        raise PoisonRecord("invalid", f"timestamp {text[:40]!r} lies before 1970")
    fraction = int((match[2] or "0")[:3].ljust(3, "0"))
    offset = moment.utcoffset() or timedelta()
    moment_ms = (delta.days * 86_400 + delta.seconds) * 1_000 + fraction
    return moment_ms, moment_ms + round(offset.total_seconds()) * 1_000
