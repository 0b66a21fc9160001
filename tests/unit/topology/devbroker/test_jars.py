"""Kafka's jars: a Java that is new enough, and one fetch per pom, which appears complete or not at all."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from topology.devbroker import jars
from topology.devbroker.jars import ProviderUnavailableError, java, kafka_java, maven_libs

# Stands for Maven: notes its call, and puts two jars where it is told to.
MAVEN = """\
echo "$@" >> "{directory}/calls"
for word in "$@"; do case "$word" in -DoutputDirectory=*) out="${{word#*=}}" ;; esac; done
/bin/mkdir -p "$out" && : > "$out/a.jar" && : > "$out/b.jar"
"""
Program = Callable[[str, str], Path]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Makes programs in the one directory of the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("JAVA_HOME", raising=False)

    def make(name: str, script: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        file.chmod(0o755)
        return file

    return make


@pytest.fixture
def pom(tmp_path: Path) -> Path:
    file = tmp_path / "pom.xml"
    file.write_text("<project/>", "utf-8")
    return file


def version(text: str) -> str:
    return f"echo '{text}' >&2"


@pytest.mark.parametrize(
    "said", ['openjdk version "17" 2021-09-14', 'java version "21.0.2" 2024', 'x version "100-ea"']
)
def test_a_java_from_17_on_is_taken(program: Program, said: str) -> None:
    command = program("bin/java", version(said))
    assert java() == str(command)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('openjdk version "16.0.2"', "`java` is version 16, Kafka 4 needs 17 or newer"),
        ('java version "1.8.0_402"', "`java` is version 1, Kafka 4 needs 17 or newer"),
        ("gcj", "`java -version` names no version"),
    ],
)
def test_an_older_or_unknown_java_is_refused_with_the_reason(program: Program, said: str, told: str) -> None:
    program("bin/java", version(said))
    with pytest.raises(ProviderUnavailableError, match=told):
        java()


def test_the_java_of_java_home_comes_first_and_that_of_the_path_where_it_has_none(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ProviderUnavailableError, match="no `java` command"):
        java()
    on_path = program("bin/java", version('version "17"'))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    assert java() == str(on_path)
    of_home = program("jdk/bin/java", version('version "21"'))
    assert java() == str(of_home)


def test_the_jars_of_a_pom_are_fetched_once_and_another_pom_has_jars_of_its_own(
    program: Program, pom: Path, tmp_path: Path
) -> None:
    program("bin/mvn", MAVEN.format(directory=tmp_path))
    first = maven_libs(pom, tmp_path / "libs", "Kafka")
    assert sorted(file.name for file in first.iterdir()) == ["a.jar", "b.jar"]
    (tmp_path / "bin" / "mvn").unlink()
    assert maven_libs(pom, tmp_path / "libs", "Kafka") == first, "what is there needs no Maven"
    pom.write_text("<project>2</project>", "utf-8")
    with pytest.raises(ProviderUnavailableError, match="no `mvn` command to fetch Kafka with"):
        maven_libs(pom, tmp_path / "libs", "Kafka")
    program("bin/mvn", MAVEN.format(directory=tmp_path))
    second = maven_libs(pom, tmp_path / "libs", "Kafka")
    assert second != first
    assert first.is_dir(), "a broker may still read them"
    assert len((tmp_path / "calls").read_text("utf-8").splitlines()) == 2


def test_a_fetch_that_failed_leaves_nothing_that_looks_complete(program: Program, pom: Path, tmp_path: Path) -> None:
    failing = (
        MAVEN.format(directory=tmp_path) + "/bin/rm $out/b.jar; echo '[INFO] hm'; echo '[ERROR] no network'; exit 1"
    )
    program("bin/mvn", failing)
    with pytest.raises(ProviderUnavailableError, match=r"Maven could not fetch Kafka: \[ERROR\] no network"):
        maven_libs(pom, tmp_path / "libs", "Kafka")
    program("bin/mvn", MAVEN.format(directory=tmp_path))
    assert len(list(maven_libs(pom, tmp_path / "libs", "Kafka").iterdir())) == 2, "it was fetched anew"


def test_a_place_where_nothing_can_be_kept_is_told(program: Program, pom: Path, tmp_path: Path) -> None:
    program("bin/mvn", MAVEN.format(directory=tmp_path))
    with pytest.raises(ProviderUnavailableError, match="cannot keep the jars of Kafka in"):
        maven_libs(pom, pom / "libs", "Kafka")


def test_ones_own_classes_are_searched_before_kafkas(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = program("bin/java", version('version "17"'))
    program("bin/mvn", MAVEN.format(directory=tmp_path))
    monkeypatch.setattr(jars, "_LIBS", tmp_path / "libs")
    found = kafka_java("a.Main", "x", "-y", classpath=[tmp_path, "b.jar"], jvm=["-Xmx1m"])
    paths = found.pop(3).split(os.pathsep)
    assert found == [str(command), "-Xmx1m", "-cp", "a.Main", "x", "-y"]
    assert paths[:2] == [str(tmp_path), "b.jar"]
    assert paths[2].endswith("/*")
    assert Path(paths[2]).parent.parent == tmp_path / "libs"
