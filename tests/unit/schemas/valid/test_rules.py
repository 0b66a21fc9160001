"""The rules beyond the types: each border, and the words for what lies beyond it."""

import unicodedata

import pytest

from schemas.errors import PoisonRecord
from schemas.events import ModuleLogEvent
from schemas.valid.rules import (
    BIDI_CONTROLS,
    BLANKS,
    FIRST_MICROSECOND,
    FIRST_MS,
    FIRST_NANOSECOND,
    EventRules,
    event_fault,
    event_time,
    id_fault,
    label_fault,
    parse_timestamp,
)
from tests.support.records.oddities import AT_MS

RULES = EventRules()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.0009999Z", 0),
        ("1970-01-01T00:00:00.001999999Z", 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2000-02-29T23:59:59.999-00:30", 951_870_599_999),
        ("2026-06-01t12:00:00.5z", AT_MS + 500),
    ],
)
def test_rfc_3339_is_rounded_down_to_milliseconds(text: str, expected: int) -> None:
    assert parse_timestamp(text) == expected


@pytest.mark.parametrize("text", ["1969-12-31T23:59:59.999Z", "1970-01-01T00:30:00+01:00", "2026-06-01", "", "now"])
def test_what_is_no_time_since_1970_is_invalid(text: str) -> None:
    with pytest.raises(PoisonRecord, match="invalid"):
        parse_timestamp(text)


def test_control_and_bidi_characters_are_named_and_every_other_letter_is_welcome() -> None:
    for character in [*BIDI_CONTROLS, *map(chr, [*range(32), *range(127, 160)])]:
        fault = id_fault(f"a{character}b")
        assert fault is not None
        assert f"U+{ord(character):04X}" in fault
    for text in ("süß", "קופה", "👨‍👩‍👧", "a|b", " a ", "\u200da"):
        assert id_fault(text) is None


def test_an_id_that_leaves_no_ink_is_blank() -> None:
    for text in ("", " ", "\u2003\u3000", BLANKS, *BLANKS):
        assert id_fault(text) == "module_id is blank"
    assert id_fault("\u200b.\u200b") is None


@pytest.mark.parametrize(
    ("stamp", "words"),
    [
        (0, "lies before windows.min_timestamp = 1973-01-01T00:00:00Z"),
        (FIRST_MS // 1000 - 1, "lies before"),
        (1_795_613_867, "timestamp 1795613867 is in seconds; send epoch milliseconds"),
        (FIRST_MS - 1, "is in seconds"),
        (FIRST_MS, None),
        (AT_MS, None),
        (FIRST_MICROSECOND - 1, None),
        (FIRST_MICROSECOND, "is in microseconds; send epoch milliseconds"),
        (AT_MS * 1_000, "is in microseconds"),
        (FIRST_NANOSECOND - 1, "is in microseconds"),
        (FIRST_NANOSECOND, "is in nanoseconds"),
        (AT_MS * 1_000_000, "is in nanoseconds"),
        ("1972-12-31T23:59:59.999Z", "lies before windows.min_timestamp"),
        ("1973-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59Z", None),
        ("2016-12-31T23:59:60Z", "names second 60; send 59 for a leap second"),
        ("2026-02-30T00:00:00Z", "names a date, a time or an offset that is none"),
    ],
)
def test_a_stamp_of_another_unit_is_named(stamp: int | str, words: str | None) -> None:
    if words is None:
        assert event_time(stamp, RULES) >= FIRST_MS
        return
    with pytest.raises(PoisonRecord) as raised:
        event_time(stamp, RULES)
    assert raised.value.reason == "invalid"
    assert words in raised.value.message


def test_the_date_of_a_text_counts_as_it_is_written() -> None:
    assert event_time("1973-01-01T00:30:00+01:00", RULES) == FIRST_MS - 1_800_000
    with pytest.raises(PoisonRecord, match="lies before"):
        event_time("1972-12-31T23:30:00-01:00", RULES)


def test_older_events_are_admitted_by_the_setting_and_no_other_unit_is() -> None:
    rules = EventRules(min_timestamp_ms=0)
    assert [event_time(stamp, rules) for stamp in (0, 1_795_613_867, "1970-01-01T00:00:00Z")] == [0, 1_795_613_867, 0]
    for stamp in (FIRST_MICROSECOND, "1970-01-01T00:00:00+01:00"):
        with pytest.raises(PoisonRecord):
            event_time(stamp, rules)
    later = EventRules(min_timestamp_ms=AT_MS)
    with pytest.raises(PoisonRecord, match=r"lies before windows.min_timestamp = 2026-06-01T12:00:00Z"):
        event_time(AT_MS - 1, later)


def test_each_limit_of_labels_is_named() -> None:
    assert label_fault({}, RULES) is None
    assert label_fault({f"l{i}": "v" for i in range(32)}, RULES) is None
    assert "limits.max_labels allows 32" in (label_fault({f"l{i}": "v" for i in range(33)}, RULES) or "")
    assert "limits.max_label_key_chars = 64" in (label_fault({"k" * 65: "v"}, RULES) or "")
    assert "limits.max_label_value_chars = 256" in (label_fault({"k": "v" * 257}, RULES) or "")


def test_an_event_is_judged_by_all_of_them() -> None:
    good = ModuleLogEvent("m", AT_MS, True, 1.0)
    assert event_fault(good, RULES) is None
    for event in (
        ModuleLogEvent(" ", AT_MS, True, 1.0),
        ModuleLogEvent("m", 1, True, 1.0),
        ModuleLogEvent("m", AT_MS, True, 1.0, labels={"k" * 65: "v"}),
    ):
        fault = event_fault(event, RULES)
        assert fault is not None
        assert fault.reason == "invalid"


def test_the_controls_that_reorder_text_are_those_that_unicode_names_so() -> None:
    """UAX 9 lists the explicit formattings and isolates, which have bidi classes of their own, and the three implicit marks."""
    explicit = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
    named = {chr(code) for code in range(0x11_0000) if unicodedata.bidirectional(chr(code)) in explicit}
    assert named | {"\N{ARABIC LETTER MARK}", "\N{LEFT-TO-RIGHT MARK}", "\N{RIGHT-TO-LEFT MARK}"} == BIDI_CONTROLS
