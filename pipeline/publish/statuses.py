"""The record of each module on `health-status`, at each change of its class or of its silence.

What the newest record of a module says is part of the state of the registry, so a restart neither repeats a record nor leaves one
out. The class is that of the smallest window size; both kinds of change are found at the close of base windows, in the order of
stream time.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from pipeline.alerts.durations import format_utc
from pipeline.arrays import I8
from pipeline.health.hysteresis import level_of
from pipeline.health.score import LEVELS
from pipeline.modules.registry import Expired
from pipeline.outputs import Emitted
from pipeline.publish.task_state import TaskState
from pipeline.windows.block import Block
from schemas.metrics import HealthStatus, ModuleMetrics

# In `Modules.stated`: 0 where there is no record, then the classes, then silence.
_FIRST_LEVEL = 1
_SILENT = _FIRST_LEVEL + len(LEVELS)
MOST_STATED = _SILENT
_encode = msgspec.json.Encoder().encode


class Statuses:
    """Writes the status of modules into the outbox of a task."""

    def __init__(self, state: TaskState) -> None:
        self._state = state

    def judged(self, codes: I8, records: Sequence[ModuleMetrics], block: Block, now_ms: int) -> None:
        """Publish the class of every module in which it differs from what was said.

        Args:
            codes: of the modules that had events in a base window, rising.
            records: their final records.
            block: the window.
            now_ms: the wall clock.
        """
        modules = self._state.modules
        for code, record in zip(codes.tolist(), records, strict=True):
            health = record.health
            status, former = _FIRST_LEVEL + LEVELS.index(health.status), int(modules.stated[code])
            if status != former:
                back = former == _SILENT or health.since is None
                since_ms = block.start_ms if back or health.since is None else health.since
                said = HealthStatus(
                    record.module_id, "module", health.status, health.score, health.reasons, [], since_ms, now_ms
                )
                self._say(code, status, said, block.end_ms)

    def silence(self, end_ms: int, counts: I8 | None, now_ms: int) -> None:
        """Publish who has fallen silent by the close of a base window, and who is silent no more although it had no event in it.

        Args:
            end_ms: of the window.
            counts: requests by code; None where nobody had any.
            now_ms: the wall clock.
        """
        modules = self._state.modules
        since_ms = modules.silence.since_ms
        closed = modules.silence.closed
        for code in closed[modules.stated[closed] != _SILENT].tolist():
            since = int(since_ms[code])
            said = HealthStatus(
                modules.ids[code] or "",
                "module",
                "silent",
                None,
                [f"no event since {format_utc(since)}"],
                [],
                since,
                now_ms,
            )
            self._say(code, _SILENT, said, end_ms)
        # Events that came late into the silence have ended it; there is no window with events yet to judge the module by.
        unsaid = (modules.stated == _SILENT) & (since_ms < 0)
        if counts is not None:
            unsaid[: counts.size] &= counts[: unsaid.size] == 0
        for code in np.flatnonzero(unsaid).tolist():
            level = level_of(int(modules.chains[0, code]))
            reasons = ["late events ended the silence; not judged since"]
            base_ms = self._state.windows.base_ms
            said = HealthStatus(
                modules.ids[code] or "", "module", LEVELS[level], None, reasons, [], end_ms - base_ms, now_ms
            )
            self._say(code, _FIRST_LEVEL + level, said, end_ms)

    def expired(self, gone: Sequence[Expired]) -> None:
        """Publish that there is nothing to say any more of modules that expired."""
        for module in (module for module in gone if module.stated):
            key = module.module_id.encode()
            self._state.outbox.emit(Emitted("health_status", key, b"", module.due_ms, module.due_ms))

    def _say(self, code: int, status: int, said: HealthStatus, end_ms: int) -> None:
        self._state.modules.state(np.array([code]), status)
        self._state.outbox.emit(Emitted("health_status", said.name.encode(), _encode(said), end_ms, end_ms))
