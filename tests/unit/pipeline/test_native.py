"""The compiled part reads and writes nothing outside what it is given, and says what is wrong."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import pipeline.native
from pipeline.native import FRAME_BYTES, LIBRARY, PLAIN, Native, NativeLimits, TooManyHeadersError, load_native
from tests.support.records import wire
from tests.support.records.poison import AT_MS, raw

LIMITS = NativeLimits(65_536, 32, 64, 256)


def test_spans_that_lie_outside_the_buffer_are_not_read(native: Native) -> None:
    value = raw(AT_MS)
    n = len(value)
    spans = [(0, n), (1, n), (-1, n), (0, n + 1), (0, -1), (n, 1), (2**62, 2**62), (0, 2**63 - 1)]
    starts, sizes = np.array([s for s, _ in spans], np.int64), np.array([s for _, s in spans], np.int64)
    found = native.events(value, (starts, sizes), (starts, sizes), LIMITS)
    assert (found.flags & PLAIN).tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    with pytest.raises(ValueError, match="differ in length"):
        native.events(value, (starts, sizes), (starts[:1], sizes[:1]), LIMITS)


def test_arrays_that_are_no_table_are_refused(native: Native) -> None:
    ids, codes, panes = np.zeros(4, np.uint64), np.zeros(4, np.uint32), np.array([30_000], np.int64)
    one, code = np.ones(1, np.uint64), np.zeros(1, np.uint32)
    for table in ((ids[:3], codes[:3]), (ids, codes[:2]), (ids[::2], codes[::2]), (ids[:0], codes[:0])):
        with pytest.raises(ValueError, match="no table"):
            native.look_up(table, panes, one)
        with pytest.raises(ValueError, match="no table"):
            native.insert(table, one, code)
        with pytest.raises(ValueError, match="no table"):
            native.move_ids((ids, codes), table)
    with pytest.raises(ValueError, match="differ in length"):
        native.insert((ids, codes), one, codes)
    assert native.insert((ids, codes), one, code) == 1
    assert native.look_up((ids, codes), panes, np.array([1, 2], np.uint64)).tolist() == [30_000, -1]
    with pytest.raises(RuntimeError, match="native = off"):
        native.look_up((ids, codes), panes[:0], one)  # a code without a pane


def test_equal_ids_are_one_and_the_last_of_them_stays(native: Native) -> None:
    old, new = ((np.zeros(size, np.uint64), np.zeros(size, np.uint32)) for size in (8, 16))
    panes = np.array([30_000, 60_000], np.int64)
    ids = np.array([9, 17, 9, 2**64 - 1], np.uint64)  # 9 and 17 may meet in a slot
    assert native.insert(old, ids, np.array([0, 1, 1, 0], np.uint32)) == 3
    native.move_ids(old, new)
    for table in (old, new):
        wanted = np.array([9, 17, 2**64 - 1, 25], np.uint64)
        assert native.look_up(table, panes, wanted).tolist() == [60_000, 60_000, 30_000, -1]


RECORD = wire.record(0, 0, b"k", b"v", [(b"h", b"x")])


@pytest.mark.parametrize(
    ("data", "count", "said"),
    [
        (RECORD[:-1], 1, "it ends inside a record"),
        (bytes([RECORD[0] + 2]) + RECORD[1:] + b"\0", 1, "the size of a record is not that of its parts"),
        (RECORD * 2, 1, "bytes are left behind the last record"),
        (RECORD * 2, 2, "offsets do not rise from 0 on"),
        (RECORD, len(RECORD) + 1, f"{len(RECORD) + 1} records in {len(RECORD)} bytes"),
        (RECORD, -1, f"-1 records in {len(RECORD)} bytes"),
    ],
)
def test_bytes_that_are_not_so_many_records_are_refused_with_what_is_wrong(
    native: Native, data: bytes, count: int, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        native.records(data, 0, count, 10)


def test_headers_are_too_many_one_beyond_the_bound_and_not_at_it(native: Native) -> None:
    assert native.records(RECORD, 0, 1, 1).shape == (8, 1)
    for most in (0, -1):
        with pytest.raises(TooManyHeadersError, match=f"more than {most} headers"):
            native.records(RECORD, 0, 1, most)


def test_positions_count_from_the_base_and_a_null_has_the_size_of_minus_one(native: Native) -> None:
    data = wire.record(0, -3, b"key", None) + wire.record(2, 0, None, b"")
    found = native.records(data, 100, 2, 0)
    places = found[2:6].T.tolist()
    assert found[:2].tolist() == [[0, 2], [-3, 0]]
    assert ([row[1] for row in places], [row[3] for row in places]) == ([3, -1], [-1, 0])
    assert data[places[0][0] - 100 :].startswith(b"key")


def test_what_lies_outside_its_buffer_is_not_packed(native: Native) -> None:
    columns = np.zeros((7, 1), np.int64)
    for row, bad in ((0, 9), (1, 9), (2, -1), (3, 1 << 20), (4, 9)):
        wrong = columns.copy()
        wrong[[1, 3], 0] = 1
        wrong[4, 0] = -1
        wrong[row, 0] = bad
        with pytest.raises(RuntimeError, match="native = off"):
            native.pack(b"abc", wrong, b"home", b"t/0/")
    tails, sizes, room = np.zeros(3, np.uint8), np.array([1, 1], np.int64), np.zeros(99, np.uint8)
    with pytest.raises(RuntimeError, match="native = off"):
        native.frame(tails, sizes, 0, room)
    with pytest.raises(RuntimeError, match="native = off"):
        native.frame(tails[:2], sizes, 0, room[:5])
    with pytest.raises(ValueError, match="not written here"):
        native.frame(tails[:2], sizes, 0, room[::2])


def test_what_was_packed_fits_its_frame_at_the_farthest_place_of_a_batch(native: Native) -> None:
    columns = np.array([[0], [3], [0], [-1], [-1], [2**62], [2**63 - 1]], np.int64)
    tails, sizes = native.pack(b"abc", columns, b"home", b"t/0/")
    assert sizes.tolist() == [tails.size]
    assert b"abc" in tails.tobytes()
    assert b"t/0/%d" % 2**62 in tails.tobytes()
    records = np.zeros(tails.size + FRAME_BYTES, np.uint8)
    written = native.frame(tails, sizes, 2**31 - 1, records)
    body = b"\0\0" + wire.varint(2**31 - 1) + tails.tobytes()
    assert records[:written].tobytes() == wire.varint(len(body)) + body


def test_without_the_library_there_is_none(tmp_path: Path) -> None:
    assert load_native(tmp_path / "absent.so") is None


@pytest.mark.usefixtures("native")
def test_a_library_of_another_version_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    same, other = (Path(shutil.copy(LIBRARY, tmp_path / name)) for name in ("same.so", "other.so"))
    assert load_native(same) is not None
    monkeypatch.setattr(pipeline.native, "ABI", pipeline.native.ABI + 1)
    assert load_native(other) is None


def test_a_library_that_fails_says_what_to_do(native: Native, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_events", lambda *_: -100)
    none = np.zeros(0, np.int64)
    with pytest.raises(RuntimeError, match="native = off"):
        native.events(b"", (none, none), (none, none), LIMITS)
