"""Which records of a cut go where, and what their readers find on them."""

from collections.abc import Iterable
from typing import Any

import pytest

from pipeline.ingest.packed import pack_one
from pipeline.outputs import Cut, Emitted, Forwarded, Outbox, PackedRecords, Partial, StateRecord
from schemas.state import POSITION_KEY, Position, unpack_position
from tests.support.records.parsed_records import parsed, wire_batch
from tests.truth import partition_of
from topology.producer.addressed import Addresses, PackedParcel, Parcel
from topology.settings import Settings, load_settings

POSITION = Position(sizes={}, relative_error=0.01, partitions=3, offsets={"t": 7}, stream_ms=None, ledger={})
SETTINGS = Settings()


def cut_of(**box: Any) -> Cut:
    return Cut(Outbox(**box), [Partial(b"p", b"1")], [StateRecord(b"s", b"2"), StateRecord(b"gone", None)], POSITION)


def values_of(parcels: Iterable[Parcel | PackedParcel]) -> dict[int, list[bytes | None]]:
    """By partition, in the order in which they are written."""
    found: dict[int, list[bytes | None]] = {}
    for parcel in parcels:
        assert parcel.topic == SETTINGS.repartition_topic
        for batch in parcel.batches(200):
            rows = parsed(wire_batch(bytes(batch._build())), None)  # type: ignore[attr-defined]
            found.setdefault(parcel.partition, []).extend(rows.values)
    return found


def test_each_role_goes_to_its_topic_and_keeps_its_order() -> None:
    roles = ("module_metrics", "health_status", "module_metrics", "module_alerts", "system_metrics", "module_metrics")
    emitted = [Emitted(role, b"k", b"%d" % n, 1, 0) for n, role in enumerate(roles)]  # type: ignore[arg-type]
    parcels = list(Addresses(SETTINGS).outputs(cut_of(emitted=emitted), 5))
    assert {parcel.topic: [record.value for record in parcel.records] for parcel in parcels} == {
        "module-metrics": [b"0", b"2", b"5"],
        "health-status": [b"1"],
        "module-alerts": [b"3"],
        "system-metrics": [b"4"],
    }
    assert {parcel.partition for parcel in parcels} == {5}


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (0, b"1970-01-01T00:00:00.000Z"),
        (1_700_000_000_007, b"2023-11-14T22:13:20.007Z"),
        (1_709_164_800_000, b"2024-02-29T00:00:00.000Z"),
    ],
)
def test_an_output_is_a_cloud_event_of_its_own_identity(time_ms: int, text: bytes) -> None:
    settings = load_settings(
        environ={"MODPULSE_APPLICATION_ID": "mine", "MODPULSE_TOPICS__HEALTH_STATUS": "health.of.all"}
    )
    record = Emitted("health_status", b"shop|30s", b"{}", 4, time_ms)
    (parcel,) = Addresses(settings).outputs(cut_of(emitted=[record]), 0)
    (made,) = parcel.records
    assert (made.key, made.value) == (b"shop|30s", b"{}")
    assert list(made.headers) == [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"modpulse.health-status.v1"),
        ("ce_source", b"/modpulse/mine"),
        ("ce_id", b"health.of.all/shop|30s/4"),
        ("ce_time", text),
    ]


@pytest.mark.parametrize("packed", [set(), {0}, {5, 6}, set(range(12))], ids=str)
def test_forwarded_records_go_to_the_partition_of_their_module_in_the_order_they_came(packed: set[int]) -> None:
    """Also where some of them were encoded together and others were not."""
    modules = ["shop", "cart", "ünit", "shop", "mail", "cart"] * 2
    singles = [Forwarded(module, b"%d" % n, 1, (("h", b"x"),)) for n, module in enumerate(modules)]
    entries: list[Forwarded | PackedRecords] = [pack_one(r) if n in packed else r for n, r in enumerate(singles)]
    expected: dict[int, list[bytes]] = {}
    for single in singles:
        expected.setdefault(partition_of(single.module_id, 3), []).append(single.value)
    assert len(expected) > 1
    assert values_of(Addresses(SETTINGS).forwarded(cut_of(forwarded=entries), 3)) == expected


def test_the_position_is_the_last_record_of_the_changelog_and_deletions_are_written_too() -> None:
    """A reader of the end of the log looks for the position there."""
    partials, state = Addresses(SETTINGS).state(cut_of(), 5, "changelog")
    assert partials[:2] == ("modpulse-system-partials", 0)
    assert [record[:2] for record in partials.records] == [(b"p", b"1")]
    assert state[:2] == ("changelog", 5)
    *records, position = state.records
    assert [record[:2] for record in records] == [(b"s", b"2"), (b"gone", None)]
    assert position.key == POSITION_KEY
    assert position.value is not None
    assert unpack_position(position.value).offsets == {"t": 7}


def test_an_empty_cut_tells_readers_nothing_and_still_moves_the_position() -> None:
    cut = Cut(Outbox(), [], [], POSITION)
    addresses = Addresses(SETTINGS)
    assert [*addresses.outputs(cut, 0), *addresses.forwarded(cut, 3)] == []
    assert [len(list(parcel.records)) for parcel in addresses.state(cut, 0, "changelog")] == [0, 1]
