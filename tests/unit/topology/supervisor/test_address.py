"""A worker tells its supervisor where its probes listen; whoever reads it finds all of it or nothing."""

from pathlib import Path

import pytest

from topology.supervisor.address import VARIABLE, announce, announced


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    name = tmp_path / "worker-0.address"
    monkeypatch.setenv(VARIABLE, str(name))
    return name


def test_the_first_address_is_told_and_a_later_one_replaces_it(file: Path) -> None:
    assert announced(file) is None
    announce(["127.0.0.1:45001", "[::1]:45001"])
    assert announced(file) == "127.0.0.1:45001"
    announce(["127.0.0.1:9"])
    assert announced(file) == "127.0.0.1:9"
    assert [one.name for one in file.parent.iterdir()] == [file.name], "nothing else is left there"


def test_the_file_is_never_there_half_written(file: Path) -> None:
    announce(["127.0.0.1:45001"])
    with file.open(encoding="ascii") as former:
        announce(["127.0.0.1:45002"])
        assert former.read() == "127.0.0.1:45001", "another file took its place"


def test_a_worker_that_listens_nowhere_or_has_no_supervisor_tells_nobody(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce([])
    for value in ("", None):
        if value is None:
            monkeypatch.delenv(VARIABLE)
        else:
            monkeypatch.setenv(VARIABLE, value)
        monkeypatch.chdir(file.parent)
        announce(["127.0.0.1:1"])
    assert list(file.parent.iterdir()) == []
