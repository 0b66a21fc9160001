"""`modpulse dlq` as far as it goes without a broker: flags that make sense, and letters shown harmlessly."""

import time
from collections import Counter

import pytest

from schemas.errors import ConfigError
from tests.support.shell.command import Run
from topology.commands.dlq import _filter, _letter_json, _preview, _replayed_json, _replayed_rows, _row, _time
from topology.dead_letters.record import DEAD_REASONS, LetterFilter, letter_of
from topology.dead_letters.replay import Replayed
from topology.settings import Settings

NOW_MS = 1_700_000_000_000
ORIGIN = {"topic": b"events", "partition": b"3", "offset": b"17", "timestamp": b"1"}


def headers(**said: bytes) -> list[tuple[str, bytes | None]]:
    return [(f"modpulse.errors.{name}", text) for name, text in said.items()]


def test_a_reason_is_one_of_those_the_topic_can_hold() -> None:
    for reason in (*DEAD_REASONS, "unknown"):
        assert _filter([reason], None, None, late=False).reasons == {reason}
    assert _filter(["late", "unknown"], None, None, late=True).reasons == {"late", "unknown"}
    with pytest.raises(
        ConfigError, match=r"--reason late: here it is one of .+; late letters are on a topic of their own"
    ):
        _filter(["invalid", "late"], None, None, late=False)
    with pytest.raises(ConfigError, match=r"--reason invalid: here it is one of late, unknown; choose another"):
        _filter(["invalid"], None, None, late=True)


def test_a_time_is_counted_back_from_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: NOW_MS * 1_000_000)
    assert _filter(None, "90m", "größe", late=False) == LetterFilter(frozenset(), NOW_MS - 5_400_000, "größe".encode())
    assert _filter(None, None, None, late=False) == LetterFilter(frozenset(), None, None)
    assert _filter(None, None, "", late=False).key == b""
    with pytest.raises(ConfigError, match=r"--since yesterday is not a duration"):
        _filter(None, "yesterday", None, late=False)


@pytest.mark.parametrize(
    ("data", "size", "shown"),
    [
        (None, None, "(none)"),
        (b"", None, ""),
        (b"a\n\x1b[2J\xff", None, "a\\x0a\\x1b[2J\\xff"),
        (b"x" * 200, None, "x" * 200),
        (b"x" * 201, None, "x" * 200 + "... (201 bytes)"),
        ("ä".encode() * 200, None, "ä" * 200),
        (b"x" * 100, 3_000_000, "x" * 100 + "... (3,000,000 bytes)"),
    ],
)
def test_a_value_is_shown_as_one_harmless_line_of_bounded_length(
    data: bytes | None, size: int | None, shown: str
) -> None:
    assert _preview(data, size) == shown


def test_a_time_that_is_none_is_shown_as_its_number() -> None:
    assert _time(NOW_MS + 999) == "2023-11-14T22:13:20Z"
    assert [_time(ms) for ms in (2**62, -(2**62))] == [str(2**62), str(-(2**62))]


def test_a_letter_is_a_row_that_says_where_it_came_from_and_what_is_missing_of_it() -> None:
    said = headers(reason=b"too_large", message=b"no\nroom", truncated=b"value 9", **ORIGIN)
    letter = letter_of(("dlq", 0, 5), NOW_MS, b"m", None, said)
    assert _row(letter) == (
        *("2023-11-14T22:13:20Z", "too_large", "events/3/17", "m"),
        *(r"no\x0aroom (cut: value 9)", "(none)"),
    )
    told = _letter_json(letter)
    assert (told["key"], told["value"], told["value_bytes"], told["truncated"]) == ("m", None, None, True)
    assert told["from"]["offset"] == 17


def test_a_letter_for_a_whole_batch_and_one_of_a_stranger_say_so() -> None:
    batch = headers(reason=b"undecodable", first_offset=b"17", last_offset=b"99", records=b"1234", **ORIGIN)
    letter = letter_of(("dlq", 0, 5), NOW_MS, None, b"", batch)
    assert _row(letter)[2] == "events/3/17 to 99 (1,234 records)"
    assert _letter_json(letter)["batch"] == {"first_offset": 17, "last_offset": 99, "records": 1_234}
    stranger = letter_of(("dlq", 0, 6), NOW_MS, b"m", b"v", [])
    assert _row(stranger)[1:3] == ("unknown", "?")
    assert (_letter_json(stranger)["from"], _letter_json(stranger)["batch"]) == (None, None)


def test_what_was_sent_back_is_told_by_reason_and_what_cannot_be_is_a_failure() -> None:
    done = Replayed(
        sent=3,
        already_replayed=2,
        sent_by_reason=Counter(invalid=3),
        already_by_reason=Counter(undecodable=2),
        unsendable=Counter(cut=1),
    )
    told = _replayed_json(Settings(), "dlq", done, dry_run=True)
    assert (told["sent"], told["already_replayed"], told["dry_run"]) == (3, 2, True)
    assert told["by_reason"] == {
        "invalid": {"sent": 3, "already_replayed": 0},
        "undecodable": {"sent": 0, "already_replayed": 2},
    }
    rows = _replayed_rows(Settings(), done, dry_run=True)
    assert rows[0][1] == "would be sent"
    assert [row for row in rows if row[0] == "fail"] == [("fail", "cannot be sent", "1: cut")]


@pytest.mark.parametrize(
    "arguments", [["list", "--reason", "late"], ["replay", "--since", "soon"], ["list", "--limit", "10001"]]
)
def test_flags_that_make_no_sense_end_with_2_before_a_broker_is_asked(run: Run, arguments: list[str]) -> None:
    code, out, _ = run("--set", "kafka.bootstrap_servers=127.0.0.1:1", "dlq", *arguments)
    assert (code, out) == (2, "")


def test_late_letters_that_would_be_late_again_are_warned_of(run: Run) -> None:
    away = ["--set", "kafka.bootstrap_servers=127.0.0.1:1", "dlq", "replay"]
    code, _, err = run(*away, "--late")
    assert code == 3
    assert "late letters are late again, unless windows.corrections was raised" in err
    assert "late again" not in run(*away, "--late", "--dry-run")[2]


def test_a_key_may_be_any_bytes_that_the_shell_passes() -> None:
    assert _filter(None, None, "\udcff", late=False).key == b"\xff"
