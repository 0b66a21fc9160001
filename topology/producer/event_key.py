"""Which key and which partition a line of events gets: one rule for `publish` and `replay`, so both see the same order.

The key is the line's `module_id`; a line that names no module gets no key and goes to partition 0, where the
worker's dead letters take it.
"""

from typing import Annotated

import msgspec

from pipeline.partitioner import partition_of
from schemas.errors import PoisonRecord
from schemas.valid.reading import read_event
from schemas.valid.words import DECODE_ERRORS

KEYLESS_PARTITION = 0


class _Keyed(msgspec.Struct, frozen=True, gc=False):
    module_id: Annotated[str, msgspec.Meta(min_length=1)]


_decode = msgspec.json.Decoder(_Keyed).decode


def key_of(line: bytes) -> bytes | None:
    """The record key of a line; None when it names no module."""
    try:
        return _decode(line).module_id.encode()
    except DECODE_ERRORS:
        pass
    try:
        return read_event(line).module_id.encode()  # in a frame, in an envelope, or in an unusual notation
    except PoisonRecord:
        return None


def partition_for(key: bytes | None, partitions: int) -> int:
    """Kafka's default partition of the key; of no key always the same one, so that a replay can repeat it."""
    return KEYLESS_PARTITION if key is None else partition_of(key, partitions)
