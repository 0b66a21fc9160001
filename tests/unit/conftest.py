"""Shared by the tests that need no broker."""

import os
from pathlib import Path

import pytest

from tests.support.shell.command import Run


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """The command line in an empty directory, without settings from the surroundings."""
    for name in [name for name in os.environ if name.startswith("MODPULSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return Run(monkeypatch, capfd)
