"""What waits to be written is counted with all its parts: the size is what makes a task flush before its time."""

import pytest

from pipeline.outputs import RECORD_BYTES, Forwarded, Header, Outbox, RawName, Rejected, headers_bytes, name_bytes

PLACE = ("in", 0, 1, 2)


LARGE = b"x" * 9_000
HEADERS: dict[str, tuple[Header, ...]] = {
    "a value": (("h", LARGE),),
    "a name": (("h" * 9_000, None),),
    "a name that is no text": ((RawName(b"\xff" * 9_000), None),),
    # Two bytes each on the wire, and a hundred and more each in memory.
    "many": (("", None),) * 100,
}


def rejected(key: bytes | None = None, value: bytes | None = None, headers: tuple[Header, ...] = ()) -> int:
    box = Outbox()
    box.reject(Rejected("invalid", "", *PLACE, key, value, headers))
    return box.size_bytes


def forwarded(value: bytes = b"", headers: tuple[Header, ...] = ()) -> int:
    box = Outbox()
    box.forward(Forwarded("m", value, 1, headers))
    return box.size_bytes


def test_a_key_counts_as_a_value_does() -> None:
    assert rejected(key=LARGE) == rejected(value=LARGE) == forwarded(LARGE) == RECORD_BYTES + 9_000


@pytest.mark.parametrize("headers", HEADERS.values(), ids=list(HEADERS))
def test_headers_count_by_their_bytes_and_by_their_number(headers: tuple[Header, ...]) -> None:
    assert rejected(headers=headers) == forwarded(headers=headers) >= RECORD_BYTES + 9_000


def test_a_name_that_is_no_text_keeps_its_bytes() -> None:
    raw = RawName(b"a\xff")
    assert (raw, name_bytes(raw), name_bytes("ü")) == ("a\\xff", b"a\xff", "ü".encode())
    assert headers_bytes([(raw, b"1"), ("ü", None)]) == 5
