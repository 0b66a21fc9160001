"""What was in a file stays until the new one is whole; an input is never written over."""

from pathlib import Path

import pytest

from schemas.errors import ConfigError, OutputFailed
from topology.traffic.outputs import open_output, refuse_same_file


def test_a_file_appears_whole_with_the_mode_it_had(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    file.write_bytes(b"former")
    file.chmod(0o640)
    with open_output(file) as stream:
        stream.write(b"new")
        assert file.read_bytes() == b"former"
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in tmp_path.iterdir()] == ["out.jsonl"]


@pytest.mark.parametrize("error", [ConfigError("the input is bad"), KeyboardInterrupt()])
def test_a_run_that_fails_or_is_interrupted_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    file = tmp_path / "out.jsonl"
    file.write_bytes(b"former")

    def fail() -> None:
        with open_output(file) as stream:
            stream.write(b"half of it")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert file.read_bytes() == b"former"
    assert [one.name for one in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"former")
    link.symlink_to(target)
    with open_output(link) as stream:
        stream.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_device_is_written_as_it_comes_and_its_error_names_it() -> None:
    message = r"^cannot write /dev/full \(No space left on device\); free some space"
    with pytest.raises(OutputFailed, match=message), open_output(Path("/dev/full")) as stream:
        stream.write(b"x" * 5_000_000)


def test_a_place_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"), open_output(tmp_path / "no" / "out"):
        pass


def test_an_input_and_another_output_are_refused_by_whatever_name(tmp_path: Path) -> None:
    file, link, other = tmp_path / "in.jsonl", tmp_path / "link", tmp_path / "other"
    file.write_bytes(b"events")
    link.symlink_to(file)
    hard = tmp_path / "hard"
    hard.hardlink_to(file)
    for name in (file, link, hard, tmp_path / "." / "in.jsonl"):
        with pytest.raises(ConfigError, match=r"^--out .* is the input"):
            refuse_same_file([file], {"--out": name})
    with pytest.raises(ConfigError, match=r"--alerts .* is what --out writes too"):
        refuse_same_file([file], {"--out": other, "--alerts": tmp_path / "." / "other"})
    refuse_same_file([file, Path("-")], {"--out": other, "--alerts": None})
    refuse_same_file([Path("-")], {"--out": Path("-")})
