"""`python -m bench.overflow`: CPU of an event of a module over `limits.max_modules`, both hops, beside that of an ordinary one.

No broker: the same bytes are parsed, scanned, applied and cut in this process, forwarded records are written as batches and read
again. So what the client and the broker's socket cost is in neither figure, and the ratio is stricter than that of a worker.
"""

import argparse
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.rig.workload import Workload, records
from pipeline.config import CoreConfig, Limits
from pipeline.cores.module_core import ModuleCore
from pipeline.ingest.batch import NoHeaders, RecordBatch
from pipeline.ingest.plain import PlainScanner
from pipeline.outputs import Cut
from pipeline.partitioner import partition_of
from pipeline.record_wire import framed, tail_of
from topology.consumer.transport import PIECE_RECORDS
from topology.producer.addressed import Addresses
from topology.records.decompress import LZ4
from topology.records.outgoing import MAX_BATCH_BYTES, EncodedBatch
from topology.records.span import Span
from topology.records.wire_batches import WireBatches
from topology.settings import Settings

PARTITIONS = 4
# `__other__` has its owner elsewhere.
PARTITION = 0
_END_MS = 1_750_000_000_000
_BATCH_RECORDS = 500
_CUT_PIECES = 4
_REPARTITION = "repartition"
# An ordinary event is one of few modules: what their records cost is shared by many events.
_FEW_MODULES = 50


class Cost(NamedTuple):
    """CPU seconds per million events."""

    ordinary: float
    first_hop: float
    second_hop: float

    @property
    def ratio(self) -> float:
        """What an event over the limit costs, in ordinary ones."""
        return (self.first_hop + self.second_hop) / self.ordinary


def measure(events: int, modules: int, rounds: int) -> Cost:
    """The cost of one event on each way; of each figure the least of the rounds.

    Raises:
        RuntimeError: not every event was applied once.
    """
    few, log = (
        _log(pair for chunk in records(Workload(events=events, modules=number), _END_MS) for pair in chunk)
        for number in (_FEW_MODULES, modules)
    )
    addresses = Addresses(Settings())
    costs = []
    for _ in range(rounds):
        roomy, full, owner = _core(2 * _FEW_MODULES, PARTITION), _core(1, PARTITION), _core(1, _owner())
        ordinary, _ = _hop(roomy, "events", few, addresses)
        first, sent = _hop(full, "events", log, addresses)
        second, _ = _hop(owner, _REPARTITION, _stored(sent), addresses)
        applied = [core.ledgers[topic].applied for core, topic in ((roomy, "events"), (full, "events"))]
        counted = owner.ledgers[_REPARTITION].applied + applied[1]
        if (applied[0], counted) != (events, events):
            raise RuntimeError(f"{applied[0]} and {counted} of {events} events were applied")
        costs.append(Cost(*(seconds / events * 1e6 for seconds in (ordinary, first, second))))
    return Cost(*map(min, zip(*costs, strict=True)))


def _owner() -> int:
    return partition_of(b"__other__", PARTITIONS)


def _core(most_modules: int, partition: int) -> ModuleCore:
    """A core whose registry holds one module that sends nothing more."""
    core = ModuleCore(CoreConfig(limits=Limits(max_modules=most_modules)), partition=partition, partitions=PARTITIONS)
    event = b'{"module_id":"first","timestamp":%d,"success":true,"response_time_ms":1}' % (_END_MS - 600_000)
    core.apply(RecordBatch("first", partition, [0], [0], [b"first"], [event], NoHeaders()), _END_MS)
    return core


def _hop(core: ModuleCore, topic: str, log: bytes, addresses: Addresses) -> tuple[float, list[bytes]]:
    """CPU seconds to take a log in and to write what is forwarded, and the batches of that."""
    scanner = PlainScanner.of(core.config)
    native = None if scanner is None else scanner.native
    sent: list[bytes] = []
    began = time.process_time()
    batches, found = WireBatches(log), []
    while batches.has_next():
        found.append(batches.next_batch())
    forwarded = topic == _REPARTITION
    for number, piece in enumerate(Span(0, found[-1].next_offset, found).pieces(PIECE_RECORDS, native)):
        scanned = piece if scanner is None else piece.scanned(scanner)
        core.apply(scanned.batch(topic, core.partition, forwarded=forwarded), _END_MS)
        if number % _CUT_PIECES == _CUT_PIECES - 1:
            sent += _written(core.cut(_END_MS), addresses)
    sent += _written(core.cut(_END_MS), addresses)
    return time.process_time() - began, sent


def _written(cut: Cut, addresses: Addresses) -> Iterator[bytes]:
    for parcel in addresses.forwarded(cut, PARTITIONS):
        for batch in parcel.batches(MAX_BATCH_BYTES):
            batch._set_producer_state(1, 0, 0)  # type: ignore[attr-defined]
            yield bytes(batch._build())  # type: ignore[attr-defined]


def _log(pairs: Iterator[tuple[bytes, bytes]]) -> bytes:
    tails = [tail_of(key, value, ()) for key, value in pairs]
    parts = [tails[low : low + _BATCH_RECORDS] for low in range(0, len(tails), _BATCH_RECORDS)]
    encoded = [EncodedBatch.of(b"".join(framed(t, n) for n, t in enumerate(part)), len(part), LZ4) for part in parts]
    return _stored([bytes(batch._build()) for batch in encoded])


def _stored(batches: Sequence[bytes]) -> bytes:
    """The batches with the offsets that a broker gives them."""
    stored, offset = [], 0
    for data in batches:
        stored += [struct.pack(">q", offset), data[8:]]
        offset += struct.unpack_from(">i", data, 57)[0]
    return b"".join(stored)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.overflow", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="on each way (default 200,000)")
    parser.add_argument("--modules", type=int, default=2_500, help="different ids (default 2,500)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the best counts (default 3)")
    asked = parser.parse_args()
    cost = measure(asked.events, asked.modules, asked.rounds)
    print(
        f"CPU s per million events: ordinary {cost.ordinary:.2f}, over the limit {cost.first_hop:.2f} + {cost.second_hop:.2f},"
        f" {cost.ratio:.2f} times as much"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
