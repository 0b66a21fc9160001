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

from typing import Any

import msgspec
from msgspec import Struct

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


class Position(Struct, frozen=True):
    """Where a task stands: everything before `offsets` is in the state and in the outputs, nothing after is.

    Attributes:
        fingerprint: window names and sizes and sketch accuracy the state was made with.
        partitions: partition count of the input when the state was made.
        offsets: next offset to read, per source topic.
        stream_ms: stream time, None before the first event.
        ledger: per source topic.
        sequence: number of the next id segment.
        ticks: end of the newest evaluated window, per window name.
    """

    v: int
    fingerprint: str
    partitions: int
    offsets: dict[str, int]
    stream_ms: int | None
    ledger: dict[str, Ledger]
    sequence: int = 0
    ticks: dict[str, int] = {}
    extra: dict[str, int] = {}


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


unpack_position = msgspec.json.Decoder(Position).decode
