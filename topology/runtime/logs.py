"""Structured logs on standard error: one JSON object per line for machines, columns for a terminal.

Faust, mode and aiokafka log through the standard library; their records take the same way out. Values come from
records that anybody may publish, so control, escape and bidirectional characters are written as escapes: no log line
can move a terminal's cursor, forge a second line or show text in another order than it has.
"""

import logging
import math
import re
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from topology.settings.sections import LogSettings

# Everything a terminal or an editor acts upon instead of showing it: C0, DEL, C1, bidi marks, embeddings, overrides and
# isolates, line and paragraph separators, zero width characters, lone surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_EXCEPTION_LINES = {"exception", "stack"}

# Libraries that tell too much at their own info level.
_MAX_SAID = 1_000
_QUIET = {"aiokafka": logging.WARNING, "faust": logging.WARNING, "mode": logging.WARNING, "asyncio": logging.WARNING}


class Chatter(logging.Filter):
    """Lets a library say the same thing (numbers aside) once in a while, and tells how often it was said in between.

    A client that cannot reach its broker logs ten times a second, for every connection it tries. Time is the monotonic clock's:
    after the wall clock stepped back, the time of a record would hold everything back until the clock caught up.
    """

    def __init__(self, every_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s = every_s
        self._clock = clock
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this record is let through; one that is says how many like it were not."""
        said = (record.name, re.sub(r"[0-9a-f.:-]*\d[0-9a-f.:-]*", "#", record.getMessage())[:120])
        last, held_back = self._said.get(said, (-math.inf, 0))
        now = self._clock()
        if now - last < self._every_s:
            self._said[said] = (last, held_back + 1)
            return False
        if len(self._said) >= _MAX_SAID:
            self._said.clear()
        self._said[said] = (now, 0)
        if held_back:
            record.msg, record.args = f"{record.getMessage()} ({held_back} more like this)", None
        return True


def setup_logs(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send every log record of this process to `stream` (standard error), in the format the settings ask for.

    Calling it again replaces what the former call set up.
    """
    stream = sys.stderr if stream is None else stream
    as_json = settings.format == "json" or (settings.format == "auto" and not stream.isatty())
    level = getattr(logging, settings.level.upper())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info if as_json else structlog.processors.StackInfoRenderer(),
        sanitize,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(serializer=_to_json)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    )
    handler = logging.StreamHandler(stream)
    chatter = Chatter()
    handler.addFilter(lambda record: not record.name.startswith("aiokafka") or chatter.filter(record))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(level if level == logging.DEBUG else max(level, quiet))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def sanitize(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """A processor: every text in the event made harmless; line breaks survive in a traceback only."""
    for key, value in event.items():
        event[key] = _safe_lines(value) if key in _EXCEPTION_LINES else _safe(value)
    return event


def safe_text(text: str) -> str:
    """The text with every character that would not be shown as itself written as its escape."""
    return _UNSAFE.sub(_escape, text)


def _safe(value: Any) -> Any:
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, Mapping):
        return {_safe(key): _safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_safe(item) for item in value]
    return value


def _safe_lines(value: Any) -> Any:
    return "\n".join(safe_text(line) for line in value.splitlines()) if isinstance(value, str) else value


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _to_json(event: MutableMapping[str, Any], **_: Any) -> str:
    return orjson.dumps(event, default=lambda value: safe_text(str(value)), option=orjson.OPT_NON_STR_KEYS).decode()
