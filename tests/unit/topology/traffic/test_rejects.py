"""Why lines were refused, for whoever sent them."""

from pipeline.outputs import Outbox, Rejected
from topology.traffic.rejects import Rejects


def noted(*letters: tuple[str, str, bytes]) -> Rejects:
    rejects, outbox = Rejects(), Outbox()
    for reason, message, value in letters:
        outbox.reject(Rejected(reason, message, "events", 0, 0, 0, None, value, ()))
    rejects.note(outbox)
    return rejects


def test_each_reason_is_counted_with_an_example_the_most_frequent_first() -> None:
    found = noted(("late", "too old", b"a"), ("invalid", "no id", b"b" * 500), ("invalid", "no id", b"c"))
    assert found.lines() == [f"2 invalid: no id, as in {'b' * 80}", "1 late: too old, as in a"]
    assert [(one["reason"], one["count"]) for one in found.answer()] == [("invalid", 2), ("late", 1)]


def test_a_file_of_nothing_but_different_mistakes_stays_short() -> None:
    found = noted(*(("invalid", f"value {n}", b"\xff") for n in range(1_200)))
    assert len(found.lines()) == 6
    assert found.lines()[-1] == "1195 more for other reasons (--json lists them)"
    assert len(found.answer()) == 1_000


def test_a_json_array_is_recognised() -> None:
    assert "jq -c" in noted(("invalid", "Expected `object`", b"[1, 2]")).lines()[-1]
