"""A position against its log: what was lost, what is another log, what is at its end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InputRewound
from topology.state.log_position import LogEdges, Start, is_at_end, restart_of, start_of

LOG = LogEdges("id-1", 100, 900)


@pytest.mark.parametrize(
    ("position", "start"),
    [
        (None, Start(100)),
        (100, Start(100)),
        (500, Start(500)),
        (900, Start(900)),
        (40, Start(100, 60)),
        (0, Start(100, 100)),
    ],
)
def test_a_position_within_its_log_is_kept_and_what_lies_before_it_is_counted(
    position: int | None, start: Start
) -> None:
    assert start_of("3", "events", position, "id-1", LOG) == start
    assert start_of("3", "events", position, "", LOG) == start, "a position that knows no id is judged by its offset"
    assert start_of("3", "events", position, "id-1", LogEdges("", 100, 900)) == start, (
        "a broker that tells none likewise"
    )


@given(st.integers(0, 2_000), st.integers(0, 1_000), st.integers(0, 1_000))
def test_no_record_of_another_log_is_ever_taken_for_seen(position: int, begin: int, more: int) -> None:
    """Also when the new log has grown past the old position."""
    with pytest.raises(InputRewound, match="deleted and made anew"):
        start_of("3", "events", position, "id-0", LogEdges("id-1", begin, begin + more))


def test_a_position_beyond_the_end_is_refused_with_the_way_out() -> None:
    with pytest.raises(InputRewound, match="lies beyond the log's end 900") as refused:
        start_of("3", "events", 901, "id-1", LOG)
    assert "--accept-input-reset" in str(refused.value)
    assert str(refused.value).startswith("task 3: ")


def test_a_log_made_anew_is_read_whole_and_one_that_was_cut_from_its_end() -> None:
    assert restart_of("id-0", LOG) == Start(100)
    assert restart_of("id-1", LOG) == Start(900)
    assert restart_of("", LOG) == Start(900)


@pytest.mark.parametrize(
    ("positions", "ends", "at_end"),
    [
        ({"a": 5, "b": 0}, {"a": 5, "b": 0}, True),
        ({"a": 5, "b": 0}, {"a": 6, "b": 0}, False),
        ({"a": 5, "b": 0}, {"a": 4, "b": 0}, False),
        ({"a": 5, "b": 0}, {"a": 5}, False),
    ],
)
def test_only_who_stands_exactly_at_every_end_may_be_idle(
    positions: dict[str, int], ends: dict[str, int], at_end: bool
) -> None:
    assert is_at_end(positions, ends) is at_end
