"""The state of one alert in the changelog: there and back, from version 1, and refused under another alert's key."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from schemas.alert_state import STATE_VERSION, ActiveAlert, decode_state, encode_state, fingerprint_of_key, state_key
from schemas.errors import StateIncompatible

STATE = ActiveAlert(
    fingerprint="ab",
    rule="R",
    scope="module",
    module_id="m",
    status="firing",
    severity="info",
    labels={"a": "b"},
    annotations={"summary": "text"},
    threshold=0.5,
    value=None,
    active_at_ms=20,
    fired_at_ms=30,
    last_tick_ms=40,
    revision=5,
    starts_at_ms=10,
)
KEY = b"alert|ab"


def fields(*without: str, **changes: Any) -> bytes:
    """The record as another build wrote it."""
    known: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(STATE))
    return msgspec.msgpack.encode({name: value for name, value in (known | changes).items() if name not in without})


def test_the_state_comes_back_whatever_version_and_checksum_it_had_before() -> None:
    assert decode_state(KEY, encode_state(STATE)) == STATE
    assert decode_state(KEY, encode_state(replace(STATE, v=1, check=b"12345678"))) == STATE


def test_version_1_kept_neither_the_start_nor_a_checksum() -> None:
    found = decode_state(KEY, fields("starts_at_ms", "check", v=1))
    assert found == replace(STATE, v=1, starts_at_ms=None)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        (KEY, fields(v=STATE_VERSION + 1), f"is of version 3, this build reads versions 1 to {STATE_VERSION}"),
        (KEY, msgspec.msgpack.encode({"v": 9, "another": "form"}), "is of version 9"),
        (KEY, msgspec.msgpack.encode({"v": 1}), "is damaged (Object missing required field `fingerprint`"),
        (KEY, b"", "is damaged"),
        (KEY, fields("check"), "is damaged (its checksum is wrong)"),
        (KEY, encode_state(STATE)[:-1] + b"\x00", "is damaged (its checksum is wrong)"),
        (b"alert|cd", encode_state(STATE), "is damaged (its checksum is wrong)"),
        (b"alert|cd", fields("check", v=1), "is damaged (it is the state of alert 'ab')"),
        (KEY, fields("check", v=1, status="asleep"), "is damaged (Invalid enum value 'asleep'"),
        (KEY, fields("check", v=1, scope="fleet"), "is damaged (Invalid enum value 'fleet'"),
    ],
)
def test_state_that_is_newer_damaged_or_of_another_alert_is_refused_by_its_key(
    key: bytes, value: bytes, why: str
) -> None:
    with pytest.raises(StateIncompatible) as refused:
        decode_state(key, value)
    assert f"{key.decode()!r} {why}" in str(refused.value)


def test_a_key_names_its_alert_and_any_other_is_none_of_an_alert() -> None:
    assert (state_key("ab"), fingerprint_of_key(KEY)) == (KEY, "ab")
    assert fingerprint_of_key(b"alert|\xff") == "\N{REPLACEMENT CHARACTER}"
    with pytest.raises(StateIncompatible, match="not the key of an alert: b'pane"):
        fingerprint_of_key(b"pane|x")
