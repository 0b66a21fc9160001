"""Letters: whole where their topic takes them, else cut, and whatever is cut is said."""

import random

import pytest
from msgspec.structs import replace

from pipeline.ingest.hop import trace
from pipeline.ingest.packed import each_forwarded
from pipeline.outputs import Cut, Forwarded, Header, Outbox, Rejected, WholeBatch, headers_bytes
from schemas.state import Ledger, Position
from tests.support.records.forwarded import joined
from topology.producer.letters import MOST_HEADERS, adopt, letter, without_forwarded
from topology.records.outgoing import Record, batches_of

PLACE = ("events", 3, 41)
MIB = 1 << 20


def rejected(
    key: bytes | None = b"k", value: bytes | None = b"v", headers: tuple[Header, ...] = (), message: str = "no"
) -> Rejected:
    return Rejected("invalid", message, *PLACE, 1_700, key, value, headers)


def said(record: Record) -> dict[str, str]:
    return {name[16:]: (value or b"").decode() for name, value in record.headers if name.startswith("modpulse.errors.")}


def own(record: Record) -> list[Header]:
    return [header for header in record.headers if not header[0].startswith("modpulse.errors.")]


def size_of(record: Record) -> int:
    """Of the batch that holds it alone, as it is sent."""
    (batch,) = batches_of([record], MIB)
    return batch.size()


def test_a_letter_that_fits_is_whole_and_says_where_it_comes_from() -> None:
    headers: tuple[Header, ...] = (("trace", b"\xff"), ("trace", None))
    made = letter(rejected(None, None, headers), MIB)
    assert (made.key, made.value, own(made)) == (None, None, list(headers))
    assert said(made) == {
        "reason": "invalid",
        "message": "no",
        "topic": "events",
        "partition": "3",
        "offset": "41",
        "timestamp": "1700",
    }


def test_a_letter_of_a_batch_says_which_records_it_stands_for() -> None:
    whole = rejected(None, b"bytes")._replace(whole=WholeBatch(41, 99, 12, "too_large", ""))
    more = {"first_offset": "41", "last_offset": "99", "records": "12"}
    assert said(letter(whole, MIB)).items() >= more.items()
    assert said(letter(whole, 600)).items() >= more.items()


HUGE = 9 * MIB
PARTS = {
    "key": (rejected(key=b"k" * HUGE, headers=(("h", b"x"),)), f"key={HUGE}"),
    "value": (rejected(value=b"v" * HUGE, headers=(("h", b"x"),)), f"value={HUGE}"),
    "header": (rejected(headers=(("a", b"1"), ("h", b"x" * HUGE), ("b", b"2"))), f"headers={HUGE + 5}"),
    "headers": (rejected(headers=(("h", b"x"),) * 100_000), "headers=200000"),
    "all": (
        rejected(b"k" * HUGE, b"v" * HUGE, (("h", b"x" * HUGE),)),
        f"key={HUGE},headers={HUGE + 1},value={HUGE}",
    ),
    "two": (rejected(b"k" * HUGE, b"v" * HUGE, (("h", b"x" * 100),)), f"key={HUGE},value={HUGE}"),
}


@pytest.mark.parametrize("most_bytes", [8 * MIB, MIB, 5_000])
@pytest.mark.parametrize("name", PARTS)
def test_what_does_not_fit_is_cut_and_said_and_small_parts_stay_whole(name: str, most_bytes: int) -> None:
    record, truncated = PARTS[name]
    made = letter(record, most_bytes)
    assert said(made)["truncated"] == truncated
    assert size_of(made) <= most_bytes
    assert (made.key or b"") == (record.key or b"")[: len(made.key or b"")]
    assert (made.value or b"") == (record.value or b"")[: len(made.value or b"")]
    assert own(made) == list(record.headers[: len(own(made))])
    if "key=" not in truncated:
        assert made.key == record.key
    if "value=" not in truncated:
        assert made.value == record.value
    if "headers=" not in truncated:
        assert own(made) == list(record.headers)
    if "headers" not in truncated:
        assert size_of(made) > most_bytes * 0.9, "room is left unused"


