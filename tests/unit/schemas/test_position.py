"""The position record: JSON with a checksum at its end, and what version 1 wrote instead."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.errors import StateIncompatible
from schemas.position import (
    Ledger,
    Position,
    ShellPosition,
    SystemClass,
    SystemPosition,
    fingerprint_of,
    pack_position,
    unpack_position,
)
from tests.support.core.cores import fixed

POSITION = Position(
    sizes={"10s": 10_000, "1m": 60_000},
    relative_error=0.01,
    partitions=6,
    offsets={"events": 7},
    stream_ms=1_000,
    ledger={"events": Ledger(7, 1, 2, 1, 1, 1, 1)},
    ticks={10_000: 5},
    system=SystemPosition(classes={10_000: SystemClass(1, None)}),
)
V1: dict[str, Any] = {
    "v": 1,
    "fingerprint": "sizes=10s:10000,1m:60000;alpha=0.01",
    "partitions": 6,
    "offsets": {"events": 7},
    "stream_ms": 1_000,
    "ledger": {"events": [7, 7, 0, 0, 0, 0, 0]},
    "sequence": 4,
    "ticks": {"10s": 500, "1m": 400},
    "extra": {"expired_through_ms": 300, "changelog_begin": 9},
}


def refusal(value: bytes) -> str:
    with pytest.raises(StateIncompatible) as refused:
        unpack_position(value)
    assert "changelog record 'position'" in str(refused.value)
    return str(refused.value)


def migrated(**changes: Any) -> Position:
    return unpack_position(json.dumps(V1 | changes).encode())


def test_a_position_comes_back_and_any_json_reader_can_read_it() -> None:
    value = pack_position(POSITION)
    found = unpack_position(value)
    assert replace(found, fingerprint="", check=POSITION.check) == POSITION
    assert json.loads(value)["offsets"] == {"events": 7}
    assert json.loads(value)["fingerprint"] == V1["fingerprint"], "older builds show it when they refuse"


@fixed(100)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_position_with_any_byte_changed_is_refused(place: int, flip: int) -> None:
    value = pack_position(POSITION)
    place %= len(value)
    refusal(value[:place] + bytes([value[place] ^ flip]) + value[place + 1 :])


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "is damaged"),
        (b"{}", "is damaged (Object missing required field `v`)"),
        (b'{"v":3,"anything":[]}', "is of version 3, this build reads versions 1 to 2: go back"),
        (b'{"v":0}', "is of version 0"),
        (b'{"v":2}', "is damaged (Object missing required field"),
        (pack_position(POSITION).replace(b'"partitions":6', b'"partitions":7'), "its checksum is wrong"),
        (pack_position(POSITION) + b" ", "its checksum is wrong"),
        (json.dumps(json.loads(pack_position(POSITION))).encode(), "its checksum is wrong"),
    ],
)
def test_a_position_that_is_newer_or_damaged_is_refused_with_what_is_wrong(value: bytes, why: str) -> None:
    assert why in refusal(value)


def test_version_1_is_read_as_what_it_says_today_and_keeps_its_version() -> None:
    assert migrated() == Position(
        v=1,
        sizes={"10s": 10_000, "1m": 60_000},
        relative_error=0.01,
        partitions=6,
        offsets={"events": 7},
        stream_ms=1_000,
        closed_through_ms=500,
        sealed_through_ms=300,
        ledger={"events": Ledger(7, 7)},
        sequence=4,
        ticks={10_000: 500, 60_000: 400},
        shell=ShellPosition(changelog_begin=9),
        system=None,
    )
    assert (migrated(ticks={}).closed_through_ms, migrated(extra={}).sealed_through_ms) == (None, None)


def test_the_system_task_of_version_1_is_known_by_what_only_it_counted() -> None:
    extra = {"dropped_open": 0, "ignored_partials": 2, "floor_ms": 100, "last_larger_ms": 200}
    assert migrated(extra=extra).system == SystemPosition(floor_ms=100, ignored_partials=2, last_larger_ms=200)
    assert migrated(extra={"ignored_partials": 2}).system is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"fingerprint": "sizes=10s:10000"}, "'sizes=10s:10000' is no fingerprint of version 1"),
        ({"fingerprint": "sizes=10s:ten;alpha=0.01"}, "invalid literal for int"),
        ({"fingerprint": "sizes=10s:10000,1m:60000;alpha=1e-"}, "could not convert"),
        ({"ticks": {"5m": 1}}, "ticks of ['5m'], sizes are ['10s', '1m']"),
        ({"offsets": {"events": "7"}}, "Expected `int`"),
    ],
)
def test_a_position_that_version_1_cannot_have_written_is_damaged(change: dict[str, Any], why: str) -> None:
    found = refusal(json.dumps(V1 | change).encode())
    assert "is damaged (" in found
    assert why in found


def test_the_name_of_a_size_may_hold_what_separates_it_from_its_length() -> None:
    fingerprint = fingerprint_of([("a:b", 1_000), ("c", 2_000)], 1e-05)
    found = migrated(fingerprint=fingerprint, ticks={})
    assert (found.sizes, found.relative_error) == ({"a:b": 1_000, "c": 2_000}, 1e-05)


def test_a_ledger_balances_where_each_record_is_in_one_column() -> None:
    assert Ledger().balanced
    assert Ledger(6, 1, 1, 1, 1, 1, 1).balanced
    for column in range(7):
        off = [6, 1, 1, 1, 1, 1, 1]
        off[column] += 1
        assert not Ledger(*off).balanced
