"""What a task keeps in its changelog partition. Every record carries its version `v`; an unknown one is refused.

| key | value | written when |
|---|---|---|
| `sums|size_ms|start_ms|chunk` | `SumsChunk` | a base pane changed; a larger window took a sealed part in |
| `carried|size_ms|start_ms|chunk` | `SumsChunk` | the window was open when the window sizes changed |
| `meta|size_ms|start_ms|chunk` | `MetaChunk` | a record of the window went out |
| `modules|chunk` | `ModulesChunk` | a module appeared, expired, was seen in a new pane or changed its health |
| `ids|pane_ms|sequence` | `IdSegment` | new event ids were remembered |
| `alert|fingerprint` | alert state (schemas/alert_state.py) | an alert changed |
| `partial|size_ms|start_ms|partition`, `report|partition`, `seen|partition|chunk` | as received | the system task got one |
| `window|size_ms|start_ms` | `SystemWindowState` | a system record went out |
| `position` | `Position` (schemas/position.py) | always, last in the transaction |

A chunk holds the modules with codes [64 * chunk, 64 * chunk + 64). A tombstone ends a window, a segment or an alert.
Rules of change: new fields go last and have defaults, `check` behind them; a field never changes its type; what cannot keep to
this gets v + 1.
"""

from typing import TypeVar

import msgspec
from msgspec import Struct

from schemas.checksum import (
    NO_CHECK,
    PLACE_OF_CHECK,
    UNREADABLE,
    damaged,
    require_known,
    unknown_version,
    with_checksum,
)
from schemas.errors import StateIncompatible
from schemas.position import (
    POSITION_KEY,
    POSITION_VERSION,
    Ledger,
    Position,
    ShellPosition,
    StartPosition,
    SystemClass,
    SystemPosition,
    pack_position,
    unpack_position,
)

STATE_VERSION = 2
CHUNK_MODULES = 64
SUMS, CARRIED, META, MODULES, IDS = b"sums", b"carried", b"meta", b"modules", b"ids"


class SumsChunk(Struct, frozen=True, array_like=True, gc=False):
    """One chunk of one window, little endian, one column per code.

    Rows are known by ids that never change their meaning (`pipeline/windows/rows.py`); rows that are for all codes what they
    are in an empty window are left out.

    Attributes:
        rows: how many ids of int and of float rows the writer knew.
        codes: uint8, module code less the chunk's first, rising.
        int_rows: uint8, ids of the int rows that follow, rising. ints: int64, those rows.
        floats: float64, the rows of `float_rows`.
        cells: uint32, (code less the chunk's first) << 17 | bin, rising.
        count_bytes: width of a cell count (1, 2, 4 or 8). counts: unsigned, as many as cells.
        float_rows: uint8, ids of the float rows, rising. Version 1 had these four always.
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
    float_rows: bytes = b"\x00\x01\x02\x03"
    check: bytes = NO_CHECK


class MetaChunk(Struct, frozen=True, array_like=True, gc=False):
    """What was published of one chunk of one window: int32 codes, int64 meta rows, float64 scores.

    `silent` is how many modules of the task were silent when the window closed.
    """

    v: int
    rows: int
    final: bool
    codes: bytes
    meta: bytes
    scores: bytes
    silent: int = 0
    check: bytes = NO_CHECK


class ModulesChunk(Struct, frozen=True, array_like=True, gc=False):
    """One chunk of the module registry, one entry per code.

    Attributes:
        codes: int32, rising. ids: texts.
        last_ms: int64, end of the newest pane with an event.
        chains: int64, hysteresis states, window sizes x modules.
        runs: uint8, base windows in a row with events, at most 3. silent_ms: int64, since when it is silent, -1 where it is not.
            Both are empty in version 1.
        stated: uint8, what the newest `health-status` record says: 0 none, 1 to 3 the class, 4 silent. Empty in records of builds
            that wrote none.
    """

    v: int
    codes: bytes
    ids: list[str]
    last_ms: bytes
    chains: bytes
    runs: bytes = b""
    silent_ms: bytes = b""
    stated: bytes = b""
    check: bytes = NO_CHECK


class IdSegment(Struct, frozen=True, array_like=True, gc=False):
    """Event ids (64-bit hashes) first seen in one pane during one flush; version 1 hashed them otherwise.

    `old` says that hashes of version 1 may be among them, because they came from another task's state.
    """

    v: int
    ids: bytes
    old: bool = False
    check: bytes = NO_CHECK


ChunkRecord = SumsChunk | MetaChunk | ModulesChunk | IdSegment
C = TypeVar("C", SumsChunk, MetaChunk, ModulesChunk, IdSegment)

_encode_packed = msgspec.msgpack.Encoder().encode


def pack(key: bytes, record: ChunkRecord) -> bytes:
    """Encode a columnar state record (MessagePack) with its checksum."""
    return with_checksum(key, _encode_packed(msgspec.structs.replace(record, check=PLACE_OF_CHECK)))


class _Version(Struct, array_like=True):
    v: int


_version_of = msgspec.msgpack.Decoder(_Version).decode


def unreadable(key: bytes, value: bytes, error: Exception) -> StateIncompatible:
    """The error for a record that is not of the form asked for: one of a newer build, or damaged."""
    try:
        version = _version_of(value).v
    except UNREADABLE:
        version = 0
    return unknown_version(key, version, STATE_VERSION) if version > STATE_VERSION else damaged(key, error)


def unpack(kind: type[C], key: bytes, value: bytes) -> C:
    """The inverse of `pack`; also reads version 1, which the record's `v` says then.

    Raises:
        StateIncompatible: a newer build wrote the record, or the record is damaged.
    """
    try:
        record = msgspec.msgpack.decode(value, type=kind)
    except UNREADABLE as error:
        raise unreadable(key, value, error) from error
    if record.v == STATE_VERSION and record.check == NO_CHECK:
        record = _of_fewer_fields(record, value)
    require_known(key, value, record.v, record.check, STATE_VERSION)
    return record


def _of_fewer_fields(record: C, value: bytes) -> C:
    """A record that a build wrote which knew fewer fields: its checksum came last, and so stands in the first field it lacks."""
    names = record.__struct_fields__
    given = value[0] & 0x0F if value[0] >> 4 == 0x9 else len(names)
    if not 0 < given < len(names):
        return record
    first = names[given - 1]
    defaults = dict(zip(reversed(names), reversed(record.__struct_defaults__), strict=False))
    return msgspec.structs.replace(record, **{first: defaults[first], "check": getattr(record, first)})


__all__ = [
    "CARRIED",
    "CHUNK_MODULES",
    "IDS",
    "META",
    "MODULES",
    "POSITION_KEY",
    "POSITION_VERSION",
    "STATE_VERSION",
    "SUMS",
    "IdSegment",
    "Ledger",
    "MetaChunk",
    "ModulesChunk",
    "Position",
    "ShellPosition",
    "StartPosition",
    "SumsChunk",
    "SystemClass",
    "SystemPosition",
    "pack",
    "pack_position",
    "unpack",
    "unpack_position",
]
