"""Packages from PyPI beside the checkout: complete or not there, and by their hashes only."""

import subprocess
from pathlib import Path

import pytest

from topology.devbroker import packages
from topology.devbroker.packages import ProviderUnavailableError, installed


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(packages, "DEV", tmp_path / "dev")
    file = tmp_path / "tool.lock"
    file.write_text("tool==1 --hash=sha256:" + "0" * 64 + "\n", "utf-8")
    return file


def answering(monkeypatch: pytest.MonkeyPatch, code: int, stderr: str = "") -> list[list[str]]:
    """A pip that makes the directory and ends so."""
    asked: list[list[str]] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        Path(command[command.index("--target") + 1]).mkdir()
        return subprocess.CompletedProcess(command, code, "", stderr)

    monkeypatch.setattr("topology.devbroker.packages.subprocess.run", run)
    return asked


def test_packages_are_installed_once_with_their_hashes(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, 0)
    found = installed(lock, "a tool")
    assert found.is_dir()
    assert installed(lock, "a tool") == found
    (command,) = asked
    assert {"--require-hashes", "--no-deps", ":all:"} <= set(command)


def test_a_pip_that_fails_leaves_nothing_and_is_quoted(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, 1, "collecting\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n\n")
    with pytest.raises(ProviderUnavailableError, match=r"^pip could not fetch a tool: ERROR: THESE PACKAGES"):
        installed(lock, "a tool")
    answering(monkeypatch, 0)
    assert installed(lock, "a tool").suffix != ".partial"


def test_a_directory_that_cannot_be_written_is_named(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages.DEV.write_text("a file in the way", "utf-8")
    with pytest.raises(ProviderUnavailableError, match=r"^cannot keep a tool in .*tool: "):
        installed(lock, "a tool")
