"""Planted bugs of what comes after a task's windows: forwarding, alerts, the system's windows."""

from collections.abc import Callable
from dataclasses import replace as changed
from itertools import count
from typing import Any

from tests.faults.planted.planting import replace

# One in so many is treated wrongly: enough for a short run to meet some, few enough to be a rare bug.
FORWARDED, PARTIALS = 200, 10


def _every(nth: int) -> Callable[[], bool]:
    """Says yes at every nth time it is asked."""
    asked = count(1)
    return lambda: next(asked) % nth == 0


def drop_a_forwarded_record() -> None:
    """One record in 200 that was to be forwarded is counted as forwarded and sent to nobody."""
    from pipeline.outputs import Outbox

    chosen = _every(FORWARDED)

    def make(forward: Any) -> Any:
        def wrong(self: Any, record: Any) -> None:
            if not chosen():
                forward(self, record)

        return wrong

    replace(Outbox, "forward", make)


def forward_a_record_twice() -> None:
    """One record in 200 is forwarded two times."""
    from pipeline.outputs import Outbox

    chosen = _every(FORWARDED)

    def make(forward: Any) -> Any:
        def wrong(self: Any, record: Any) -> None:
            forward(self, record)
            if chosen():
                forward(self, record)

        return wrong

    replace(Outbox, "forward", make)


def lose_a_transition_at_a_restart() -> None:
    """The first alerts that change after a restore change in the state alone: nobody is told."""
    from pipeline.alerts.machine import AlertMachine

    def make_restore(restore: Any) -> Any:
        def wrong(self: Any, key: bytes, value: bytes | None) -> None:
            restore(self, key, value)
            self.says_nothing_yet = True

        return wrong

    def make_tick(tick: Any) -> Any:
        def wrong(self: Any, *arguments: Any) -> list[Any]:
            said: list[Any] = tick(self, *arguments)
            if said and getattr(self, "says_nothing_yet", False):
                self.says_nothing_yet = False
                return []
            return said

        return wrong

    replace(AlertMachine, "restore", make_restore)
    replace(AlertMachine, "tick", make_tick)


def ignore_for() -> None:
    """An alert fires at once, however long its condition has to hold."""
    from pipeline.alerts.machine import AlertMachine

    def make(made: Any) -> Any:
        def wrong(self: Any, rules: Any, *arguments: Any, **more: Any) -> None:
            made(self, [changed(rule, for_ms=0) for rule in rules], *arguments, **more)

        return wrong

    replace(AlertMachine, "__init__", make)


def drop_a_partial() -> None:
    """One partial in ten is kept in the state of the system's windows and merged into none."""
    from pipeline.system.window import SystemWindow

    chosen = _every(PARTIALS)

    def make(take: Any) -> Any:
        def wrong(self: Any, partial: Any) -> None:
            if not chosen():
                take(self, partial)

        return wrong

    replace(SystemWindow, "take", make)


def merge_a_partial_twice_after_restart() -> None:
    """A partial that was restored stays beside the newer one that should replace it."""
    from pipeline.system.core import SystemCore
    from pipeline.system.window import SystemWindow

    def make_restore(restore: Any) -> Any:
        def wrong(self: Any, state: dict[bytes, bytes]) -> None:
            restore(self, state)
            for window in self._windows:
                LEFT[id(window)] = list(window.in_order())

        return wrong

    def make_in_order(in_order: Any) -> Any:
        def wrong(self: Any) -> list[Any]:
            return [*in_order(self), *LEFT.get(id(self), ())]

        return wrong

    replace(SystemCore, "restore", make_restore)
    replace(SystemWindow, "in_order", make_in_order)


# Partials of restored windows, by the window's identity (it has no place for more).
LEFT: dict[int, list[Any]] = {}

MUTANTS: dict[str, Callable[[], None]] = {
    "drop a forwarded record": drop_a_forwarded_record,
    "forward a record twice": forward_a_record_twice,
    "lose a transition at a restart": lose_a_transition_at_a_restart,
    "ignore `for`": ignore_for,
    "drop a partial": drop_a_partial,
    "merge a partial twice after restart": merge_a_partial_twice_after_restart,
}
