"""The first signal asks for an orderly end, a second Ctrl-C for one at once."""

import asyncio
import os
import signal

import pytest

from topology.runtime.signals import signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_for_an_end_and_more_of_sigterm_change_nothing(number: signal.Signals) -> None:
    async def work() -> bool:
        stop = asyncio.Event()
        with signals(stop):
            os.kill(os.getpid(), number)
            await stop.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0)
        return stop.is_set()

    assert asyncio.run(work())


def test_a_second_interrupt_ends_it_at_once() -> None:
    async def work() -> None:
        stop = asyncio.Event()
        with signals(stop):
            os.kill(os.getpid(), signal.SIGINT)
            await stop.wait()
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work())
