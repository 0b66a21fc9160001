"""An orderly end of a command: what it began is finished and told."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def signals(stop: asyncio.Event) -> Iterator[None]:
    """Within the block, in a running loop, the first INT or TERM sets the event; a second INT ends the command at once."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def told(number: signal.Signals) -> None:
        if number == signal.SIGINT and stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, told, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
