"""A batch divided: plain events of modules whose place is decided, those that another partition counts, and all the rest."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from pipeline.config import CoreConfig, Limits
from pipeline.ingest.batch import RecordBatch
from pipeline.ingest.plain import PlainPart, PlainReader, PlainScanner
from pipeline.modules.homes import Homes
from pipeline.modules.identifiers import hash_module, hash_module_version_1, hash_texts, mix_ids
from pipeline.modules.registry import OTHER, OTHER_CODE, Modules
from tests.support.core.cores import batch_of
from tests.support.records.poison import AT_MS, raw

pytestmark = pytest.mark.usefixtures("native")
NOW_MS = AT_MS + 1_000
FULL = Limits(max_modules=1)


class Reader:
    """Reads batches of a task that knows the module `checkout`, by code 1."""

    def __init__(self, config: CoreConfig | None = None, *, partition: int = 0, partitions: int = 1) -> None:
        self.config = config or CoreConfig()
        self.modules = Modules(self.config.limits, self.config.windows)
        self.modules.add("checkout")
        self.homes = Homes(partition, partitions)
        scanner = PlainScanner.of(self.config)
        assert scanner is not None
        self.scanner = scanner
        self.plain = PlainReader(scanner, self.config, self.modules, self.homes)

    def divide(self, batch: RecordBatch) -> PlainPart:
        part = self.plain.columns(batch, NOW_MS)
        assert part is not None
        return part

    def fates(self, *records: tuple[bytes | None, bytes | None], forwarded: bool = False) -> list[str]:
        """For each record (value and key) what becomes of it; no record may have two fates or none."""
        values, keys = [value for value, _ in records], [key for _, key in records]
        part = self.divide(batch_of(values, keys, first=10, forwarded=forwarded))
        fates = dict.fromkeys(part.rest.tolist(), "left") | dict.fromkeys(part.sent_on.tolist(), "sent on")
        if part.columns is not None:
            for code, offset in zip(part.columns.codes.tolist(), part.columns.offsets.tolist(), strict=True):
                assert offset - 10 not in fates
                fates[offset - 10] = "other" if code == OTHER_CODE else str(self.modules.ids[code])
        return [fates[index] for index in range(len(records))]


def of(module: str, extra: str = "", **literals: str) -> tuple[bytes, bytes]:
    return raw(AT_MS, extra, module_id=f'"{module}"', **literals), module.encode()


CHECKOUT = of("checkout")


def test_only_a_plain_event_of_a_known_module_under_its_own_key_needs_no_decision() -> None:
    value, key = CHECKOUT
    ahead = NOW_MS + CoreConfig().windows.max_future_ms
    records: Sequence[tuple[bytes | None, bytes | None]] = [
        CHECKOUT,
        (value, None),
        (value, b""),
        (value, b"search"),
        (None, key),
        (b"{garbage", key),
        of("search"),
        of("checkout", timestamp=str(ahead)),
        of("checkout", timestamp=str(ahead + 1)),
        (value, b"k" * 70_000),
        CHECKOUT,
    ]
    assert Reader().fates(*records) == ["checkout", *["left"] * 6, "checkout", "left", "left", "checkout"]


def test_what_only_its_headers_make_too_large_is_left() -> None:
    batch = batch_of([CHECKOUT[0]] * 2, [b"checkout"] * 2, headers=[(("h", b"x" * 70_000),), ()])
    part = Reader().divide(batch)
    assert (part.rest.tolist(), part.sent_on.tolist()) == ([0], [])


def test_where_every_event_is_forwarded_none_is_plain_before_its_second_hop() -> None:
    reader = Reader(CoreConfig(repartition="always"))
    assert reader.plain.columns(batch_of([CHECKOUT[0]], [b"checkout"]), NOW_MS) is None
    assert reader.fates(CHECKOUT, forwarded=True) == ["checkout"]


@pytest.mark.parametrize("fate", ["other", "sent on"])
def test_a_module_over_the_limit_counts_at_the_owner_of_other_and_elsewhere_is_sent_there(fate: str) -> None:
    owner = 0 if not Homes(0, 2).other_elsewhere else 1
    reader = Reader(CoreConfig(limits=FULL), partition=owner if fate == "other" else 1 - owner, partitions=2)
    assert reader.fates(of("search"), CHECKOUT, of("cart"), of("a\\u0007b")) == [fate, "checkout", fate, "left"]
    assert (reader.modules.newest_overflow, reader.modules.overflowed) == ("cart", 2 * (fate == "other"))


def test_what_was_sent_on_as_other_stays_so_where_it_arrives_though_its_module_is_known_there() -> None:
    value, _ = CHECKOUT
    assert Reader().fates((value, OTHER.encode()), CHECKOUT, forwarded=True) == ["other", "checkout"]
    assert Reader().fates((value, OTHER.encode()), CHECKOUT) == ["left", "checkout"]
    moved = Reader(partition=1 if not Homes(0, 2).other_elsewhere else 0, partitions=2)
    moved.homes.checked = True
    assert moved.fates((value, OTHER.encode()), forwarded=True) == ["left"], "partitions were added since"


def test_columns_hold_what_was_sent_and_are_missing_where_nobody_sent_it() -> None:
    values = [
        of("checkout", ',"memory_bytes":5,"cpu_percent":7.5', response_time_ms="2.5", success="false")[0],
        of("checkout", ',"goroutines":0')[0],
    ]
    columns = Reader().divide(batch_of(values, [b"checkout"] * 2)).columns
    assert columns is not None
    assert (columns.successes.tolist(), columns.times.tolist()) == ([False, True], [AT_MS, AT_MS])
    assert columns.response_ms.tolist() == [2.5, 1.5]
    memory, goroutines, connections = columns.gauges
    assert memory is not None
    assert goroutines is not None
    assert (memory.tolist(), goroutines.tolist(), connections) == ([5, -1], [-1, 0], None)
    assert columns.cpu is not None
    assert (columns.cpu[0], np.isnan(columns.cpu[1])) == (7.5, True)
    assert (columns.ids, columns.has_id, columns.old_ids) == (None, None, None)
    bare = Reader().divide(batch_of([CHECKOUT[0]], [b"checkout"])).columns
    assert bare is not None
    assert (bare.gauges, bare.cpu) == ((None, None, None), None)


@pytest.mark.parametrize("dedup", [True, False])
def test_ids_are_of_the_pair_of_event_and_module_also_where_the_module_has_no_code(dedup: bool) -> None:
    reader = Reader(CoreConfig(limits=FULL, dedup=dedup))
    reader.plain.wants_old_ids = True
    names = ["checkout", "search", "cart"]
    values = [of(name, ',"event_id":"e"')[0] for name in names]
    columns = reader.divide(batch_of([*values, CHECKOUT[0]], [*(name.encode() for name in names), b"checkout"])).columns
    assert columns is not None
    if not dedup:
        assert (columns.ids, columns.old_ids) == (None, None)
        return
    texts, _ = hash_texts(["e"] * 3)
    assert columns.ids is not None
    assert columns.old_ids is not None
    assert columns.has_id is not None
    assert columns.has_id.tolist() == [True, True, True, False]
    for found, hashed in ((columns.ids, hash_module), (columns.old_ids, hash_module_version_1)):
        assert found[:3].tolist() == mix_ids(texts, np.array([hashed(name) for name in names], np.uint64)).tolist()


def test_a_batch_that_was_read_ahead_is_not_read_again() -> None:
    reader = Reader()
    batch = batch_of([CHECKOUT[0]], [b"checkout"])
    ahead = replace(batch, plain=reader.scanner.scan(batch.keys, batch.values))
    assert reader.plain.scan(ahead) is ahead.plain


def test_an_empty_batch_has_neither_columns_nor_a_rest() -> None:
    part = Reader().divide(batch_of([], []))
    assert (part.columns, part.sent_on.size, part.rest.size) == (None, 0, 0)


def test_without_the_compiled_part_there_is_no_scanner() -> None:
    assert PlainScanner.of(CoreConfig(native=False)) is None
