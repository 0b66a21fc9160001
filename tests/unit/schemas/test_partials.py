"""What partition tasks tell the system task: there and back, what older builds wrote, and what is refused."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.errors import StateIncompatible
from schemas.partials import (
    ModulesSeen,
    PartialRecord,
    PartitionReport,
    SystemWindowState,
    decode_partial,
    decode_window,
    encode_partial,
    encode_window,
    partial_key,
    window_key,
)
from tests.support.core.cores import fixed
from tests.support.core.system_tasks import BASE, any_partial, any_report, partial, report

seen = st.builds(ModulesSeen, st.just(1), st.integers(0, 9), st.integers(0, 9), st.lists(st.text(max_size=5)))
records: st.SearchStrategy[PartialRecord] = st.one_of(any_partial, any_report, seen)
STATE = SystemWindowState(2, 3, True, False, 4, 2, BASE)
KEY = window_key(10_000, BASE)


def refusal(value: bytes) -> str:
    with pytest.raises(StateIncompatible) as refused:
        decode_partial(value, "partials-0 at offset 7")
    found = str(refused.value)
    assert found.startswith("partials-0 at offset 7 is ")
    assert "application_id" in found
    return found


@fixed(60)
@given(records)
def test_a_record_comes_back_as_it_was_told(record: PartialRecord) -> None:
    assert replace(decode_partial(encode_partial(record), "here"), check=b"") == record


def test_records_of_different_partitions_windows_or_chunks_do_not_replace_each_other_and_newer_ones_do() -> None:
    told: list[PartialRecord] = [
        partial(1, BASE), partial(2, BASE), partial(1, BASE + 10_000), partial(1, BASE, size_ms=60_000), report(1, 5),
        report(2, 5), ModulesSeen(1, 1, 0, []), ModulesSeen(1, 1, 2, []), ModulesSeen(1, 10, 2, []),
    ]  # fmt: skip
    assert len({partial_key(record) for record in told}) == len(told)
    assert partial_key(partial(1, BASE, final=True)) == partial_key(partial(1, BASE)) == b"partial|10000|%d|1" % BASE
    assert partial_key(report(1, 9, idle=True)) == b"report|1"
    assert partial_key(ModulesSeen(1, 1, 2, ["a"])) == b"seen|1|2"


@fixed(100)
@given(records, st.integers(0, 10**6), st.integers(1, 255))
def test_a_record_with_any_byte_changed_is_refused_or_says_the_same(
    record: PartialRecord, place: int, flip: int
) -> None:
    """It says the same where only the name of the checksum was hit: it is taken for a record of an older build then."""
    value = encode_partial(record)
    place %= len(value)
    try:
        found = decode_partial(value[:place] + bytes([value[place] ^ flip]) + value[place + 1 :], "here")
    except StateIncompatible:
        return
    assert msgspec.structs.replace(found, check=b"") == record


def fields_of(record: PartialRecord, *names: str) -> dict[str, Any]:
    """The record as an older build wrote it: without these fields."""
    fields: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(record))
    return {name: value for name, value in fields.items() if name not in names}


def test_a_record_of_an_older_build_has_neither_checksum_nor_new_fields() -> None:
    older = fields_of(partial(1), "cpu_scale", "squares_rest", "silent", "check")
    assert decode_partial(msgspec.msgpack.encode(older), "here") == partial(1)
    bare = fields_of(report(1, 5), "whole_from_ms", "check")
    assert decode_partial(msgspec.msgpack.encode(bare), "here") == PartitionReport(1, 1, 2, 5, False, None)


def test_fields_of_a_newer_build_are_overlooked() -> None:
    newer = fields_of(report(1, 5)) | {"mood": "good"}
    assert decode_partial(msgspec.msgpack.encode(newer), "here") == report(1, 5)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "neither a partial nor a report"),
        (msgspec.msgpack.encode({"type": "rumour", "v": 1}), "neither a partial nor a report"),
        (encode_partial(replace(report(0, 5), v=2)), "of version 2, this build reads version 1: go back to the build"),
        (encode_partial(replace(report(0, 5), v=0)), "of version 0, this build reads version 1: go back to the build"),
        (encode_partial(report(0, 5))[:-1] + b"\x00", "damaged (its checksum is wrong): restore the topic"),
    ],
)
def test_what_is_no_record_of_this_version_is_refused_by_its_place(value: bytes, why: str) -> None:
    assert why in refusal(value)


def test_the_state_of_a_window_comes_back_also_from_version_1_which_had_no_checksum() -> None:
    assert replace(decode_window(KEY, encode_window(KEY, STATE)), check=b"") == STATE
    old = msgspec.msgpack.encode({"v": 1, "revision": 3, "final": True, "owed": False, "expected": 4, "seen": 2})
    assert decode_window(KEY, old) == replace(STATE, v=1, since_ms=None)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        (KEY, msgspec.msgpack.encode({"v": 3}), "of version 3, this build reads versions 1 to 2"),
        (KEY, msgspec.msgpack.encode({"v": 2}), "is damaged (Object missing required field `revision`"),
        (KEY, b"\xc1", "is damaged"),
        (KEY, encode_window(KEY, STATE)[:-1] + b"\x00", "its checksum is wrong"),
        (KEY, msgspec.msgpack.encode(STATE), "its checksum is wrong"),
        (window_key(10_000, 0), encode_window(KEY, STATE), "its checksum is wrong"),
    ],
)
def test_the_state_of_a_window_that_is_newer_damaged_or_of_another_key_is_refused(
    key: bytes, value: bytes, why: str
) -> None:
    with pytest.raises(StateIncompatible) as refused:
        decode_window(key, value)
    assert repr(key.decode()) in str(refused.value)
    assert why in str(refused.value)
