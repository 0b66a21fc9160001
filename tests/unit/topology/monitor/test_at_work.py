"""Whether anybody works, from what can be seen from outside."""

import pytest

from topology.monitor.at_work import Work, verdict


def work(**more: object) -> Work:
    seen = {"members": 2, "state": "Stable", "committed_within_ms": 60_000, "ever": True, "waiting": 0}
    return Work(**{**seen, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "status", "says"),
    [
        (work(), "ok", "2 members in group g (Stable); the last commit is less than 60 s old"),
        (work(members=1, waiting=500), "ok", "1 member in group g"),
        (work(committed_within_ms=3_600_000), "ok", "less than 1 h old"),
        (work(members=0, waiting=2_414), "fail", "nobody works: group g has no member, 2414 records wait; the last"),
        (work(members=0, committed_within_ms=None), "fail", "more than 1 d old"),
        (work(members=0, ever=False, committed_within_ms=None), "warn", "nothing was ever committed"),
        (
            work(waiting=9, committed_within_ms=600_000),
            "fail",
            "9 records wait; the last commit is less than 10 min old",
        ),
        (work(waiting=9, committed_within_ms=None, ever=False), "fail", "9 records wait; nothing was ever committed"),
        (work(members=None), "warn", "cannot be asked"),
    ],
)
def test_silence_is_told_from_work(seen: Work, status: str, says: str) -> None:
    found = verdict(seen, "g")
    assert found.status == status
    assert says in found.text
    assert bool(found.remedy) == (status != "ok")
