"""What is wrong is said in the words of the contract, never in those of the decoder."""

import re

import msgspec
import pytest

from schemas.export import validate
from schemas.valid.words import DECODE_ERRORS, MAX_MESSAGE_CHARS, poison
from tests.support.records.oddities import AT_MS, raw
from tests.support.records.poison import POISON

# Of the decoder (Python's types, positions in brackets), and of Python.
PRIVATE = re.compile(
    r"`(int|float|str|bool|array|object)|Expected|Object missing|malformed|\(byte|codec|recursion|truncated|\$"
)
SAID = [
    (b"", "the value is empty"),
    (b" \n", "the value is empty"),
    (b"\xef\xbb\xbf{}", "the value begins with a byte order mark; send UTF-8 without one"),
    (b"\xff\xfe{\0}\0", "the value is UTF-16; send UTF-8"),
    (b"\x1f\x8b\x08", "the value is compressed by gzip; send JSON, and let Kafka compress it (compression.type)"),
    (b"hello", "the value is no JSON at byte 0: 'h' must not stand there"),
    (raw(AT_MS)[:20], "the value ends after 20 bytes, before its JSON does"),
    (
        raw(AT_MS, module_id='"a\nb"'),
        "the value is no JSON at byte 15: the control character 0x0a must not stand there",
    ),
    (raw(AT_MS, ',"x":NaN'), "the value is no JSON at byte 92: NaN is no number of JSON"),
    (raw(AT_MS, ',"x":-Infinity'), "the value is no JSON at byte 93: -Infinity is no number of JSON"),
    (raw(AT_MS) + b" x", "the value is no JSON at byte 90: something follows the JSON"),
    (raw(AT_MS, ","), "the value is no JSON at byte 88: a comma stands before the closing brace"),
    (raw(AT_MS).replace(b"check", b"\xff"), "text holds the byte 0xff, which is no UTF-8 there"),
    (b'{"a":' * 5_000, "arrays or objects are nested too deep"),
    (b"[]", "the value is an array; an object is expected"),
    (raw(AT_MS, without="success"), "the field success is missing"),
    (raw(AT_MS, timestamp="{}"), "timestamp is an object; epoch milliseconds or RFC 3339 text is expected"),
    (raw(AT_MS, success="1"), "success is an integer; true or false is expected"),
    (raw(AT_MS, module_id='""'), "module_id is empty"),
    (raw(AT_MS, ',"labels":{"a":1}'), "a value of labels is an integer; text is expected"),
    (raw(AT_MS, response_time_ms="1e400"), "response_time_ms is a number too large for 64 bits"),
]


@pytest.mark.parametrize(("value", "words"), SAID)
def test_each_fault_is_said_to_people(value: bytes, words: str) -> None:
    found = validate("module-log-events", value)
    assert found is not None
    assert found.partition(": ")[2] == words


def test_no_bad_record_is_answered_in_the_words_of_a_library() -> None:
    said = {kind.name: validate("module-log-events", kind.value or b"") or "" for kind in POISON}
    private = {name: text for name, text in said.items() if PRIVATE.search(text.replace(r"(\ud", ""))}
    assert private == {}


def test_other_words_of_the_decoder_are_cut_and_printable() -> None:
    long = poison(msgspec.ValidationError("new words\n" * 100), b"{}")
    assert (long.reason, len(long.message)) == ("invalid", MAX_MESSAGE_CHARS)
    assert long.message.startswith("new words?new")
    other = poison(msgspec.DecodeError("JSON is malformed: new words (byte 1)"), b"{\x80")
    assert (other.reason, other.message) == (
        "undecodable",
        "the value is no JSON at byte 1: the byte 0x80 must not stand there",
    )
    assert all(issubclass(error, Exception) for error in DECODE_ERRORS)


def test_a_word_that_is_none_of_a_list_is_named() -> None:
    value = b'{"name":"m","value":1,"timestamp":1780315200000,"type":"guage"}'
    assert validate("metric-samples", value) == "invalid: type is 'guage', which is none of the words allowed there"
