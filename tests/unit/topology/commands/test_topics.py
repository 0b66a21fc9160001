"""`modpulse topics create`: each topic with what became of it, and a failure where one cannot be used."""

import orjson
import pytest

from tests.support.shell.command import Run
from topology.kafka import topic_admin
from topology.kafka.topic_admin import TopicReport
from topology.settings import Settings

MADE = TopicReport("a", "created", 4)
OTHER = TopicReport("b", "differs", 7, ("x is 1, not 2", "y is 3, not 4"))
FAILED = TopicReport("c", "failed", 3, ("has 3 partitions, not 4",))


def test_an_unreachable_broker_ends_with_3_and_one_line(run: Run) -> None:
    code, out, err = run("--set", "kafka.bootstrap_servers=127.0.0.1:1", "topics", "create")
    assert (code, out) == (3, "")
    assert err.startswith("modpulse: no broker at kafka.bootstrap_servers = 127.0.0.1:1 (")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("reports", "wanted"), [([MADE, OTHER], 0), ([MADE, FAILED], 1), ([], 0)])
def test_only_a_topic_that_cannot_be_used_is_a_finding(
    run: Run, monkeypatch: pytest.MonkeyPatch, reports: list[TopicReport], wanted: int
) -> None:
    async def create(settings: Settings, dry_run: bool) -> list[TopicReport]:
        return reports

    monkeypatch.setattr(topic_admin, "create_topics", create)
    code, out, _ = run("topics", "create", "--dry-run")
    assert code == wanted
    assert [line.split()[:2] for line in out.splitlines()] == [[one.status, one.name] for one in reports]
    assert ("x is 1, not 2; y is 3, not 4" in out) == (OTHER in reports)
    code, out, _ = run("topics", "create", "--json")
    assert (code, [one["name"] for one in orjson.loads(out)]) == (wanted, [one.name for one in reports])
