"""Late and dead letters as their readers see them: why each is there, where it came from, and how many there are of which kind.

Records without our headers (anybody may write to a topic) are letters of reason `unknown`. They are read by
`topology.dead_letters.reader`.
"""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from pipeline.outputs import Header
from schemas.reasons import REASONS
from topology.producer.letters import ERROR_HEADERS

UNKNOWN = "unknown"
DEAD_REASONS = tuple(reason for reason in REASONS if reason != "late")

# Header texts are whatever the writer of the record chose: what is kept of them is bounded.
_MAX_MESSAGE_CHARS = 1_000
_MAX_ORIGINS = 1_000
_SHOWN_BYTES = 1_000
_OTHER_ORIGINS = "(others)"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the record behind a letter was read."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class BatchPlace(NamedTuple):
    """Which records of its origin a letter stands for, when it stands for a whole batch."""

    first_offset: int
    last_offset: int
    records: int


@dataclass(frozen=True, slots=True)
class Letter:
    """One late or dead letter.

    Attributes:
        topic, partition, offset: where the letter itself is.
        timestamp_ms: when it was written.
        key, value, headers: as they are on the topic.
        reason: one of the contract's reasons, or `unknown`.
        message: what is wrong with it, for people.
        origin: None where the headers do not say.
        truncated: which parts are only the beginning of what came in, and how many bytes they had; empty when it is whole.
        batch: what it stands for, when that is not one record.
        key_bytes, value_bytes: how large both are on the topic.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]
    reason: str
    message: str
    origin: Origin | None
    truncated: str = ""
    batch: BatchPlace | None = None
    key_bytes: int = 0
    value_bytes: int = 0

    @property
    def own_headers(self) -> tuple[Header, ...]:
        """The headers it came in with: all but ours."""
        return tuple(header for header in self.headers if not header[0].startswith(ERROR_HEADERS))

    @property
    def size_bytes(self) -> int:
        """Key and value."""
        return self.key_bytes + self.value_bytes

    @property
    def beginning(self) -> "Letter":
        """What is worth being kept of it to be shown: many large letters must not fill the memory."""
        key, value = (self.key or b"")[:_SHOWN_BYTES], (self.value or b"")[:_SHOWN_BYTES]
        return replace(self, key=self.key and key, value=self.value and value, headers=())


def letter_of(
    place: tuple[str, int, int], timestamp_ms: int, key: bytes | None, value: bytes | None, headers: Sequence[Header]
) -> Letter:
    """A record at a topic, partition and offset as a letter.

    Of headers that come twice the last counts: the worker's follow the sender's.
    """
    said = {name[len(ERROR_HEADERS) :]: text or b"" for name, text in headers if name.startswith(ERROR_HEADERS)}
    reason = _text(said.get("reason", b""))
    return Letter(
        *place,
        timestamp_ms,
        key,
        value,
        tuple(headers),
        reason if reason in REASONS else UNKNOWN,
        _text(said.get("message", b""))[:_MAX_MESSAGE_CHARS],
        _origin(said),
        (_text(said["truncated"])[:_MAX_MESSAGE_CHARS] or "?") if "truncated" in said else "",
        _batch(said),
        len(key or b""),
        len(value or b""),
    )


def _batch(said: Mapping[str, bytes]) -> BatchPlace | None:
    first, last, records = (_number(said.get(name, b"")) for name in ("first_offset", "last_offset", "records"))
    return None if first is None or last is None or records is None else BatchPlace(first, last, records)


def _origin(said: Mapping[str, bytes]) -> Origin | None:
    topic = _text(said.get("topic", b""))
    numbers = [_number(said.get(name, b"")) for name in ("partition", "offset", "timestamp")]
    partition, offset, timestamp_ms = numbers
    if not topic or partition is None or offset is None or timestamp_ms is None:
        return None
    return Origin(topic, partition, offset, timestamp_ms)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _number(data: bytes) -> int | None:
    # A header is as long as its writer liked; int() of many digits is slow, and refused beyond 4,300 of them.
    digits = data.removeprefix(b"-")
    return int(data) if len(digits) < 20 and digits.isdigit() else None


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are meant; what is not given admits all.

    Attributes:
        reasons: any of these.
        since_ms: not written before this.
        key: the record key, byte for byte.
    """

    reasons: frozenset[str] = frozenset()
    since_ms: int | None = None
    key: bytes | None = None

    def admits(self, letter: Letter) -> bool:
        """Whether the letter is meant."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.since_ms is None or letter.timestamp_ms >= self.since_ms)
            and (self.key is None or letter.key == self.key)
        )


@dataclass(slots=True)
class Overview:
    """Counts of all letters taken in, and the newest of them.

    Attributes:
        keep: how many of the newest to keep.
        letters: how many were taken in.
        reasons: letters by reason.
        origins: letters by the topic their record was read from; topics beyond a thousand count together.
    """

    keep: int
    letters: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    _newest: list[tuple[int, int, Letter]] = field(default_factory=list)

    def take(self, letter: Letter) -> None:
        """Count a letter, and keep it while it is one of the newest."""
        self.letters += 1
        self.reasons[letter.reason] += 1
        origin = UNKNOWN if letter.origin is None else letter.origin.topic
        known = origin in self.origins or len(self.origins) < _MAX_ORIGINS
        self.origins[origin if known else _OTHER_ORIGINS] += 1
        entry = (letter.timestamp_ms, self.letters, letter.beginning)
        if len(self._newest) < self.keep:
            heapq.heappush(self._newest, entry)
        elif self.keep:
            heapq.heappushpop(self._newest, entry)

    @property
    def newest(self) -> list[Letter]:
        """The newest letters, the newest first; of one time those read later come first."""
        return [letter for _, _, letter in sorted(self._newest, key=lambda entry: entry[:2], reverse=True)]
