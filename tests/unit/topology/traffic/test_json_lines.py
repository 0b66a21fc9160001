"""Lines as an editor counts them, whatever tool wrote the file."""

import codecs
import gzip
import zlib
from pathlib import Path

import pytest

from schemas.errors import ConfigError
from topology.traffic.json_lines import numbered_lines, require_readable


def lines_of(tmp_path: Path, data: bytes) -> list[tuple[int, bytes]]:
    file = tmp_path / "in"
    file.write_bytes(data)
    return list(numbered_lines(file))


@pytest.mark.parametrize("packed", [False, True])
def test_blank_lines_are_left_out_and_counted(tmp_path: Path, packed: bool) -> None:
    data = b"{}\n\n \t\r\n{1}\r\n{2}"
    assert lines_of(tmp_path, gzip.compress(data) if packed else data) == [(1, b"{}"), (4, b"{1}"), (5, b"{2}")]


def test_the_mark_of_utf_8_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    data = codecs.BOM_UTF8 + b"{}\n" + codecs.BOM_UTF8 + b"{}\n"
    assert lines_of(tmp_path, data) == [(1, b"{}"), (2, codecs.BOM_UTF8 + b"{}")]


@pytest.mark.parametrize("encoding", ["UTF-16", "UTF-32"])
def test_a_file_of_another_encoding_is_refused_by_its_name(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(ConfigError, match=f"is {encoding}, .*iconv -f {encoding} -t UTF-8"):
        lines_of(tmp_path, '{"a": 1}\n'.encode(encoding))


def test_a_file_that_breaks_off_says_after_which_line(tmp_path: Path) -> None:
    data = b"".join(b"%d\n" % n for n in range(50_000))
    file = tmp_path / "in.gz"
    packed = gzip.compress(data)
    file.write_bytes(packed[: len(packed) // 2])
    read: list[int] = []
    with pytest.raises(ConfigError, match=r"cannot read .*in\.gz after line ([\d,]+) \(") as caught:
        read.extend(number for number, _ in numbered_lines(file))
    assert f"after line {_last(file):,} " in str(caught.value)


def _last(file: Path) -> int:
    """The number of the last whole line before the packed bytes end."""
    whole = zlib.decompressobj(wbits=31).decompress(file.read_bytes())
    return whole.count(b"\n")


def test_what_cannot_be_opened_is_refused_before_anything_else(tmp_path: Path) -> None:
    for file in (tmp_path / "missing", tmp_path):
        with pytest.raises(ConfigError, match=r"^cannot read "):
            require_readable(file)
    require_readable(Path("-"))
