"""`modpulse doctor`: findings as rows, and an exit code that says the worst of them."""

import orjson
import pytest

from pipeline.native import load_native
from schemas.errors import BrokerUnavailable, ConfigError, ModpulseError
from tests.support.shell.command import Run
from topology.monitor import doctor
from topology.monitor.doctor import Diagnosis
from topology.monitor.finding import Finding
from topology.settings import Settings

OK = Finding("broker", "ok", "it answers")
WARN = Finding("clock", "warn", "it is behind", "run NTP")
FAIL = Finding("topic", "fail", "it is missing", "make it")


def test_without_a_broker_it_ends_with_3_and_says_what_it_knows(run: Run) -> None:
    code, out, _ = run("--set", "kafka.bootstrap_servers=127.0.0.1:1", "doctor", "--json")
    assert code == 3
    assert [(one["check"], one["status"]) for one in orjson.loads(out)] == [
        ("codecs", "ok"),
        ("native", "ok" if load_native() else "warn"),
        ("broker", "fail"),
    ]


@pytest.mark.parametrize(
    ("findings", "error", "wanted"),
    [
        ((OK, WARN), None, 0),
        ((OK, WARN, FAIL), None, 1),
        ((OK, FAIL), BrokerUnavailable("away"), 3),
        ((FAIL,), ConfigError("a setting"), 2),
        ((), ModpulseError("else"), 1),
    ],
)
def test_warnings_may_remain_failures_may_not(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    findings: tuple[Finding, ...],
    error: ModpulseError | None,
    wanted: int,
) -> None:
    async def examine(settings: Settings) -> Diagnosis:
        return Diagnosis(findings, error)

    monkeypatch.setattr(doctor, "examine", examine)
    code, out, err = run("doctor")
    assert (code, err) == (wanted, "")
    assert [line.split()[0] for line in out.splitlines()] == [one.status for one in findings]
    assert ("it is behind -> run NTP" in out) == (WARN in findings)
    assert "it answers ->" not in out
    assert len(orjson.loads(run("doctor", "--json")[1])) == len(findings)
