"""Where a task stands: the changelog record `position`, last in each transaction; JSON that any console consumer shows."""

import re
from collections.abc import Iterable

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from schemas.checksum import CHECK_BYTES, UNREADABLE, checksum, damaged, unknown_version

POSITION_VERSION = 2
POSITION_KEY = b"position"
_CHECK_CHARS = 2 * CHECK_BYTES
_PLACE_OF_CHECK = "0" * _CHECK_CHARS
_END = b'"}'


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


class SystemClass(Struct, frozen=True, array_like=True):
    """The class of the newest system window of a size that was dropped, and the start of the first window of that class."""

    level: int
    since_ms: int | None


class SystemPosition(Struct, frozen=True, kw_only=True):
    """What only the system task keeps.

    Attributes:
        floor_ms: end of the newest system window that was dropped; none that ends there or before opens again.
        dropped_open: windows dropped before their time, because too many were open.
        ignored_partials: partials that came for windows dropped before, or for a size that is not configured.
        last_larger_ms: wall clock at the newest provisional record of a larger size.
        classes: per size, what `health_since` goes on from.
        known_sizes: sizes the system had when partitions did not report yet from when on their windows are whole.
    """

    floor_ms: int | None = None
    dropped_open: int = 0
    ignored_partials: int = 0
    last_larger_ms: int | None = None
    classes: dict[int, SystemClass] = {}
    known_sizes: list[int] = []


class StartPosition(Struct, frozen=True, kw_only=True):
    """How a task without state was started.

    Attributes:
        whole_from_ms: windows of any size that start before are not whole.
        alerts_from_ms: alert rules are not evaluated on windows that end before.
        revision_base: revisions of all records begin above it.
        after_loss: windows that may have begun before the first event are not whole.
    """

    whole_from_ms: int | None = None
    alerts_from_ms: int | None = None
    revision_base: int = 0
    after_loss: bool = False


class Position(Struct, frozen=True, kw_only=True):
    """Where a task stands: everything before `offsets` is in the state and in the outputs, nothing after is.

    Attributes:
        fingerprint: what version 1 knew the configuration by; older builds show it when they refuse this version.
        sizes: window sizes (ms) by name that the state was made with.
        relative_error: accuracy of the sketches in the state.
        partitions: partition count of the input when the state was made.
        offsets: next offset to read, per source topic.
        stream_ms: stream time, None before the first event.
        closed_through_ms: windows that end by then had their close.
        sealed_through_ms: windows that end by then are sealed; events before it are late for ever.
        ledger: per source topic.
        sequence: number of the next id segment.
        ticks: end of the newest evaluated window, per window size (ms).
        whole_from_ms: per window size (ms): windows that start before are never published. Absent sizes are whole from ever.
        counted_through_ms: end of the newest base window that was counted for the silence of modules.
        alert_revisions: the highest revision of any alert that is no longer remembered.
        homes_checked: whether events of unknown modules are sent on to the partition that their id belongs to.
        start: how the task was started without state.
        shell: what the shell keeps; the core hands it through.
        system: what only the system task keeps, None elsewhere.
        check: the checksum, as hexadecimal text.
    """

    v: int = POSITION_VERSION
    fingerprint: str = ""
    sizes: dict[str, int]
    relative_error: float
    partitions: int
    offsets: dict[str, int]
    stream_ms: int | None
    closed_through_ms: int | None = None
    sealed_through_ms: int | None = None
    ledger: dict[str, Ledger]
    sequence: int = 0
    ticks: dict[int, int] = {}
    whole_from_ms: dict[int, int] = {}
    counted_through_ms: int | None = None
    alert_revisions: int = 0
    homes_checked: bool = False
    start: StartPosition = StartPosition()
    shell: ShellPosition = ShellPosition()
    system: SystemPosition | None = None
    check: str = _PLACE_OF_CHECK


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
        """The same as a record of today's version, but for its `v`.

        A window whose rules were evaluated had its close, and so had every window that ended before. Modules were looked through
        up to what was sealed.

        Raises:
            ValueError: the fingerprint is not one that version 1 wrote, or a tick is of no size.
        """
        match = _FINGERPRINT.fullmatch(self.fingerprint)
        if match is None:
            raise ValueError(f"{self.fingerprint!r} is no fingerprint of version 1")
        sizes = {name: int(size) for name, _, size in (part.rpartition(":") for part in match[1].split(","))}
        if not self.ticks.keys() <= sizes.keys():
            raise ValueError(f"ticks of {sorted(self.ticks)}, sizes are {sorted(sizes)}")
        extra = self.extra
        return Position(
            v=self.v,
            sizes=sizes,
            relative_error=float(match[2]),
            partitions=self.partitions,
            offsets=self.offsets,
            stream_ms=self.stream_ms,
            closed_through_ms=max(self.ticks.values(), default=None),
            sealed_through_ms=extra.get("expired_through_ms"),
            ledger=self.ledger,
            sequence=self.sequence,
            ticks={sizes[name]: end_ms for name, end_ms in self.ticks.items()},
            shell=ShellPosition(changelog_begin=extra.get("changelog_begin", 0)),
            system=SystemPosition(
                floor_ms=extra.get("floor_ms"),
                dropped_open=extra["dropped_open"],
                ignored_partials=extra.get("ignored_partials", 0),
                last_larger_ms=extra.get("last_larger_ms"),
            )
            if "dropped_open" in extra
            else None,
        )


def fingerprint_of(sizes: Iterable[tuple[str, int]], relative_error: float) -> str:
    """What version 1 knew a configuration by."""
    return f"sizes={','.join(f'{name}:{size}' for name, size in sizes)};alpha={relative_error!r}"


def pack_position(position: Position) -> bytes:
    """Encode the position with its checksum."""
    named = replace(position, fingerprint=fingerprint_of(position.sizes.items(), position.relative_error))
    body = _encode(named)[: -_CHECK_CHARS - len(_END)]
    return body + checksum(POSITION_KEY, body).hex().encode() + _END


def unpack_position(value: bytes) -> Position:
    """The position record, also one that version 1 wrote; its `v` says which.

    Raises:
        StateIncompatible: a newer build wrote it, or it is damaged.
    """
    try:
        version = _version_of(value).v
        if version == 1:
            return _decode_v1(value).migrated()
        if version == POSITION_VERSION:
            position = _decode(value)
    except (*UNREADABLE, ValueError) as error:
        raise damaged(POSITION_KEY, error) from error
    if version != POSITION_VERSION:
        raise unknown_version(POSITION_KEY, version, POSITION_VERSION)
    body = value[: -_CHECK_CHARS - len(_END)]
    if value != body + checksum(POSITION_KEY, body).hex().encode() + _END:
        raise damaged(POSITION_KEY, "its checksum is wrong")
    return position


class _Version(Struct):
    v: int


_FINGERPRINT = re.compile(r"sizes=(.+);alpha=([0-9.e-]+)")
_encode = msgspec.json.Encoder().encode
_version_of = msgspec.json.Decoder(_Version).decode
_decode = msgspec.json.Decoder(Position).decode
_decode_v1 = msgspec.json.Decoder(_PositionV1).decode
