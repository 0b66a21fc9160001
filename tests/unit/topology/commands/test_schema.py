"""`modpulse schema`: the published contract, and whether records keep it."""

import gzip
import io
import sys
from pathlib import Path

import orjson
import pytest

from tests.support.shell.command import Run

EVENT = b'{"module_id": "m", "timestamp": 1780315200000, "success": true, "response_time_ms": 2.5}'
TOPIC = "module-log-events"


def test_schema_show_and_validate_keep_to_the_contract(run: Run) -> None:
    code, out, _ = run("schema", "show", "module-log-events")
    assert code == 0
    assert "module_id" in orjson.dumps(orjson.loads(out)).decode()
    assert orjson.loads(run("schema", "show")[1])["asyncapi"].startswith("3.")
    code, _, err = run("schema", "show", "module-log-event")
    assert (code, "did you mean module-log-events?" in err) == (2, True)
    good = b'{"module_id": "m", "timestamp": 1780315200000, "success": true, "response_time_ms": 2.5}\n'
    Path("events.jsonl").write_bytes(good + b"\n" + b"{}\n")
    code, out, _ = run("schema", "validate", "module-log-events", "events.jsonl", "--json")
    answer = orjson.loads(out)
    assert (code, answer["checked"], [one["line"] for one in answer["wrong"]]) == (1, 2, [3])
    Path("events.jsonl").write_bytes(good)
    assert run("schema", "validate", "module-log-events", "events.jsonl")[0] == 0


def test_lines_are_read_plain_compressed_or_from_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("e.jsonl").write_bytes(EVENT + b"\r\n\n" + EVENT)
    Path("e.gz").write_bytes(gzip.compress(EVENT + b"\n" + EVENT, mtime=0))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(EVENT + b"\n" + EVENT + b"\n"))))
    for file in ("e.jsonl", "e.gz", "-"):
        code, out, _ = run("schema", "validate", TOPIC, file)
        assert (code, out) == (0, "ok  2 records checked, 0 wrong\n")


def test_a_wrong_line_is_named_with_its_file_and_number(run: Run) -> None:
    Path("e.jsonl").write_bytes(EVENT + b"\n{\n")
    code, out, _ = run("schema", "validate", TOPIC, "e.jsonl")
    first, last = out.splitlines()
    assert code == 1
    assert first.startswith("e.jsonl:2  ")
    assert last == "fail  2 records checked, 1 wrong"


@pytest.mark.parametrize("content", [None, gzip.compress(EVENT, mtime=0)[:-5]])
def test_a_file_that_cannot_be_read_to_its_end_is_no_finding_about_its_lines(run: Run, content: bytes | None) -> None:
    if content is not None:
        Path("e.gz").write_bytes(content)
    code, out, err = run("schema", "validate", TOPIC, "e.gz")
    assert (code, out) == (2, "")
    assert err.startswith("modpulse: cannot read e.gz (")
    assert err.endswith("name a readable JSON Lines file, plain or .gz\n")


def test_a_topic_that_resembles_none_is_answered_with_all_of_them(run: Run) -> None:
    code, _, err = run("schema", "validate", "xyzzy", "absent")
    assert code == 2
    assert "topic xyzzy has no schema; choose one of " in err
    assert TOPIC in err
