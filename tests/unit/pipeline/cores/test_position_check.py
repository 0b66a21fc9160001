"""From which position a core may go on; any other is refused, before anything of the state is taken in."""

from typing import Any

import pytest
from msgspec.structs import replace

from pipeline.cores.position_check import take_position
from pipeline.sketch.mapping import ALPHA
from schemas.errors import StateIncompatible
from schemas.state import POSITION_KEY, Ledger, Position, pack_position

GOOD = Position(
    sizes={"10s": 10_000, "30s": 30_000, "40s": 40_000},
    relative_error=ALPHA,
    partitions=1,
    offsets={"events": 0},
    stream_ms=None,
    ledger={"events": Ledger(7, 1, 1, 1, 2, 1, 1)},
)


def refusal(state: dict[bytes, bytes]) -> str:
    with pytest.raises(StateIncompatible) as refused:
        take_position(state)
    return str(refused.value)


def test_a_good_position_is_taken_out_of_the_state_and_the_rest_stays() -> None:
    state = {POSITION_KEY: pack_position(GOOD), b"modules|0": b"x"}
    taken = take_position(state)
    assert replace(taken, fingerprint="", check=GOOD.check) == GOOD
    assert state == {b"modules|0": b"x"}


def test_records_without_a_position_are_counted_and_refused() -> None:
    found = refusal({b"modules|0": b"x", b"modules|1": b"x"})
    assert found.startswith("the changelog holds 2 records but no 'position', which is in each transaction: restore")
    assert "application_id" in found


SIZES, LEAST = "its window sizes do not fit together", "an offset or a partition count is below its least"
CLOSED = "windows were closed without stream time"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"sizes": {}}, SIZES),
        ({"sizes": {"0s": 0}}, SIZES),
        ({"sizes": {"10s": 10_000, "10t": 10_000}}, SIZES),
        ({"sizes": {"30s": 30_000, "10s": 10_000}}, SIZES),
        ({"sizes": {"10s": 10_000, "25s": 25_000}}, SIZES),
        ({"ledger": {"a": Ledger(1, 1), "b": Ledger(2, 1)}}, "a ledger does not balance"),
        ({"partitions": 0}, LEAST),
        ({"offsets": {"a": 1, "b": -1}}, LEAST),
        ({"sequence": -1}, LEAST),
        ({"alert_revisions": -1}, LEAST),
        ({"closed_through_ms": 0}, CLOSED),
        ({"sealed_through_ms": 0}, CLOSED),
    ],
)
def test_a_position_that_no_core_wrote_is_damaged(change: dict[str, Any], fault: str) -> None:
    found = refusal({POSITION_KEY: pack_position(replace(GOOD, **change))})
    assert f"'position' is damaged ({fault})" in found


@pytest.mark.parametrize("change", [{"stream_ms": 0, "closed_through_ms": 0}, {"offsets": {}, "ledger": {}}])
def test_what_lies_at_its_least_is_good(change: dict[str, Any]) -> None:
    take_position({POSITION_KEY: pack_position(replace(GOOD, **change))})


def test_sketches_of_another_accuracy_are_refused_with_both() -> None:
    found = refusal({POSITION_KEY: pack_position(replace(GOOD, relative_error=0.02))})
    assert f"a relative error of 0.02, this build has {ALPHA}: go back to the build that wrote it" in found
