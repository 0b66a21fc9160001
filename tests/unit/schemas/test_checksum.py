"""The checksum that ends a state record, and the words for a record that must not be continued from."""

import msgspec
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from schemas.checksum import (
    CHECK_BYTES,
    NO_CHECK,
    PLACE_OF_CHECK,
    UNREADABLE,
    checksum,
    checksum_holds,
    damaged,
    require_known,
    unknown_version,
    with_checksum,
)
from schemas.errors import StateIncompatible
from tests.support.core.cores import fixed

WAY_OUT = "or choose a new application_id"


def test_the_checksum_is_that_of_key_and_body_one_behind_the_other() -> None:
    """Changelogs of all builds hold it, so it may never become another one."""
    assert checksum(b"key", b"body") == xxhash.xxh3_64(b"keybody").digest()
    assert checksum(b"", b"").hex() == "2d06800538d394c2"


@fixed(100)
@given(st.binary(max_size=20), st.binary(max_size=40), st.integers(0, 10**6), st.integers(1, 255))
def test_a_record_holds_its_checksum_until_any_byte_of_it_or_of_its_key_changes(
    key: bytes, body: bytes, place: int, flip: int
) -> None:
    value = with_checksum(key, body + PLACE_OF_CHECK)
    assert (len(value), value[: len(body)]) == (len(body) + CHECK_BYTES, body)
    assert checksum_holds(key, value)
    place %= len(value)
    assert not checksum_holds(key, value[:place] + bytes([value[place] ^ flip]) + value[place + 1 :])
    assert not checksum_holds(key + b"x", value)
    assert not checksum_holds(key, value[:-1])


@pytest.mark.parametrize("value", [b"", b"\x00", bytes(CHECK_BYTES - 1)])
def test_what_is_shorter_than_a_checksum_holds_none(value: bytes) -> None:
    assert not checksum_holds(b"key", value)


SEALED = with_checksum(b"k", b"body" + PLACE_OF_CHECK)


@pytest.mark.parametrize(
    ("value", "version", "check", "why"),
    [
        (SEALED, 3, SEALED[-8:], None),
        (b"anything", 1, NO_CHECK, None),
        (SEALED, 4, SEALED[-8:], "is of version 4, this build reads versions 1 to 3"),
        (SEALED[:-1] + b"x", 3, SEALED[-8:], "is damaged (its checksum is wrong)"),
        (b"anything", 3, NO_CHECK, "is damaged (its checksum is wrong)"),
        (SEALED, 1, SEALED[-8:], "is damaged (its checksum is wrong)"),
        (b"anything", 2, NO_CHECK, "is damaged (its checksum is wrong)"),
        (b"anything", 0, NO_CHECK, "is damaged (its checksum is wrong)"),
    ],
)
def test_only_the_newest_version_with_its_checksum_and_version_1_without_one_are_known(
    value: bytes, version: int, check: bytes, why: str | None
) -> None:
    if why is None:
        require_known(b"k", value, version, check, 3)
        return
    with pytest.raises(StateIncompatible) as refused:
        require_known(b"k", value, version, check, 3)
    assert why in str(refused.value)


def test_a_refusal_names_the_record_and_the_way_out() -> None:
    assert str(damaged(b"sums|1", "why")) == (
        f"the changelog record 'sums|1' is damaged (why): restore the changelog topic, {WAY_OUT}"
    )
    newer = str(unknown_version(b"sums|1", 9, 2))
    assert (
        "record 'sums|1' is of version 9, this build reads versions 1 to 2: go back to the build that wrote it" in newer
    )
    assert newer.endswith(WAY_OUT)


def test_a_key_that_is_long_or_no_text_is_shown_shortened_and_escaped() -> None:
    assert repr("x" * 80) in str(damaged(b"x" * 81, ""))
    assert r"record 'a\\xff' is" in str(damaged(b"a\xff", ""))


@pytest.mark.parametrize("value", [b"", b"\xc1", b"\xa1\xff", b"\x91" * 5_000, b"\x90\x90"])
def test_bytes_that_are_no_record_end_in_an_error_that_is_caught(value: bytes) -> None:
    with pytest.raises(UNREADABLE):
        msgspec.msgpack.decode(value)