def test_no_more_headers_are_kept_than_other_clients_read() -> None:
    made = letter(rejected(headers=(("h", b"x"),) * (MOST_HEADERS + 1)), 8 * MIB)
    assert len(own(made)) == MOST_HEADERS
    assert said(made)["truncated"] == f"headers={2 * (MOST_HEADERS + 1)}"
    assert "truncated" not in said(letter(rejected(headers=(("h", b"x"),) * MOST_HEADERS), 8 * MIB))


def test_a_stub_still_says_why_and_from_where_and_how_large_it_was() -> None:
    stub = letter(rejected(b"k" * 100, b"v" * 200, (("h", b"x"),), "m" * 300), 10)
    assert (stub.key, stub.value, own(stub)) == (b"", b"", [])
    assert said(stub) == {
        "reason": "invalid",
        "topic": "events",
        "partition": "3",
        "offset": "41",
        "timestamp": "1700",
        "truncated": "key=100,headers=2,value=200,message=300",
    }
    nothing = letter(rejected(None, None, (), "m" * 300), 10)
    assert (nothing.key, nothing.value, said(nothing)["truncated"]) == (None, None, "message=300")


def test_letters_of_every_size_are_as_large_as_asked_for_at_most() -> None:
    rng = random.Random(4)
    for _ in range(300):
        headers = tuple(
            (rng.randbytes(rng.randrange(9)).hex(), rng.randbytes(rng.choice((0, 10, 3_000)))) for _ in range(5)
        )
        record = rejected(rng.randbytes(rng.choice((0, 5, 4_000))), rng.randbytes(rng.choice((0, 5, 9_000))), headers)
        most = rng.randrange(600, 20_000)
        made = letter(record, most)
        assert size_of(made) <= most
        parts = dict(part.split("=") for part in said(made).get("truncated", "").split(",") if part)
        whole = {"key": record.key, "value": record.value}
        for name, data in (("key", made.key), ("value", made.value)):
            expected = whole[name] or b""
            assert (name in parts) == (data != expected)
            assert int(parts.get(name, len(expected))) == len(expected)
        assert ("headers" in parts) == (own(made) != list(headers))
        assert int(parts.get("headers", headers_bytes(headers))) == headers_bytes(headers)


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "packed together"])
def test_a_record_the_repartition_topic_does_not_take_is_a_dead_letter_as_if_it_had_never_been_forwarded(
    together: bool,
) -> None:
    spoofed: tuple[Header, ...] = (("modpulse.forwarded.from", b"a/1/2"), ("h", b"x"))

    def forwarded(offset: int, size: int, key: bytes | None) -> Forwarded:
        headers = (*spoofed, *trace("events", 3, offset, 1_700, key, "shop"))
        return Forwarded("shop", b"v" * size, 1_700, headers)

    records = [forwarded(1, 10, None), forwarded(2, 5_000, b"other"), forwarded(3, 6_000, b"shop")]
    ledger = Ledger(consumed=9, applied=2, forwarded=7)
    position = Position(
        sizes={}, relative_error=0.01, partitions=1, offsets={}, stream_ms=None, ledger={"events": replace(ledger)}
    )
    cut = Cut(Outbox(forwarded=[joined(records)] if together else [*records]), [], [], position)
    written = without_forwarded(cut, 5_000)
    assert [record.value for record in each_forwarded(written.outbox)] == [b"v" * 10]
    assert [(r.reason, r.topic, r.partition, r.offset, r.timestamp_ms, r.key) for r in written.outbox.rejected] == [
        ("too_large", "events", 3, 2, 1_700, b"other"),
        ("too_large", "events", 3, 3, 1_700, b"shop"),
    ]
    assert {r.headers for r in written.outbox.rejected} == {spoofed}
    assert written.position.ledger["events"] == replace(ledger, forwarded=5, invalid=2)
    assert written.position.ledger["events"].balanced
    assert cut.position.ledger["events"] == ledger, "the cut may have to be written in another way"
    core = {"events": replace(ledger, consumed=12, applied=5)}
    adopt(core, cut, written)
    assert core["events"] == replace(ledger, consumed=12, applied=5, forwarded=5, invalid=2)
    adopt(core, written, written)
    assert core["events"].invalid == 2
