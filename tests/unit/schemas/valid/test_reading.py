"""Events in every notation: integers by value, half a surrogate pair, frames and envelopes."""

import base64
from collections.abc import Callable

import pytest

from schemas.errors import PoisonRecord
from schemas.valid.reading import read_event, valid_event
from schemas.valid.rules import EventRules
from tests.support.records.oddities import AT_MS, FRAME, envelope, raw

EVENT = raw(AT_MS)
BASED = f'"{base64.b64encode(EVENT).decode()}"'
Wrap = Callable[[bytes], bytes]
WRAPS: dict[str, Wrap] = {
    "plain": lambda inner: inner,
    "framed": lambda inner: FRAME + inner,
    "enveloped": lambda inner: envelope(inner.decode()),
    "based": lambda inner: envelope(f'"{base64.b64encode(inner).decode()}"', "data_base64"),
    "framed envelope": lambda inner: FRAME + envelope(inner.decode()),
}


def refused(value: bytes, *, structured: bool = False) -> tuple[str, str]:
    """The reason and the message."""
    with pytest.raises(PoisonRecord) as raised:
        read_event(value, structured=structured)
    return raised.value.reason, raised.value.message


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
@pytest.mark.parametrize("structured", [False, True])
def test_integers_count_by_value_in_every_wrapping(wrap: Wrap, structured: bool) -> None:
    inner = raw(AT_MS, ',"memory_bytes":1048576.0,"goroutines":1e2,"db_connections":null', timestamp=f"{AT_MS}.0")
    event = read_event(wrap(inner), structured=structured)
    assert (event.timestamp, event.memory_bytes, event.goroutines, event.db_connections) == (AT_MS, 1 << 20, 100, None)
    assert {type(event.timestamp), type(event.memory_bytes), type(event.goroutines)} == {int}


@pytest.mark.parametrize(
    ("literal", "words"),
    [
        ("1.5", "memory_bytes 1.5 has a fraction; an integer is expected"),
        ("-1.0", "memory_bytes is below 0"),
        ("9223372036854775808.0", "memory_bytes is above 9223372036854775807"),
        ("1e30", "memory_bytes is above 922337203685477580"),
        ("true", "memory_bytes is a boolean; an integer or null is expected"),
    ],
)
def test_what_is_no_integer_by_value_is_named(literal: str, words: str) -> None:
    reason, message = refused(raw(AT_MS, f',"memory_bytes":{literal}'))
    assert reason == "invalid"
    assert message.startswith(words)


def test_seconds_with_a_fraction_are_called_seconds() -> None:
    assert refused(raw(AT_MS, timestamp="1780315200.123"))[1].startswith("timestamp 1780315200.123 is in seconds")
    assert refused(raw(AT_MS, timestamp=f"{AT_MS}.5"))[1].startswith(f"timestamp {AT_MS}.5 has a fraction")


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_half_a_pair_in_a_field_that_is_ignored_costs_nothing(wrap: Wrap) -> None:
    inner = raw(AT_MS, ',"x":"\\ud83d","y":{"\\ude00":["\\ude00\\ud83d"]},"goroutines":7.0')
    assert read_event(wrap(inner)).goroutines == 7


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
@pytest.mark.parametrize(
    ("field", "inner"),
    [
        ("module_id", raw(AT_MS, module_id='"a\\ud83d"')),
        ("event_id", raw(AT_MS, ',"event_id":"\\ude00"')),
        ("labels", raw(AT_MS, ',"labels":{"a":"\\ud83d\\ud83d"}')),
        ("labels", raw(AT_MS, ',"labels":{"\\udfffa":"b"}')),
    ],
)
def test_half_a_pair_in_a_field_that_counts_is_named(wrap: Wrap, field: str, inner: bytes) -> None:
    reason, message = refused(wrap(inner))
    assert reason == "undecodable"
    assert message.startswith(f"{field} holds half of a surrogate pair (\\u")


def test_whole_pairs_and_escaped_backslashes_are_text() -> None:
    assert read_event(raw(AT_MS, module_id='"\\ud83d\\ude00"')).module_id == "\U0001f600"
    assert read_event(raw(AT_MS, module_id='"\\\\ud83d"')).module_id == "\\ud83d"


def test_an_envelope_is_known_by_its_members() -> None:
    for value in (envelope(EVENT.decode()), envelope(BASED, "data_base64")):
        assert read_event(value) == read_event(value, structured=True) == read_event(EVENT)
    assert "field module_id is missing" in refused(EVENT.replace(b"module_id", b"data"))[1], "no specversion"
    assert refused(envelope("{}"))[1] == "in the CloudEvents envelope: the field module_id is missing"
    own = raw(AT_MS, ',"specversion":"1.0","data":{}')
    assert read_event(own, structured=True) == read_event(own) == read_event(EVENT), (
        "an event with members of that name"
    )


def test_a_header_names_what_is_missing_in_the_envelope() -> None:
    value = envelope(EVENT.decode()).replace(b'"specversion":"1.0",', b"")
    assert refused(value, structured=True) == (
        "invalid",
        "in the CloudEvents envelope: the field specversion is missing",
    )


def test_a_valid_event_keeps_all_rules_and_the_size() -> None:
    assert valid_event(EVENT, EventRules()) == read_event(EVENT)
    for value, reason in ((raw(1), "invalid"), (raw(AT_MS, module_id='" "'), "invalid"), (b"x" * 70_000, "too_large")):
        with pytest.raises(PoisonRecord) as raised:
            valid_event(value, EventRules())
        assert raised.value.reason == reason
