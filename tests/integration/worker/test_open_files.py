"""A worker with too few files for its tasks says that, and never that there is no broker."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import MakeFleet
from tests.support.broker.fleet import Fleet
from tests.support.broker.records import until

pytestmark = pytest.mark.broker
PARTITIONS = 24
# What the interpreter and the loop have open, and a few tasks; 24 tasks need about 90.
FEW = 40


def run_limited(fleet: Fleet, log: Path, soft: int, hard: int) -> "subprocess.Popen[bytes]":
    """A worker whose limits of open files are these."""
    program = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}));"
        " from topology.cli import main; main()"
    )
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-c", program, "run"], env=fleet.environment, cwd=log.parent, stderr=out
        )


def test_too_few_files_end_the_worker_with_the_limit_and_the_remedy(make_fleet: MakeFleet, tmp_path: Path) -> None:
    fleet = make_fleet(topics__partitions=str(PARTITIONS))
    log = tmp_path / "few.log"
    worker = run_limited(fleet, log, FEW, FEW)
    try:
        assert worker.wait(60) == 1
    finally:
        worker.kill()
        worker.wait()
    text = log.read_text()
    assert text.splitlines()[-1].startswith(f"modpulse: this process may have {FEW} files open"), text
    assert "LimitNOFILE" in text
    assert "no broker" not in text


def test_the_soft_limit_is_no_limit(make_fleet: MakeFleet, tmp_path: Path) -> None:
    fleet = make_fleet(topics__partitions=str(PARTITIONS))
    log = tmp_path / "soft.log"
    worker = run_limited(fleet, log, FEW, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    try:
        until(lambda: worker.poll() is not None or '"event":"assigned"' in log.read_text(), "tasks opened")
        worker.terminate()
        assert worker.wait(60) == 0, log.read_text()
    finally:
        worker.kill()
        worker.wait()
