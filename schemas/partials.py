"""What each partition's task tells the system task: one mergeable partial per window, and how far it is.

These records travel between tasks that may be of different builds, so they stay of version 1: new fields have defaults, and older
builds overlook them. The checksum is one of them; a record of an older build has none.
"""

import msgspec
from msgspec import Struct

from schemas.checksum import (
    NO_CHECK,
    PLACE_OF_CHECK,
    UNREADABLE,
    checksum_holds,
    damaged,
    require_known,
    unknown_version,
    with_checksum,
)
from schemas.errors import StateIncompatible

PARTIAL_VERSION = 1
WINDOW_VERSION = 2


class SystemPartial(Struct, frozen=True, tag="partial", gc=False):
    """All modules of one partition in one window; the newest one of a (partition, window) replaces the others.

    Attributes:
        sum, squares: exact sums of response times, fixed point with 64 fraction bits, as hexadecimal text.
        bins, counts: the merged sketch, little-endian int32 bins (offset as in pipeline/sketch) and int64 counts.
        degraded, critical: modules by class. degraded_requests, critical_requests: the requests they served.
        weighted_score: sum of score * requests over the modules.
        memory_bytes, goroutines, db_connections: sums of last values, None when no module sent any.
        cpu_percent, cpu_modules: sum of last values and how many modules sent one. cpu_scale: the sum is `cpu_percent` times
            two to that power.
        squares_rest: the next 64 fraction bits of `squares`, as hexadecimal text.
        silent: modules of the partition that are silent, at the window's close where it is final.
        known: in the partial of a window without a request: whether the partition knows modules.
        check: the checksum.

    A partial without a request and without known modules says that the partition has no module in the window any more.
    """

    v: int
    partition: int
    window: str
    size_ms: int
    start_ms: int
    final: bool
    modules: int
    degraded: int
    critical: int
    requests: int
    successes: int
    degraded_requests: int
    critical_requests: int
    weighted_score: float
    sum: str
    squares: str
    minimum: float
    maximum: float
    bins: bytes
    counts: bytes
    memory_bytes: int | None
    goroutines: int | None
    db_connections: int | None
    cpu_percent: float
    cpu_modules: int
    cpu_scale: int = 0
    squares_rest: str = "0x0"
    silent: int = 0
    known: bool = False
    check: bytes = NO_CHECK

    @property
    def speaks(self) -> bool:
        """Whether the partition has anything to say of the window."""
        return self.requests > 0 or self.known


class PartitionReport(Struct, frozen=True, tag="report"):
    """How far a partition's task is. An idle partition (read to its end and silent) does not hold the system back.

    Attributes:
        whole_from_ms: per window size (ms) that the task has, from which start on its windows are whole; None from an older
            build.
        check: the checksum.
    """

    v: int
    partition: int
    partitions_expected: int
    stream_ms: int | None
    idle: bool
    whole_from_ms: dict[int, int] | None = None
    check: bytes = NO_CHECK


class ModulesSeen(Struct, frozen=True, tag="seen", gc=False):
    """The modules of one chunk of a partition's registry, so that one that lives in two partitions is found out."""

    v: int
    partition: int
    chunk: int
    ids: list[str]
    check: bytes = NO_CHECK


PartialRecord = SystemPartial | PartitionReport | ModulesSeen


def partial_key(record: PartialRecord) -> bytes:
    """Records of one key replace each other."""
    if isinstance(record, PartitionReport):
        return f"report|{record.partition}".encode()
    if isinstance(record, ModulesSeen):
        return f"seen|{record.partition}|{record.chunk}".encode()
    return f"partial|{record.size_ms}|{record.start_ms}|{record.partition}".encode()


def encode_partial(record: PartialRecord) -> bytes:
    """Encode a record for the system task, with its checksum."""
    return with_checksum(partial_key(record), _encode(msgspec.structs.replace(record, check=PLACE_OF_CHECK)))


def decode_partial(value: bytes, place: str) -> PartialRecord:
    """The inverse of `encode_partial`, and what older builds wrote.

    Args:
        value: the record's bytes.
        place: where it stood, for messages.

    Raises:
        StateIncompatible: it is none of these records, of a newer version, or damaged.
    """
    try:
        record: PartialRecord = _decode(value)
    except UNREADABLE as error:
        raise StateIncompatible(
            f"{place} is neither a partial nor a report ({error}): restore the topic, or choose a new application_id"
        ) from error
    if record.v != PARTIAL_VERSION:
        raise StateIncompatible(
            f"{place} is of version {record.v}, this build reads version {PARTIAL_VERSION}: go back to the build that wrote it,"
            " or choose a new application_id"
        )
    if record.check and not checksum_holds(partial_key(record), value):
        raise StateIncompatible(
            f"{place} is damaged (its checksum is wrong): restore the topic, or choose a new application_id"
        )
    return record


class SystemWindowState(Struct, frozen=True, gc=False):
    """What the system task published of one window (changelog key `window|size_ms|start_ms`).

    Attributes:
        revision: of the newest record, 0 before the first.
        final: whether the final record went out, or the window opened only after its close.
        owed: whether partials came in that no record shows yet.
        expected, seen: completeness in the newest record, 0 before the first.
        since_ms: `health_since` in the newest record.
        check: the checksum.
    """

    v: int
    revision: int
    final: bool
    owed: bool
    expected: int
    seen: int
    since_ms: int | None = None
    check: bytes = NO_CHECK


def window_key(size_ms: int, start_ms: int) -> bytes:
    """The changelog key of a system window."""
    return f"window|{size_ms}|{start_ms}".encode()


def encode_window(key: bytes, state: SystemWindowState) -> bytes:
    """Encode the state of a system window with its checksum."""
    return with_checksum(key, _encode(msgspec.structs.replace(state, check=PLACE_OF_CHECK)))


def decode_window(key: bytes, value: bytes) -> SystemWindowState:
    """The inverse of `encode_window`; also reads version 1.

    Raises:
        StateIncompatible: a newer build wrote the record, or the record is damaged.
    """
    try:
        version = _version_of(value).v
        if version > WINDOW_VERSION:
            raise unknown_version(key, version, WINDOW_VERSION)
        state = _decode_window(value)
    except UNREADABLE as error:
        raise damaged(key, error) from error
    require_known(key, value, state.v, state.check, WINDOW_VERSION)
    return state


class _Version(Struct):
    v: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(PartialRecord).decode
_decode_window = msgspec.msgpack.Decoder(SystemWindowState).decode
_version_of = msgspec.msgpack.Decoder(_Version).decode
