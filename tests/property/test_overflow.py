"""Modules over the limit: decided by rows and forwarded in bulk, they leave what deciding and forwarding one by one leaves."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import CoreConfig, Limits
from pipeline.ingest.batch import RecordBatch, join_slices
from pipeline.ingest.hop import trace
from pipeline.ingest.packed import each_forwarded, pack, pack_one, unpack
from pipeline.native import FRAME_BYTES, Native
from pipeline.outputs import Forwarded, Header, PackedRecords, RawName
from pipeline.record_wire import PlacedHeaders, header_bytes
from tests.support.core.cores import NOW_MS, START_MS, Event, Run, batch_of, fixed, split
from tests.support.core.streams import configs, cut_places, streams
from topology.records.packed_batches import frame_in_python

pytestmark = pytest.mark.usefixtures("native")
# Known and unknown, refused, not plain, and the owner's own name.
NAMES = ("checkout", "search", "süßwaren|1s", "z", "n1", "n2", "n3", "ra\u202edio", "b\u0085d", "__other__", "\u200dok")
HEADERS: tuple[tuple[Header, ...], ...] = ((), (), (("h", b"x"), ("", None)), ((RawName(b"\xff"), b"1"),))


class Records(list[tuple[bytes, bytes | None, tuple[Header, ...]]]):
    """Value, key and headers of each."""


def random_records(events: Sequence[Event], rng: random.Random) -> Records:
    """The events under more names, some with other keys, headers, or times in the future."""
    records = Records()
    for event in events:
        event = replace(event, module=rng.choice(NAMES))
        if rng.random() < 0.05:
            event = replace(event, time=NOW_MS + 10_000_000)
        value, key = event.value, cast("bytes | None", event.module.encode())
        if rng.random() < 0.8:  # not escaped: plain
            value = json.dumps(json.loads(value), ensure_ascii=False).encode()
        key = rng.choice((b"z", None, b"")) if rng.random() < 0.1 else key
        records.append((value, key, rng.choice(HEADERS)))
    return records


def feed(run: Run, records: Records, batches: Sequence[int], *, checked: bool, forwarded: bool) -> None:
    """Apply records in batches, cutting now and then, and restarting once."""
    first = 0
    run.core._ingest.homes_checked = checked
    for index, part in enumerate(split(records, batches)):
        values, keys, headers = ([record[column] for record in part] for column in range(3))
        topic = "repartition" if forwarded else "events"
        run.core.apply(
            batch_of(values, keys, first=first, headers=headers, topic=topic, forwarded=forwarded),  # type: ignore[arg-type]
            NOW_MS,
        )
        first += len(part)
        if index % 3 == 0:
            run.cut(NOW_MS + index)
        if index == 4:
            run.restart()
    run.cut(NOW_MS + 1_000_000, everything=True)


def told(run: Run) -> object:
    """All a core wrote, in order, and what it counted."""
    boxes = [(cut.outbox.emitted, cut.outbox.rejected, each_forwarded(cut.outbox), cut.state) for cut in run.cuts]
    return boxes, run.core.ledgers, run.core.modules.overflowed, set(run.core.modules.codes)


def limited(config: CoreConfig, most_modules: int, expiry_ms: int, *, native: bool) -> CoreConfig:
    limits = Limits(max_modules=most_modules, module_expiry_ms=expiry_ms)
    return replace(config, limits=limits, native=native)


@fixed(100)
@given(
    configs(),
    streams(),
    cut_places,
    st.sampled_from((0, 1, 2, 4, 100)),
    st.sampled_from((2_000, 86_400_000)),
    st.sampled_from(((0, 1), (0, 2), (1, 2))),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_by_rows_and_one_by_one_every_core_writes_the_same(
    config: CoreConfig,
    events: list[Event],
    batches: list[int],
    most_modules: int,
    expiry_ms: int,
    place: tuple[int, int],
    checked: bool,
    rng: random.Random,
) -> None:
    records = random_records(events, rng)
    firsts, seconds = [], []
    for way in (True, False):
        set_up = limited(config, most_modules, expiry_ms, native=way)
        first = Run(set_up, partition=place[0], partitions=place[1])
        feed(first, records, batches, checked=checked, forwarded=False)
        firsts.append(told(first))
        second = Run(set_up, partition=place[0], partitions=place[1])
        hop = Records((one.value, one.module_id.encode(), one.headers) for one in first.forwarded)
        feed(second, hop, batches, checked=checked, forwarded=True)
        seconds.append(told(second))
    assert firsts[0] == firsts[1]
    assert seconds[0] == seconds[1]


def test_the_streams_reach_every_fate() -> None:
    """Events over the limit that stay, that are packed, and that are packed between ones that go one by one."""
    rng, counts = random.Random(1), {"packed": 0, "single": 0, "stays": 0, "woven": 0}
    for owner in (0, 1):
        for _ in range(30):
            events = [Event("m", START_MS + n, event_id=rng.choice((None, "a", "b"))) for n in range(40)]
            run = Run(CoreConfig(limits=Limits(max_modules=1)), partition=owner, partitions=2)
            feed(run, random_records(events, rng), [11, 23], checked=False, forwarded=False)
            entries = [one for cut in run.cuts for one in cut.outbox.forwarded]
            packed = [isinstance(one, PackedRecords) for one in entries]
            counts["packed"] += sum(packed)
            counts["single"] += len(packed) - sum(packed)
            counts["woven"] += sum(a and not b for a, b in pairwise(packed))
            counts["stays"] += run.core.modules.overflowed
    assert min(counts.values()) > 50, counts


_texts = st.none() | st.binary(max_size=90)
header_lists = st.lists(
    st.tuples(
        st.sampled_from(["", "h", "süß", RawName(b"\xff\xfe"), "modpulse.forwarded.key"]),
        _texts,
    ),
    max_size=3,
)
rows_of_records = st.lists(
    st.tuples(
        st.none() | st.sampled_from([b"", b"m", b"__other__", b"k" * 100]),
        st.binary(max_size=200),
        header_lists,
        st.integers(0, 2**62),
        st.integers(-(2**63), 2**63 - 1),
    ),
    min_size=1,
    max_size=12,
)


@fixed(200)
@given(rows_of_records, st.booleans(), st.randoms(use_true_random=False))
def test_packed_records_are_those_that_go_one_by_one_to_the_byte(
    native: Native, rows: list[tuple[bytes | None, bytes, list[Header], int, int]], placed: bool, rng: random.Random
) -> None:
    keys, values = [row[0] for row in rows], [row[1] for row in rows]
    headers = [tuple(row[2]) for row in rows]
    offsets, stamps = sorted(row[3] for row in rows), [row[4] for row in rows]
    batch = RecordBatch("a/b", 7, offsets, stamps, keys, values, headers)
    if placed:
        value, key, header = join_slices(values, keys, [header_bytes(one) for one in headers])
        batch = RecordBatch("a/b", 7, offsets, stamps, key, value, PlacedHeaders(value.buffer, header.starts))
    chosen = np.array(sorted(rng.sample(range(len(rows)), rng.randrange(1, len(rows) + 1))), np.int64)
    packed = pack(native, batch, chosen, "__other__")
    expected = [
        Forwarded(
            "__other__",
            values[row],
            stamps[row],
            (*headers[row], *trace("a/b", 7, offsets[row], stamps[row], keys[row], "__other__")),
        )
        for row in chosen.tolist()
    ]
    singles = [pack_one(record) for record in expected]
    assert packed.tails.tobytes() == b"".join(single.tails.tobytes() for single in singles)
    assert packed.sizes.tolist() == [single.tails.size for single in singles]
    assert list(unpack(packed)) == expected
    low = rng.randrange(len(packed))
    assert list(unpack(packed.part(low, len(packed)))) == expected[low:]
    framed = [np.zeros(packed.tails.size + FRAME_BYTES * len(packed), np.uint8) for _ in range(2)]
    ways = native.frame, frame_in_python
    first = rng.choice((0, 1, 63, 64, 70_000))
    sizes = [frame(packed.tails, packed.sizes, first, into) for frame, into in zip(ways, framed, strict=True)]
    assert sizes[0] == sizes[1]
    assert framed[0].tobytes() == framed[1].tobytes()
