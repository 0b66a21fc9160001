"""What each partition's task tells the system task: one mergeable partial per window, and how far it is."""

import msgspec
from msgspec import Struct


class SystemPartial(Struct, frozen=True, tag="partial", gc=False):
    """All modules of one partition in one window; the newest one of a (partition, window) replaces the others.

    Attributes:
        sum, squares: exact sums of response times, fixed point with 64 fraction bits, as hexadecimal text.
        bins, counts: the merged sketch, little-endian int32 bins (offset as in pipeline/sketch) and int64 counts.
        degraded, critical: modules by class. degraded_requests, critical_requests: the requests they served.
        weighted_score: sum of score * requests over the modules.
        memory_bytes, goroutines, db_connections: sums of last values, None when no module sent any.
        cpu_percent, cpu_modules: sum of last values and how many modules sent one.
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


class PartitionReport(Struct, frozen=True, tag="report", gc=False):
    """How far a partition's task is. An idle partition (read to its end and silent) does not hold the system back."""

    v: int
    partition: int
    partitions_expected: int
    stream_ms: int | None
    idle: bool


class ModulesSeen(Struct, frozen=True, tag="seen", gc=False):
    """The modules of one chunk of a partition's registry, so that one that lives in two partitions is found out."""

    v: int
    partition: int
    chunk: int
    ids: list[str]


PartialRecord = SystemPartial | PartitionReport | ModulesSeen

encode_partial = msgspec.msgpack.Encoder().encode
decode_partial = msgspec.msgpack.Decoder(PartialRecord).decode


def partial_key(record: PartialRecord) -> bytes:
    """Records of one key replace each other."""
    if isinstance(record, PartitionReport):
        return f"report|{record.partition}".encode()
    if isinstance(record, ModulesSeen):
        return f"seen|{record.partition}|{record.chunk}".encode()
    return f"partial|{record.size_ms}|{record.start_ms}|{record.partition}".encode()


class SystemWindowState(Struct, frozen=True, gc=False):
    """What the system task published of one window (changelog key `window|size_ms|start_ms`).

    Attributes:
        final: whether the final record went out, or the window opened only after its close.
        owed: whether partials came in that no record shows yet.
        expected, seen: completeness in the newest record, 0 before the first.
    """

    v: int
    revision: int
    final: bool
    owed: bool
    expected: int
    seen: int


encode_window = msgspec.msgpack.Encoder().encode
decode_window = msgspec.msgpack.Decoder(SystemWindowState).decode


def window_key(size_ms: int, start_ms: int) -> bytes:
    """The changelog key of a system window."""
    return f"window|{size_ms}|{start_ms}".encode()
