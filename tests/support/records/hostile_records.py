"""A partition's log as hostile and confused producers, old brokers and compaction may leave it, and what must be known of it.

Everything random comes from one generator. Whether a batch is beyond the bound, or broken, is decided here from how it was made.
"""

import random
from dataclasses import dataclass, field

from tests.support.core.cores import NOW_MS, START_MS
from tests.support.records import wire
from tests.support.records.poison import GOOD_ODDITIES, POISON, raw
from tests.support.records.wire import Rec

MODULES = ("shop", "pay", "süß", "cart", "auth", "mail", "user")
BATCH_BYTES = 60_000
RECORD_BYTES = 2_000
STAMPS = (-1, 0, 1, NOW_MS, NOW_MS - 30 * 86_400_000, NOW_MS + 9_000_000, 2**63 - 1, -(2**63), -(2**40))
SMALL_POISON = [kind for kind in POISON if len(kind.value or b"") <= 20_000 and len(kind.headers) < 50]
SMALL_POISON = [kind for kind in SMALL_POISON if len(kind.key or b"") < 20_000]
SMALL_ODDITIES = [odd for odd in GOOD_ODDITIES if len(odd.value) < 1_500]
FIRST = 17


@dataclass(frozen=True, slots=True)
class Stored:
    """One batch of the log.

    Attributes:
        data: its bytes.
        records: what can be read of it; of a refused batch, what was meant.
        first, end: its offsets are [first, end).
        reason: why it is refused as a whole; empty when it is not, `any` when that depends on the codec.
        counted: how many records its header says, where it is refused.
        hidden: markers, and what was aborted.
        legacy: of a format that does not say where it begins.
    """

    data: bytes
    records: tuple[Rec, ...]
    first: int
    end: int
    reason: str = ""
    counted: int = 0
    hidden: bool = False
    legacy: bool = False


@dataclass(slots=True)
class Log:
    """Batches in order, and the aborted transactions: producer, first offset, offset of the marker."""

    batches: list[Stored] = field(default_factory=list)
    aborted: list[tuple[int, int, int]] = field(default_factory=list)
    end: int = FIRST

    def fetched(self, offset: int, most_bytes: int) -> tuple[bytes, list[tuple[int, int]]]:
        """What a broker answers: batches from that of the offset on, the last perhaps cut off; and what was aborted."""
        left = [batch.data for batch in self.batches if batch.end > offset]
        aborted = [(producer, first) for producer, first, marker in self.aborted if marker >= offset]
        return b"".join(left)[: max(most_bytes, len(left[0]))], aborted

    @property
    def records(self) -> dict[int, Rec]:
        """By offset, those a reader of committed records sees one by one."""
        seen = (batch for batch in self.batches if not batch.hidden and not batch.reason)
        return {record.offset: record for batch in seen for record in batch.records}

    @property
    def refused(self) -> list[Stored]:
        """The batches a reader of committed records cannot take apart."""
        return [batch for batch in self.batches if batch.reason and not batch.hidden]


def random_log(rng: random.Random) -> Log:
    """Some batches of every kind."""
    log = Log()
    for _ in range(rng.randrange(1, 9)):
        kind = rng.choices((_plain, _old, _bomb, _broken, _empty, _transaction), (8, 3, 2, 2, 1, 3))[0]
        kind(rng, log)
        log.end += rng.choice((0, 0, 0, 1, 40))
    log.end = log.batches[-1].end  # a gap behind the last batch is nobody's
    return log


def _plain(rng: random.Random, log: Log, attributes: int = 0, producer_id: int = -1) -> None:
    records, base = _records(rng, log.end), log.end
    last = records[-1].offset + rng.choice((0, 0, 3))
    codec = rng.choice(tuple(wire.CODECS.values()))
    attributes |= wire.LOG_APPEND_TIME if rng.random() < 0.1 else 0
    data = wire.batch(records, codec, base=base, last=last, attributes=attributes, producer_id=producer_id)
    body = (wire.record(one.offset - base, one.stamp - records[0].stamp, *one[2:]) for one in records)
    taken = sum(map(len, body)) + 64 * sum(1 + len(one.headers) for one in records)
    if attributes & wire.LOG_APPEND_TIME:
        newest = max(one.stamp for one in records)
        records = [one._replace(stamp=newest) for one in records]
    reason = "too_large" if taken > BATCH_BYTES else ""
    log.batches.append(Stored(data, tuple(records), base, last + 1, reason, len(records)))
    log.end = last + 1


def _old(rng: random.Random, log: Log) -> None:
    magic, codec = rng.choice(((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3)))
    records = [one._replace(headers=(), stamp=one.stamp if magic else -1) for one in _records(rng, log.end)]
    if codec == 0:
        for one in records:
            data = wire.message_set([one], magic)
            reason = "too_large" if len(data) + 64 > BATCH_BYTES else ""
            log.batches.append(Stored(data, (one,), one.offset, one.offset + 1, reason, 1))
    else:
        data = wire.message_set(records, magic, codec)
        inner = sum(len(wire.message(one, magic)) for one in records)
        reason = "too_large" if inner + 64 * len(records) > BATCH_BYTES else ""
        span = records[0].offset, records[-1].offset + 1
        log.batches.append(Stored(data, tuple(records), *span, reason, span[1] - span[0], legacy=True))
    log.end = records[-1].offset + 1


