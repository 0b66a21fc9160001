"""Jars by a locked list: whoever fetches them, they are those of the list, all of them, or none."""

import hashlib
import os
import stat
from pathlib import Path

import pytest

from topology.devbroker.jars import Jar, lock_of, locked_jars, maven_libs
from topology.devbroker.packages import ProviderUnavailableError

GOOD = b"a jar"


@pytest.fixture
def pom(tmp_path: Path) -> Path:
    file = tmp_path / "pom.xml"
    file.write_text("<project/>", "utf-8")
    lock = f"# made\norg.example:thing:1.0 {hashlib.sha256(GOOD).hexdigest()}\n"
    lock_of(file).write_text(lock, "utf-8")
    return file


def fake_maven(path: Path, monkeypatch: pytest.MonkeyPatch, *writes: tuple[str, str], code: int = 0) -> None:
    """A `mvn` that writes files into the directory it is given."""
    lines = ["#!/bin/sh", 'for a in "$@"; do case $a in -DoutputDirectory=*) d=${a#*=};; esac; done']
    lines += [f"printf '%s' '{text}' > $d/{name}" for name, text in writes]
    lines += [f"echo '[ERROR] no such artifact'; exit {code}" if code else "exit 0"]
    program = path / "bin" / "mvn"
    program.parent.mkdir(exist_ok=True)
    program.write_text("\n".join(lines), "utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def test_a_lock_says_coordinate_file_and_digest(pom: Path) -> None:
    (jar,) = locked_jars(pom)
    assert jar == Jar("org.example", "thing", "1.0", hashlib.sha256(GOOD).hexdigest())
    assert (jar.coordinate, jar.file) == ("org.example:thing:1.0", "thing-1.0.jar")


def test_what_maven_brings_is_kept_when_it_is_what_the_lock_says(
    pom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_maven(tmp_path, monkeypatch, ("thing-1.0.jar", "a jar"))
    libs = maven_libs(pom, tmp_path / "libs", "things")
    assert [file.name for file in libs.glob("*.jar")] == ["thing-1.0.jar"]
    fake_maven(tmp_path, monkeypatch, code=1)
    assert maven_libs(pom, tmp_path / "libs", "things") == libs


@pytest.mark.parametrize(
    "writes",
    [
        (("thing-1.0.jar", "another jar"),),
        (("thing-1.1.jar", "a jar"),),
        (),
        (("thing-1.0.jar", "a jar"), ("more-1.0.jar", "a jar")),
    ],
    ids=["other bytes", "another version", "nothing", "one too many"],
)
def test_jars_that_are_not_those_of_the_lock_are_refused_and_not_kept(
    pom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: tuple[tuple[str, str], ...]
) -> None:
    fake_maven(tmp_path, monkeypatch, *writes)
    with pytest.raises(ProviderUnavailableError, match=r"the jars of things are not those of the lock: "):
        maven_libs(pom, tmp_path / "libs", "things")
    assert [file.name for file in (tmp_path / "libs").iterdir() if file.suffix != ".partial"] == ["lock"]


def test_a_maven_that_fails_is_quoted(pom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_maven(tmp_path, monkeypatch, code=1)
    with pytest.raises(ProviderUnavailableError, match=r"Maven could not fetch things: \[ERROR\] no such artifact"):
        maven_libs(pom, tmp_path / "libs", "things")


def test_a_changed_lock_gets_a_directory_of_its_own(pom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_maven(tmp_path, monkeypatch, ("thing-1.0.jar", "a jar"))
    before = maven_libs(pom, tmp_path / "libs", "things")
    lock = lock_of(pom)
    lock.write_text(lock.read_text("utf-8") + "# again\n", "utf-8")
    assert maven_libs(pom, tmp_path / "libs", "things") != before
    assert before.is_dir()


def test_kafkas_lock_names_each_jar_once() -> None:
    import topology.devbroker.jars as module

    jars = locked_jars(Path(module.__file__).with_name("pom.xml"))
    assert len({jar.file for jar in jars}) == len(jars) > 90
    assert {len(jar.sha256) for jar in jars} == {64}
    assert "kafka-server-4.1.0.jar" in {jar.file for jar in jars}
