"""What a task keeps in its changelog partition. Every record carries its version `v`; an unknown one is refused.

| key | value | written when |
|---|---|---|
| `sums|size_ms|start_ms|chunk` | `SumsChunk` | a base pane changed; a larger window took a sealed part in |
| `meta|size_ms|start_ms|chunk` | `MetaChunk` | a record of the window went out |
| `modules|chunk` | `ModulesChunk` | a module appeared, expired, was seen in a new pane or changed its health |
| `ids|pane_ms|sequence` | `IdSegment` | new event ids were remembered |
| `alert|fingerprint` | alert state (schemas/alert_state.py) | an alert changed |
| `partial|size_ms|start_ms|partition`, `report|partition`, `seen|partition|chunk` | as received | the system task got one |
| `window|size_ms|start_ms` | `SystemWindowState` | a system record went out |
| `position` | `Position` | always, last in the transaction |

A chunk holds the modules with codes [64 * chunk, 64 * chunk + 64). A tombstone ends a window, a segment or an alert.
Rules of change: new fields go last and have defaults; a field never changes its type; what cannot keep to this gets v + 1.
"""

import re
from typing import Any

import msgspec
from msgspec import Struct

from schemas.errors import StateIncompatible

POSITION_VERSION = 2
CHUNK_MODULES = 64
POSITION_KEY = b"position"


class SumsChunk(Struct, frozen=True, array_like=True, gc=False):
    """One chunk of one window, little endian, one column per code.

    Attributes:
        rows: how many int and float rows the layout has; other numbers mean another layout.
        codes: uint8, module code less the chunk's first.
        int_rows: uint8, which int rows follow (the others are zero). ints: int64, those rows.
        floats: float64, all float rows.
        cells: uint32, (code less the chunk's first) << 17 | bin, rising.
        count_bytes: width of a cell count (1, 2, 4 or 8). counts: unsigned, as many as cells.
    """

    v: int
    rows: tuple[int, int]
    codes: bytes
    int_rows: bytes
    ints: bytes
    floats: bytes
    cells: bytes
    count_bytes: int
    counts: bytes


class MetaChunk(Struct, frozen=True, array_like=True, gc=False):
    """What was published of one chunk of one window: int32 codes, int64 meta rows, float64 scores."""

    v: int
    rows: int
    final: bool
    codes: bytes
    meta: bytes
    scores: bytes


class ModulesChunk(Struct, frozen=True, array_like=True, gc=False):
    """One chunk of the module registry: ids by code, newest pane end of each, hysteresis states (sizes x modules)."""

    v: int
    codes: bytes
    ids: list[str]
    last_ms: bytes
    chains: bytes


class IdSegment(Struct, frozen=True, array_like=True, gc=False):
    """Event ids (64-bit hashes) first seen in one pane during one flush."""

    v: int
    ids: bytes


class Ledger(Struct, array_like=True, gc=False):
    """Where every consumed record of one source went. `consumed` equals the sum of the others."""

    consumed: int = 0
    applied: int = 0
    late: int = 0
    duplicate: int = 0
    invalid: int = 0
    future: int = 0
    forwarded: int = 0

    @property
    def balanced(self) -> bool:
        """Whether each record is in exactly one column."""
        parts = self.applied + self.late + self.duplicate + self.invalid + self.future + self.forwarded
        return self.consumed == parts


class ShellPosition(Struct, frozen=True, kw_only=True):
    """What the shell of a task keeps beside the core's state: how the task's place in its logs is known again.

    Attributes:
        topic_ids: the broker's id of each source and of the changelog, as text; a topic that was made anew has another one.
        lost: records per source that retention deleted before they were read.
        last_record_ms, stream_at_last_record_ms: wall clock and stream time at the newest processed record, so that silence
            counts on over a restart.
        changelog_begin: where the changelog began when an operator accepted that its head was lost.
    """

    topic_ids: dict[str, str] = {}
    lost: dict[str, int] = {}
    last_record_ms: int | None = None
    stream_at_last_record_ms: int | None = None
    changelog_begin: int = 0


class SystemPosition(Struct, frozen=True, kw_only=True):
    """What only the system task keeps.

    Attributes:
        floor_ms: end of the newest system window that was dropped; none that ends there or before opens again.
        dropped_open: windows dropped before their time, because too many were open.
        ignored_partials: partials that came for windows dropped before, or for a size that is not configured.
        last_larger_ms: wall clock at the newest provisional record of a larger size.
    """

    floor_ms: int | None = None
    dropped_open: int = 0
    ignored_partials: int = 0
    last_larger_ms: int | None = None


