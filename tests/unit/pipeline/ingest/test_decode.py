"""Each record of a batch is decoded by itself: what is good is an event, what is bad says why, and neither moves the other."""

import base64
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.decode import decode_batch, good_indices
from pipeline.outputs import Header
from schemas.errors import PoisonRecord
from schemas.valid.rules import EventRules
from tests.support.core.cores import Run, batch_of, fixed
from tests.support.core.ingested import CLOCK_MS, counted, small
from tests.support.records.oddities import FRAME, MAX_RECORD_BYTES, STRUCTURED, envelope
from tests.support.records.poison import AT_MS, raw

MODULE = b"checkout"


def decoded(*values: bytes | None, headers: tuple[Header, ...] = (), most: int = MAX_RECORD_BYTES) -> list[str]:
    """For each record the id of its module, or the reason that it has none."""
    events, bad = decode_batch(
        batch_of(values, [None] * len(values), headers=[headers] * len(values)), EventRules(max_record_bytes=most)
    )
    said = {index: why.reason for index, why in bad}
    assert len(said) == len(bad)
    rest = iter(events)
    return [said[index] if index in said else next(rest).module_id for index in range(len(values))]


@pytest.mark.usefixtures("both_ways")
@fixed(150)
@given(
    st.sampled_from(["data", "data_base64"]),
    st.one_of(
        st.text(max_size=12).map(json.dumps),
        st.binary(max_size=12).map(lambda data: json.dumps(base64.b64encode(data).decode())),
        st.sampled_from(["null", "1", "{}", "[", '"\\ud800"', raw(AT_MS).decode()]),
        st.just(json.dumps(base64.b64encode(raw(AT_MS)).decode())),
    ),
    st.text(max_size=3),
)
def test_any_envelope_ends_in_one_column_of_the_ledger(member: str, content: str, tail: str) -> None:
    run = Run(small())
    run.core.apply(batch_of([envelope(content, member) + tail.encode()], [MODULE], headers=[STRUCTURED]), CLOCK_MS)
    run.cut(CLOCK_MS)
    assert run.ledger.consumed == 1
    assert run.ledger.balanced
    assert run.ledger.applied + run.ledger.invalid == 1


@pytest.mark.usefixtures("both_ways")
def test_tombstones_among_events_and_alone_are_dead_letters_without_a_value() -> None:
    run = Run(small())
    run.core.apply(batch_of([None], [MODULE]), CLOCK_MS)
    values, keys = [raw(AT_MS), None, raw(AT_MS), None], [MODULE, None, MODULE, b"\xff"]
    run.core.apply(batch_of(values, keys, first=1), CLOCK_MS)
    run.cut(CLOCK_MS)
    assert [(r.offset, r.reason, r.key, r.value) for r in run.rejected] == [
        (0, "undecodable", MODULE, None),
        (2, "undecodable", None, None),
        (4, "undecodable", b"\xff", None),
    ]
    assert counted(run)["checkout"].total_requests == 2


GOOD = raw(AT_MS)
PIECES: dict[bytes | None, str] = {
    GOOD: "checkout",
    FRAME + GOOD: "checkout",
    raw(AT_MS, module_id='"search"'): "search",
    GOOD[:-1]: "undecodable",
    b",": "undecodable",
    b"": "undecodable",
    b"\x00": "undecodable",
    b"\xff": "undecodable",
    b'{"a":' * 10_000: "undecodable",
    b"null": "invalid",
    FRAME + b"{}": "invalid",
    b" " * (MAX_RECORD_BYTES + 1): "too_large",
}


@pytest.mark.parametrize("nulls", [False, True])
def test_a_batch_of_any_records_gives_each_what_it_gets_alone(nulls: bool) -> None:
    pieces = PIECES | ({None: "undecodable"} if nulls else {})
    rng = random.Random(1)
    for size in (1, 2, 5, 40):
        values = rng.choices(list(pieces), k=size)
        assert decoded(*values) == [pieces[value] for value in values]


def test_a_record_is_as_large_as_allowed_or_too_large_and_its_value_is_not_read() -> None:
    assert decoded(GOOD, most=len(GOOD)) == ["checkout"]
    assert decoded(GOOD, b"{", most=len(GOOD) - 1) == ["too_large", "undecodable"]
    _, ((_, why),) = decode_batch(batch_of([GOOD], [b"k"]), EventRules(max_record_bytes=len(GOOD)))
    assert why.message == f"key, value and headers are larger than limits.max_record_bytes = {len(GOOD)}"


def test_an_envelope_prefers_its_data_and_says_what_is_wrong_with_the_base64() -> None:
    both = envelope(GOOD.decode())[:-1] + b',"data_base64":"?"}'
    assert decoded(both, headers=STRUCTURED) == ["checkout"]
    for content, reason in (
        ('"e3 0="', "undecodable: data_base64 of the CloudEvents envelope is no base64"),
        ("null", "invalid: the CloudEvents envelope has neither"),
    ):
        _, ((_, why),) = decode_batch(
            batch_of([envelope(content, "data_base64")], [None], headers=[STRUCTURED]),
            EventRules(max_record_bytes=10_000),
        )
        assert str(why).startswith(reason)


def test_good_records_are_those_that_are_not_bad_in_their_order() -> None:
    why = PoisonRecord("invalid", "")
    assert list(good_indices(3, [])) == [0, 1, 2]
    assert list(good_indices(4, [(3, why), (1, why)])) == [0, 2]
    assert list(good_indices(1, [(0, why)])) == []
