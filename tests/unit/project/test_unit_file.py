"""deploy/modpulse.service starts a command there is, and leaves it the time it takes to end."""

from configparser import RawConfigParser

import pytest

from tests.support.paths import ROOT
from tests.support.shell.command import Run
from topology.supervisor.supervisor import STOP_DEADLINE_S

UNIT = ROOT / "deploy" / "modpulse.service"


@pytest.fixture(scope="module")
def service() -> dict[str, str]:
    parser = RawConfigParser(strict=False)  # SystemCallFilter stands there twice
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT.read_text(encoding="utf-8"))
    return dict(parser["Service"])


def test_the_unit_starts_a_command_with_options_there_are(service: dict[str, str], run: Run) -> None:
    program, *arguments = service["ExecStart"].split()
    assert program.endswith("/.venv/bin/modpulse")
    code, out, _ = run(*arguments, "--help")
    assert code == 0
    assert "--workers" in out


def test_the_unit_waits_longer_than_the_supervisor_does(service: dict[str, str]) -> None:
    assert int(service["TimeoutStopSec"]) >= STOP_DEADLINE_S + 5
    assert service["KillMode"] == "mixed", "only the supervisor is told to end"


def test_a_wrong_setting_is_not_retried(service: dict[str, str]) -> None:
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("on-failure", "2")


def test_a_worker_may_have_more_files_than_the_usual_1024(service: dict[str, str]) -> None:
    assert int(service["LimitNOFILE"]) >= 65_536
