"""Record batches as the worker's parsers read them, and as plain records to compare with."""

import random

from pipeline.native import Native, load_native
from pipeline.outputs import name_bytes
from tests.support.records.wire import Rec
from topology.records.piece import Records
from topology.records.record_batch import WireBatch
from topology.records.wire_batches import WireBatches

T0 = 1_700_000_000_000
LIMIT = 64 << 20
WHOLE = (LIMIT, 1 << 30, 1 << 30)


def parsers() -> list[Native | None]:
    """None is the Python parser."""
    native = load_native()
    return [None] if native is None else [None, native]


def random_rows(rng: random.Random, count: int) -> list[Rec]:
    def text(most: int) -> bytes | None:
        return None if rng.random() < 0.1 else rng.randbytes(rng.randrange(most))

    rows: list[Rec] = []
    offset = 0
    for _ in range(count):
        names = (f"h{n}ü".encode() * rng.randrange(3) for n in range(rng.choice((0, 0, 0, 1, 3, 70))))
        headers = tuple((name, text(40)) for name in names)
        stamp = T0 + rng.randrange(-(10**9), 10**9)
        rows.append(Rec(offset, stamp, text(40), text(rng.choice((10, 100, 20_000))), headers))
        offset += rng.choice((1, 1, 1, 2, 300))
    return rows


def wire_batch(data: bytes) -> WireBatch:
    batches = WireBatches(data)
    batch = batches.next_batch()
    assert isinstance(batch, WireBatch)
    assert not batches.has_next()
    return batch


def recs_of(records: Records) -> list[Rec]:
    columns = (records.offsets, records.keys, records.values)
    return [
        Rec(
            offset,
            records.timestamps[index],
            key,
            value,
            tuple((name_bytes(name), content) for name, content in records.headers[index]),
        )
        for index, (offset, key, value) in enumerate(zip(*columns, strict=True))
    ]


def parsed(batch: WireBatch, parser: Native | None) -> Records:
    (found,) = batch.parts(parser, *WHOLE)
    return found
