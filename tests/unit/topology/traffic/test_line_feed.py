"""Lines that come one by one are taken soon, and an error does not swallow those before it."""

import asyncio
import queue
import subprocess
import sys
from collections.abc import Iterator

import pytest

from schemas.errors import ConfigError
from tests.support.paths import ROOT
from topology.traffic.line_feed import Line, LineFeed


async def all_of(feed: LineFeed) -> list[Line]:
    stop, found = asyncio.Event(), list[Line]()
    while taken := await feed.take(stop):
        found += taken
    return found


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("count", [0, 1, 999, 1_000, 45_000])
def test_every_line_is_taken_once_in_order_in_chunks(count: int, live: bool) -> None:
    lines = [(number, b"%d" % number) for number in range(1, count + 1)]

    async def work() -> None:
        with LineFeed(lines, 700, live=live) as feed:
            assert await all_of(feed) == lines

    asyncio.run(work())


def test_a_line_is_taken_although_no_other_follows() -> None:
    source: queue.Queue[Line | None] = queue.Queue()
    source.put((1, b"first"))

    async def work() -> list[Line]:
        stop = asyncio.Event()
        with LineFeed(iter(source.get, None), 2_000, live=True) as feed:
            async with asyncio.timeout(10):
                taken = await feed.take(stop)
                stop.set()
                assert await feed.take(stop) == []
            source.put(None)
            return taken

    assert asyncio.run(work()) == [(1, b"first")]


def test_what_was_read_before_an_error_is_taken_before_it_is_raised() -> None:
    def lines() -> Iterator[Line]:
        yield from ((number, b"") for number in range(1_500))
        raise ConfigError("it breaks off")

    async def work() -> None:
        stop = asyncio.Event()
        with LineFeed(lines(), 100, live=False) as feed:
            taken = [len(await feed.take(stop)) for _ in range(15)]
            assert taken == [100] * 15
            with pytest.raises(ConfigError, match="it breaks off"):
                await feed.take(stop)

    asyncio.run(work())


def test_a_process_may_end_while_the_next_line_of_a_pipe_is_waited_for() -> None:
    program = (
        "import asyncio, sys; from pathlib import Path; from topology.traffic.json_lines import numbered_lines;"
        "from topology.traffic.line_feed import LineFeed\n"
        "async def work():\n"
        "    with LineFeed(numbered_lines(Path('-')), 10, live=True) as feed:\n"
        "        await feed.take(asyncio.Event())\n"
        "asyncio.run(work()); sys.exit(130)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdin is not None
        process.stdin.write(b"{}\n")
        process.stdin.flush()
        assert process.wait(30) == 130, "the pipe is still open"
