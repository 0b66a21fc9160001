"""JSON Lines in and out: bytes untouched, plain or packed, and errors that name the file."""

import gzip
import os
import sys
from pathlib import Path

import pytest

from schemas.errors import ConfigError
from topology.traffic.json_lines import STANDARD, open_output, read_lines


def test_lines_are_read_plain_or_packed_without_blank_ones_and_otherwise_untouched(tmp_path: Path) -> None:
    text = b'{"a": 1} \r\n\n  \n\xff\x0b{"b"\x85: 2}\r{"c"}\nlast'
    want = [b'{"a": 1} ', b'\xff\x0b{"b"\x85: 2}\r{"c"}', b"last"]
    (tmp_path / "plain").write_bytes(text)
    (tmp_path / "packed").write_bytes(gzip.compress(text))
    assert list(read_lines(tmp_path / "plain")) == want
    assert list(read_lines(tmp_path / "packed")) == want


@pytest.mark.parametrize("data", [b"", b"\x1f", b"\n", b"\r\n \t\r\n"])
def test_a_file_without_a_line_or_shorter_than_the_mark_of_a_packed_one_is_read_too(
    tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "short").write_bytes(data)
    assert list(read_lines(tmp_path / "short")) == ([data] if data == b"\x1f" else [])


def test_packed_files_that_were_put_together_are_read_whole(tmp_path: Path) -> None:
    (tmp_path / "two").write_bytes(gzip.compress(b"a\nb") + gzip.compress(b"c\n"))
    assert list(read_lines(tmp_path / "two")) == [b"a", b"bc"]


def test_a_file_that_cannot_be_read_to_its_end_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"{}\n" * 1_000)[:-12])
    (tmp_path / "damaged.gz").write_bytes(b"\x1f\x8b" + b"no gzip at all")
    for name in ("absent", "cut.gz", "damaged.gz", "."):
        with pytest.raises(ConfigError, match="cannot read"):
            list(read_lines(tmp_path / name))


def test_what_is_written_is_in_the_file_when_it_is_closed(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"what was there before, which is longer\n")
    with open_output(tmp_path / "out") as stream:
        stream.write(b"\xff\r\n")
    assert (tmp_path / "out").read_bytes() == b"\xff\r\n"


def test_a_file_that_cannot_be_written_is_a_usage_error_by_name(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"cannot write .*absent/out .*name a writable file"),
        open_output(tmp_path / "absent" / "out"),
    ):
        pytest.fail("there is nothing to write to")


@pytest.mark.parametrize("file", [None, STANDARD])
def test_no_name_and_a_dash_are_standard_output(file: Path | None, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with open_output(file) as stream:
        stream.write(b"\xff\n")
    assert capfdbinary.readouterr().out == b"\xff\n"
    assert not sys.stdout.closed


def test_a_reader_that_went_away_ends_it_with_success_and_without_a_second_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        with pytest.raises(SystemExit) as ended, open_output(None) as stream:
            stream.write(b"nobody reads this\n")
        assert ended.value.code == 0
        output.flush()
