"""From bytes to an event: plain JSON, behind a Confluent frame, or in a CloudEvents envelope."""

import base64
import re
from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from schemas.errors import PoisonRecord
from schemas.events import MAX_GAUGE, CloudEvent, EpochMs, Gauge, ModuleLogEvent, Rfc3339
from schemas.valid.rules import EventRules, event_fault, unit_fault
from schemas.valid.words import DECODE_ERRORS, poison

CONFLUENT_MAGIC = b"\x00"
CONFLUENT_FRAME_BYTES = 5

# A pair of halves, half a pair, or any other escape: so a backslash that is itself escaped begins nothing.
_HALF = re.compile(
    rb"\\(?:u[Dd][89ABab][0-9A-Fa-f]{2}\\u[Dd][C-Fc-f][0-9A-Fa-f]{2}|u([Dd][89A-Fa-f][0-9A-Fa-f]{2})|.)", re.DOTALL
)
# As long as what they stand for, so that positions in messages stay true.
_FILLERS = (b"\\u0041", b"\\ufffd")

_AnyNumber = Annotated[float, Meta(ge=0, le=float(MAX_GAUGE))]
_WHOLE_FIELDS = ("timestamp", "memory_bytes", "goroutines", "db_connections")


class _Loose(ModuleLogEvent, frozen=True, gc=False, kw_only=True):
    """An event whose integers may be written with a point or an exponent, as JSON Schema allows."""

    timestamp: EpochMs | _AnyNumber | Rfc3339  # type: ignore[assignment]
    memory_bytes: Gauge | _AnyNumber | None = None  # type: ignore[assignment]
    goroutines: Gauge | _AnyNumber | None = None  # type: ignore[assignment]
    db_connections: Gauge | _AnyNumber | None = None  # type: ignore[assignment]


class _Probe(Struct):
    specversion: Raw = Raw()
    data: Raw = Raw()
    data_base64: Raw = Raw()


decode_event = msgspec.json.Decoder(ModuleLogEvent).decode
_decode_loose = msgspec.json.Decoder(_Loose).decode
_decode_envelope = msgspec.json.Decoder(CloudEvent).decode
_decode_probe = msgspec.json.Decoder(_Probe).decode


def valid_event(value: bytes, rules: EventRules, *, structured: bool = False) -> ModuleLogEvent:
    """The event of one value, by every rule but the clock's; `structured`: the content type says that it is an envelope.

    Raises:
        PoisonRecord: the value is none.
    """
    if len(value) > rules.max_record_bytes:
        raise PoisonRecord("too_large", too_large(rules))
    event = read_event(value, structured=structured)
    if fault := event_fault(event, rules):
        raise fault
    return event


def too_large(rules: EventRules) -> str:
    """What is said of a record above the limit."""
    return f"key, value and headers are larger than limits.max_record_bytes = {rules.max_record_bytes}"


def read_event(value: bytes, *, structured: bool = False) -> ModuleLogEvent:
    """Decode one value.

    Raises:
        PoisonRecord: the value is no event.
    """
    try:
        return decode_event(value)
    except DECODE_ERRORS:
        return read_odd(value, structured=structured)


def read_odd(value: bytes, *, structured: bool) -> ModuleLogEvent:
    """Decode a value that `decode_event` refused: in another notation, behind a frame, in an envelope.

    Raises:
        PoisonRecord: the value is no event in any of these ways.
    """
    where = ""
    if value.startswith(CONFLUENT_MAGIC):
        where, value = "behind the Confluent frame: ", value[CONFLUENT_FRAME_BYTES:]
    try:
        return _read(value, where)
    except PoisonRecord:
        if not (structured or _is_envelope(value)):
            raise
    where += "in the CloudEvents envelope: "
    if half := _half(value):
        return _without_halves(value, half, lambda whole: _read(_event_of(whole, where), where))
    return _read(_event_of(value, where), where)


def _read(value: bytes, where: str) -> ModuleLogEvent:
    try:
        return decode_event(value)
    except DECODE_ERRORS as error:
        if half := _half(value):
            return _without_halves(value, half, lambda whole: _read(whole, where))
        if not isinstance(error, msgspec.ValidationError):
            raise poison(error, value, where) from error
    try:
        return _tightened(_decode_loose(value))
    except DECODE_ERRORS as error:
        raise poison(error, value, where) from error


def _is_envelope(value: bytes) -> bool:
    """CloudEvents' binding tells structured mode by the content type; many bridges lose it, so the members tell too."""
    try:
        probe = _decode_probe(_filled(value, _FILLERS[0]))
    except DECODE_ERRORS:
        return False
    return bool(probe.specversion and (probe.data or probe.data_base64))


def _event_of(value: bytes, where: str) -> bytes:
    try:
        envelope = _decode_envelope(value)
    except DECODE_ERRORS as error:
        raise poison(error, value, where) from error
    if envelope.data:
        return bytes(envelope.data)
    if envelope.data_base64 is None:
        raise PoisonRecord("invalid", "the CloudEvents envelope has neither `data` nor `data_base64`")
    try:
        return base64.b64decode(envelope.data_base64, validate=True)
    except ValueError as error:  # binascii.Error is one; text beyond ASCII raises the plain one
        raise PoisonRecord("undecodable", "data_base64 of the CloudEvents envelope is no base64") from error


def _tightened(loose: _Loose) -> ModuleLogEvent:
    fields = {name: getattr(loose, name) for name in ModuleLogEvent.__struct_fields__}
    for name in _WHOLE_FIELDS:
        number = fields[name]
        if not isinstance(number, float):
            continue
        if not number.is_integer():
            # Seconds with a fraction are usual, milliseconds with one are not.
            fault = unit_fault(number, EventRules()) if name == "timestamp" else None
            raise PoisonRecord("invalid", fault or f"{name} {number!r} has a fraction; an integer is expected")
        if number > MAX_GAUGE:
            raise PoisonRecord("invalid", f"{name} is above {MAX_GAUGE}")
        fields[name] = int(number)
    return ModuleLogEvent(**fields)


def _half(value: bytes) -> str | None:
    """The first half of a surrogate pair that stands alone, as it is written, or None."""
    if b"\\" not in value:
        return None
    return next((f"\\u{match[1].decode()}" for match in _HALF.finditer(value) if match[1]), None)


def _filled(value: bytes, filler: bytes) -> bytes:
    return _HALF.sub(lambda match: filler if match[1] else match[0], value)


def _without_halves(value: bytes, half: str, read: Callable[[bytes], ModuleLogEvent]) -> ModuleLogEvent:
    """Half a surrogate pair in a field that nobody reads costs nothing; in one that counts it stands for no character."""
    one, other = (read(_filled(value, filler)) for filler in _FILLERS)
    for name in ModuleLogEvent.__struct_fields__:
        if getattr(one, name) != getattr(other, name):
            raise PoisonRecord("undecodable", f"{name} holds half of a surrogate pair ({half}), which is no character")
    return one