class Position(Struct, frozen=True, kw_only=True):
    """Where a task stands: everything before `offsets` is in the state and in the outputs, nothing after is.

    Attributes:
        sizes: window sizes (ms) by name that the state was made with.
        relative_error: accuracy of the sketches in the state.
        partitions: partition count of the input when the state was made.
        offsets: next offset to read, per source topic.
        stream_ms: stream time, None before the first event.
        ledger: per source topic.
        sequence: number of the next id segment.
        ticks: end of the newest evaluated window, per window name.
        expired_through_ms: up to when modules were looked through for those long gone.
        shell: what the shell keeps; the core hands it through.
        system: what only the system task keeps, None elsewhere.
    """

    v: int = POSITION_VERSION
    sizes: dict[str, int]
    relative_error: float
    partitions: int
    offsets: dict[str, int]
    stream_ms: int | None
    ledger: dict[str, Ledger]
    sequence: int = 0
    ticks: dict[str, int] = {}
    expired_through_ms: int | None = None
    shell: ShellPosition = ShellPosition()
    system: SystemPosition | None = None


class _PositionV1(Struct, frozen=True):
    """The position record of version 1, which kept what came later in `extra`."""

    v: int
    fingerprint: str
    partitions: int
    offsets: dict[str, int]
    stream_ms: int | None
    ledger: dict[str, Ledger]
    sequence: int = 0
    ticks: dict[str, int] = {}
    extra: dict[str, int] = {}

    def migrated(self) -> Position:
        """The same as a record of today's version.

        Raises:
            ValueError: the fingerprint is not one that version 1 wrote.
        """
        match = _FINGERPRINT.fullmatch(self.fingerprint)
        if match is None:
            raise ValueError(f"{self.fingerprint!r} is no fingerprint of version 1")
        sizes = {name: int(size) for name, _, size in (part.rpartition(":") for part in match[1].split(","))}
        extra = self.extra
        is_system = "dropped_open" in extra
        return Position(
            sizes=sizes,
            relative_error=float(match[2]),
            partitions=self.partitions,
            offsets=self.offsets,
            stream_ms=self.stream_ms,
            ledger=self.ledger,
            sequence=self.sequence,
            ticks=self.ticks,
            expired_through_ms=extra.get("expired_through_ms"),
            shell=ShellPosition(changelog_begin=extra.get("changelog_begin", 0)),
            system=SystemPosition(
                floor_ms=extra.get("floor_ms"),
                dropped_open=extra["dropped_open"],
                ignored_partials=extra.get("ignored_partials", 0),
                last_larger_ms=extra.get("last_larger_ms"),
            )
            if is_system
            else None,
        )


_encode_packed = msgspec.msgpack.Encoder().encode
_encode_json = msgspec.json.Encoder().encode


def pack(record: SumsChunk | MetaChunk | ModulesChunk | IdSegment) -> bytes:
    """Encode a columnar state record (MessagePack)."""
    return _encode_packed(record)


def pack_position(position: Position) -> bytes:
    """Encode the position as JSON, so that people can read it with any console consumer."""
    return _encode_json(position)


def decoder(kind: type[Any]) -> Any:
    """A MessagePack decoder for one kind of state record."""
    return msgspec.msgpack.Decoder(kind)


def unpack_position(value: bytes) -> Position:
    """The position record, also one that version 1 wrote.

    Raises:
        StateIncompatible: a newer build wrote it, or it is damaged.
    """
    try:
        version = _version_of(value).v
        if version == POSITION_VERSION:
            return _decode_position(value)
        if version == 1:
            return _decode_position_v1(value).migrated()
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise StateIncompatible(
            f"the changelog record 'position' cannot be read ({error}): restore the changelog topic, or choose a new"
            " application_id"
        ) from error
    raise StateIncompatible(
        f"the changelog record 'position' is of version {version}, this build reads versions 1 to {POSITION_VERSION}:"
        " go back to the build that wrote it, or choose a new application_id"
    )


class _Version(Struct):
    v: int


_FINGERPRINT = re.compile(r"sizes=(.+);alpha=([0-9.e-]+)")
_version_of = msgspec.json.Decoder(_Version).decode
_decode_position = msgspec.json.Decoder(Position).decode
_decode_position_v1 = msgspec.json.Decoder(_PositionV1).decode
