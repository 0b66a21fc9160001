"""Logs: JSON or columns, one way out for all libraries, and no value that acts on a terminal."""

import io
import logging
from collections.abc import Iterator

import orjson
import pytest
import structlog

from topology.runtime.logs import Chatter, safe_text, setup_logs
from topology.settings.sections import LogSettings

HOSTILE = "a\x1b[2Jb\r\nc\u202egnp\u2069\u200bd\x85e\x00\ud800"
HARMLESS = r"a\x1b[2Jb\x0d\x0ac\u202egnp\u2069\u200bd\x85e\x00\ud800"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    libraries = {name: logging.getLogger(name).level for name in ("aiokafka", "faust", "mode", "asyncio")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, former in libraries.items():
        logging.getLogger(name).setLevel(former)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def test_text_that_acts_on_a_terminal_is_written_as_escapes() -> None:
    assert safe_text(HOSTILE) == HARMLESS
    assert safe_text("Größe µs 日本語 🙂") == "Größe µs 日本語 🙂"


def test_a_record_is_one_json_line_without_a_terminal() -> None:
    stream = io.StringIO()
    setup_logs(LogSettings(), stream)
    structlog.get_logger("task").info("module seen", module_id=HOSTILE, nested={"k\n": [HOSTILE]}, partition=3)
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["logger"], line["partition"]) == ("module seen", "info", "task", 3)
    assert line["module_id"] == HARMLESS
    assert line["nested"] == {r"k\x0a": [HARMLESS]}
    assert str(line["timestamp"]).endswith("Z")


def test_a_terminal_gets_columns_and_no_control_characters_from_values() -> None:
    stream = Terminal()
    setup_logs(LogSettings(), stream)
    structlog.get_logger("task").warning("module seen", module_id=HOSTILE)
    text = stream.getvalue()
    assert not text.startswith("{")
    assert "\x1b[2J" not in text
    assert text.count("\n") == 1


def test_the_format_can_be_forced() -> None:
    stream = Terminal()
    setup_logs(LogSettings(format="json"), stream)
    structlog.get_logger("x").info("e")
    assert lines(stream)[0]["event"] == "e"
    plain = io.StringIO()
    setup_logs(LogSettings(format="console"), plain)
    structlog.get_logger("x").info("e")
    assert not plain.getvalue().startswith("{")


def test_libraries_that_log_by_the_standard_library_come_the_same_way() -> None:
    stream = io.StringIO()
    setup_logs(LogSettings(), stream)
    logging.getLogger("aiokafka.conn").error("closed by %s", HOSTILE)
    logging.getLogger("faust").info("chatter")
    (line,) = lines(stream)
    assert (line["event"], line["logger"], line["level"]) == (f"closed by {HARMLESS}", "aiokafka.conn", "error")


def test_nothing_below_the_level_is_written() -> None:
    stream = io.StringIO()
    setup_logs(LogSettings(level="warning"), stream)
    structlog.get_logger("x").info("no")
    logging.getLogger("other").info("no")
    structlog.get_logger("x").warning("yes")
    assert [line["event"] for line in lines(stream)] == ["yes"]


def test_a_traceback_stays_readable_and_harmless() -> None:
    stream = io.StringIO()
    setup_logs(LogSettings(), stream)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        structlog.get_logger("x").exception("failed")
        logging.getLogger("aiokafka").exception("failed")
    for line in lines(stream):
        exception = str(line["exception"])
        assert exception.startswith("Traceback")
        assert "\x1b" not in exception
        assert "\u202e" not in exception


@pytest.mark.parametrize("step_s", [-3_600, 0, 3_600])
def test_how_often_a_library_repeats_itself_does_not_depend_on_the_wall_clock(step_s: int) -> None:
    now = 0.0
    chatter = Chatter(every_s=10.0, clock=lambda: now)

    def said(at: float, created: float) -> str | None:
        nonlocal now
        now = at
        record = logging.makeLogRecord(
            {"name": "aiokafka", "msg": f"cannot connect to 10.0.0.{at:.0f}", "created": created}
        )
        return record.getMessage() if chatter.filter(record) else None

    assert said(0.0, 1_700_000_000.0) == "cannot connect to 10.0.0.0"
    # The wall clock steps here.
    assert said(1.0, 1_700_000_001.0 + step_s) is None
    assert said(9.0, 1_700_000_009.0 + step_s) is None
    assert said(10.0, 1_700_000_010.0 + step_s) == "cannot connect to 10.0.0.10 (2 more like this)"