def _bomb(rng: random.Random, log: Log) -> None:
    sizes = [rng.choice((1_000, 300_000, 2_000_000)) for _ in range(rng.randrange(1, 4))]
    kind = rng.randrange(3)
    if kind == 0:
        sizes.append(BATCH_BYTES)
        data = wire.bomb(sizes, base=log.end)
    elif kind == 1:
        many = [Rec(log.end, 0, None, None, ((b"", None),) * (BATCH_BYTES // 64 + 1))]
        data, sizes = wire.batch(many, wire.GZIP), [0]
    else:
        tiny = [Rec(log.end + n, 0, None, None) for n in range(BATCH_BYTES // 64)]
        data, sizes = wire.batch(tiny, rng.choice(tuple(wire.CODECS.values()))), [0] * len(tiny)
    end = log.end + len(sizes)
    log.batches.append(Stored(data, (), log.end, end, "too_large", len(sizes)))
    log.end = end


def _broken(rng: random.Random, log: Log) -> None:
    count = rng.choice((0, 1, 3, -1, 1 << 30))
    last = rng.choice((0, 2, 5, -1, -7))
    attributes = rng.randrange(8)
    garbage = rng.randbytes(rng.randrange(1, 90)) + b"\xff"
    data = wire.framed(garbage, base=log.end, count=count, last_delta=last, attributes=attributes)
    span = max(last, 0) + 1
    # Random bytes may claim a size, or a number of headers, that is beyond the bound.
    reason = "any" if attributes & 7 in (wire.NONE, wire.SNAPPY) else "undecodable"
    log.batches.append(Stored(data, (), log.end, log.end + span, reason, min(max(count, 1), span)))
    log.end += span


def _empty(rng: random.Random, log: Log) -> None:
    """Compaction took every record."""
    last = rng.randrange(5)
    data = wire.framed(b"", base=log.end, count=0, last_delta=last, attributes=rng.choice((0, wire.TRANSACTIONAL)))
    log.batches.append(Stored(data, (), log.end, log.end + last + 1))
    log.end += last + 1


def _transaction(rng: random.Random, log: Log) -> None:
    producer, first = rng.randrange(3), log.end
    aborted = rng.random() < 0.5
    before = len(log.batches)
    for _ in range(rng.randrange(1, 3)):
        _plain(rng, log, attributes=wire.TRANSACTIONAL, producer_id=producer)
    if aborted:
        log.aborted.append((producer, first, log.end))
        for index in range(before, len(log.batches)):
            one = log.batches[index]
            log.batches[index] = Stored(one.data, (), one.first, one.end, hidden=True)
    data = wire.marker(log.end, producer, wire.ABORT if aborted else wire.COMMIT)
    log.batches.append(Stored(data, (), log.end, log.end + 1, hidden=True))
    log.end += 1


def _records(rng: random.Random, offset: int) -> list[Rec]:
    found: list[Rec] = []
    for _ in range(rng.choice((1, 1, 2, 5, 30))):
        found.append(_record(rng, offset))
        offset += rng.choice((1, 1, 1, 1, 2, 50))
    return found


def _record(rng: random.Random, offset: int) -> Rec:
    key, value, headers = _content(rng)
    if rng.random() < 0.15:
        key = rng.choice((None, b"", b"\xff\xfe", b"k" * 3_000, rng.choice(MODULES).encode()))
    for _ in range(rng.choice((0, 0, 0, 1, 3, 40)) if rng.random() < 0.5 else 0):
        name = rng.choice(
            (b"", b"trace", "süß".encode(), b"\xff\xfe", b"modpulse.errors.reason", b"modpulse.forwarded.from")
        )
        headers = (*headers, (name, rng.choice((None, b"", b"1", b"a/1/2", rng.randbytes(300)))))
    return Rec(offset, rng.choice((*STAMPS, NOW_MS + rng.randrange(-9_000, 9_000))), key, value, headers)


def _content(rng: random.Random) -> tuple[bytes | None, bytes | None, tuple[tuple[bytes, bytes | None], ...]]:
    choice = rng.random()
    if choice < 0.75:
        module = rng.choice(MODULES)
        at_ms = START_MS + rng.choice((*[rng.randrange(70_000)] * 9, rng.randrange(3_000_000), 2 * 10**13, 10**15))
        extra = "" if rng.random() < 0.9 else ',"x":' + "[" * rng.choice((5, 900)) + "]" * 5
        identity = f',"event_id":"{rng.randrange(3)}"' if rng.random() < 0.5 else ""
        number = rng.choice((*["2.5"] * 12, "1e308", "0", "-0.0", "1e-400", "1e400", "-1", "NaN", "9" * 30))
        value = raw(at_ms, identity + extra, module_id=f'"{module}"', response_time_ms=number)
        return module.encode(), value + b" " * rng.choice((0, 0, 0, 0, 0, 1_800, 4_000)), ()
    if choice < 0.88:
        kind = rng.choice(SMALL_POISON)
        return kind.key, kind.value, tuple((name.encode(), value) for name, value in kind.headers)
    odd = rng.choice(SMALL_ODDITIES)
    return odd.key, odd.value, tuple((name.encode(), value) for name, value in odd.headers)
