"""A TCP proxy on 127.0.0.1 that can delay, throttle, or swallow everything for a while, with all connections left open.

It runs in a thread of its own. What was sent meanwhile is delivered afterwards, as TCP does when a network heals.
"""

import asyncio
import contextlib
import threading
from types import TracebackType
from typing import Self

PIECE = 1 << 16
# Pieces of one direction that may be on their way; then its sender feels it, as with TCP.
ON_THE_WAY = 64


class Proxy:
    """Forwards a port to another."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy")
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._open: asyncio.Event | None = None
        self._delay_s = 0.0
        self._bytes_a_second = 0.0
        self._free_at = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise TimeoutError("the proxy did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def swallow(self) -> None:
        """From now on nothing passes."""
        assert self._open is not None
        self._loop.call_soon_threadsafe(self._open.clear)

    def slow(self, *, delay_s: float = 0.0, bytes_a_second: float = 0.0) -> None:
        """From now on each piece takes so long each way; all connections and directions share so much a second (0: no limit)."""
        self._delay_s, self._bytes_a_second = delay_s, bytes_a_second

    def heal(self) -> None:
        """Everything passes again, what was held first."""
        assert self._open is not None
        self.slow()
        self._loop.call_soon_threadsafe(self._open.set)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop, self._open = asyncio.Event(), asyncio.Event()
        self._open.set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self._ready.set()
        await self._stop.wait()
        server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pass_on(reader, there[1]))
            group.create_task(self._pass_on(there[0], writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(ON_THE_WAY)
        giving = asyncio.ensure_future(self._give(under_way, writer))
        try:
            with contextlib.suppress(OSError):
                while piece := await reader.read(PIECE):
                    await under_way.put((self._due(len(piece)), piece))
            await under_way.put((0.0, b""))
            await giving
        finally:
            giving.cancel()
            writer.close()

    async def _give(self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        """Write each piece when it is due, in order, until the empty one."""
        assert self._open is not None
        try:
            with contextlib.suppress(OSError):
                while (taken := await under_way.get())[1]:
                    due, piece = taken
                    if (wait_s := due - self._loop.time()) > 0:
                        await asyncio.sleep(wait_s)
                    await self._open.wait()
                    writer.write(piece)
                    await writer.drain()
                return
        finally:
            writer.close()
        # The other side is gone: what is still sent to it must not block its sender, who has not heard yet.
        while (await under_way.get())[1]:
            pass

    def _due(self, size: int) -> float:
        now = self._loop.time()
        if not self._bytes_a_second:
            return now + self._delay_s
        self._free_at = max(self._free_at, now) + size / self._bytes_a_second
        return self._free_at + self._delay_s
