"""What a forwarded record says of its first hop, and that nobody but the worker can say it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.hop import first_place, first_timestamp, original_key, own_headers, trace
from pipeline.outputs import Header
from tests.support.core.cores import Run, batch_of, fixed
from tests.support.core.ingested import CLOCK_MS, FOREIGN, small
from tests.support.records.poison import AT_MS, raw

MODULE = b"checkout"


SPOOFED: tuple[Header, ...] = (
    ("modpulse.forwarded.from", b"a/1/2"),
    ("modpulse.forwarded.timestamp", b"77"),
    ("modpulse.forwarded.key", b"spoofed"),
)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("own", [(), SPOOFED], ids=["honest", "spoofed"])
@pytest.mark.parametrize("key", FOREIGN.values(), ids=FOREIGN)
def test_a_letter_of_a_forwarded_record_has_the_key_and_the_time_it_came_in_with(
    key: bytes | None, own: tuple[Header, ...]
) -> None:
    """The record on the repartition topic has the time of its second hop, and a sender may write any header."""
    run = Run(small())
    late = raw(AT_MS - 86_400_000)
    run.core.apply(batch_of([raw(AT_MS)], [MODULE], topic="forwarded", forwarded=True), CLOCK_MS)
    run.core.apply(batch_of([late], [key], first=50, headers=(own,)), CLOCK_MS)
    run.cut()
    (sent,) = run.forwarded
    batch = batch_of([sent.value], [b"checkout"], first=1, headers=(sent.headers,), topic="forwarded", forwarded=True)
    run.core.apply(batch, CLOCK_MS)
    run.cut()
    (reject,) = run.rejected
    assert (reject.reason, reject.key, reject.timestamp_ms) == ("late", key, 57)
    assert (reject.topic, reject.offset, reject.headers) == ("forwarded", 1, sent.headers)
    assert tuple(own_headers(sent.headers)) == own
    assert first_place(sent.headers) == ("events", 3, 50)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(
    "said", [(), (("modpulse.forwarded.from", b"garbage"), ("modpulse.forwarded.timestamp", b"soon"))]
)
def test_a_record_on_the_repartition_topic_that_says_nothing_is_taken_as_it_is(said: tuple[Header, ...]) -> None:
    run = Run(small())
    run.core.apply(batch_of([b"{"], [b"k"], headers=(said,), topic="forwarded", forwarded=True), CLOCK_MS)
    run.cut()
    (reject,) = run.rejected
    assert (reject.key, reject.timestamp_ms, reject.headers) == (b"k", 7, said)
    assert first_place(said) is None


NAMES = st.sampled_from(["h", "", *(name for name, _ in SPOOFED)])
OWN = st.lists(st.tuples(NAMES, st.one_of(st.none(), st.binary(max_size=3), st.just(b"x/1/2"))), max_size=5)


@fixed(200)
@given(OWN, st.sampled_from([None, b"", b"m", b"other", b"\xff"]), st.integers(-5, 2**62), st.integers(0, 2**62))
def test_whatever_a_sender_wrote_the_first_hop_is_what_the_worker_said(
    own: list[Header], key: bytes | None, stamp: int, offset: int
) -> None:
    headers = (*own, *trace("a.b-c_d", 7, offset, stamp, key, "m"))
    assert tuple(own_headers(headers)) == tuple(own)
    assert first_place(headers) == ("a.b-c_d", 7, offset)
    assert first_timestamp(headers, 99) == stamp
    assert original_key(headers, b"m") == key


def test_the_key_is_said_only_where_it_is_not_the_id_of_the_module() -> None:
    assert [name for name, _ in trace("t", 0, 1, 2, "ü".encode(), "ü")] == [name for name, _ in SPOOFED[:2]]
    assert trace("t", 0, 1, 2, None, "ü")[2:] == [("modpulse.forwarded.key", None)]
    assert original_key((), b"k") == b"k"


@pytest.mark.parametrize("said", [None, b"", b"t", b"t/1", b"t/1/", b"t//2", b"t/-1/2", b"t/1/2/3", b"\xff", b"t/1/ 2"])
def test_a_place_that_is_none_is_not_taken_for_one(said: bytes | None) -> None:
    assert first_place([("modpulse.forwarded.from", said)]) is None


@pytest.mark.parametrize("said", [None, b"", b"-", b"1.5", b"+1", b" 1", b"1\n", b"1_0", "٣".encode(), b"1" * 20])
def test_a_timestamp_that_is_none_is_not_taken_for_one(said: bytes | None) -> None:
    headers = [("modpulse.forwarded.from", b"t/1/2"), ("modpulse.forwarded.timestamp", said)]
    assert first_timestamp(headers, 99) == 99
