"""Decode a whole batch: each record stands alone, so a bad one costs its neighbours nothing.

One decoder call per record through `map` measured as fast as one call for the joined batch (0.72 and 0.83 us an event), and
no byte of one record can ever complete or break another.
"""

import base64
from collections.abc import Iterator, Sequence

import msgspec

from pipeline.ingest.batch import RecordBatch
from schemas.errors import PoisonRecord
from schemas.events import CloudEvent, ModuleLogEvent

_decode_event = msgspec.json.Decoder(ModuleLogEvent).decode
_decode_envelope = msgspec.json.Decoder(CloudEvent).decode
# What the decoder really raises: its own tree, and two builtins for bad UTF-8 inside a field and for absurd nesting.
DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

CONFLUENT_MAGIC = b"\x00"
CONFLUENT_FRAME_BYTES = 5
MAX_MESSAGE_CHARS = 300


def poison(error: Exception) -> PoisonRecord:
    """Name a decoder error in the contract's words."""
    reason = "invalid" if isinstance(error, msgspec.ValidationError) else "undecodable"
    text = str(error) or type(error).__name__
    return PoisonRecord(reason, "".join(c if c.isprintable() else "?" for c in text[:MAX_MESSAGE_CHARS]))


def decode_batch(
    batch: RecordBatch, max_record_bytes: int
) -> tuple[list[ModuleLogEvent], list[tuple[int, PoisonRecord]]]:
    """Decode every record.

    Returns:
        The events in order, and (index, why) of each record that is none. An event's index in the batch is found by
        leaving those indices out.
    """
    values = batch.values
    events: list[ModuleLogEvent] = []
    bad: list[tuple[int, PoisonRecord]] = []
    too_large = set(batch.above(max_record_bytes).tolist())
    if not too_large and None not in values:
        rest: Iterator[bytes] = iter(values)  # type: ignore[arg-type]
        while True:
            try:
                # list.extend keeps what came before an error, and `rest` stands behind the record that raised it.
                events.extend(map(_decode_event, rest))
            except DECODE_ERRORS as error:
                _retry(batch, len(events) + len(bad), error, events, bad)
            else:
                return events, bad
    for index, value in enumerate(values):
        if index in too_large:
            text = f"key, value and headers are larger than limits.max_record_bytes = {max_record_bytes}"
            bad.append((index, PoisonRecord("too_large", text)))
        elif value is None:
            bad.append((index, PoisonRecord("undecodable", "the record has no value (a tombstone)")))
        else:
            try:
                events.append(_decode_event(value))
            except DECODE_ERRORS as error:
                _retry(batch, index, error, events, bad)
    return events, bad


def _retry(
    batch: RecordBatch, index: int, error: Exception, events: list[ModuleLogEvent], bad: list[tuple[int, PoisonRecord]]
) -> None:
    """A record that is no plain event may still be a framed or an enveloped one."""
    value = batch.values[index] or b""
    try:
        if value.startswith(CONFLUENT_MAGIC):
            events.append(_decode_event(value[CONFLUENT_FRAME_BYTES:]))
        elif _is_structured(batch, index):
            events.append(_decode_event(_event_of_envelope(value)))
        else:
            bad.append((index, poison(error)))
    except DECODE_ERRORS as inner:
        bad.append((index, poison(inner)))
    except PoisonRecord as inner:
        bad.append((index, inner))


def _is_structured(batch: RecordBatch, index: int) -> bool:
    """CloudEvents' Kafka binding: structured mode is told by the content type alone."""
    return any(
        name.lower() == "content-type" and (content or b"").lower().startswith(b"application/cloudevents")
        for name, content in batch.headers[index]
    )


def _event_of_envelope(value: bytes) -> bytes | msgspec.Raw:
    envelope = _decode_envelope(value)
    if envelope.data:
        return envelope.data
    if envelope.data_base64 is None:
        raise PoisonRecord("invalid", "the CloudEvents envelope has neither `data` nor `data_base64`")
    try:
        return base64.b64decode(envelope.data_base64, validate=True)
    except ValueError as error:  # binascii.Error is one; text beyond ASCII raises the plain one
        raise PoisonRecord("undecodable", f"data_base64: {error}") from error


def good_indices(size: int, bad: list[tuple[int, PoisonRecord]]) -> Sequence[int]:
    """The indices of the records that became events."""
    if not bad:
        return range(size)
    out = {index for index, _ in bad}
    return [index for index in range(size) if index not in out]
