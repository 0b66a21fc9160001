"""The demo: a real broker, a worker, traffic with two incidents, a live view, and an account of every record at the end.

Everything that is started is stopped, however it ends. The working directory with the logs is kept when something failed.
"""

import asyncio
import json
import secrets
import shutil
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TextIO

from topology.demo.ledger import Positions, committed_positions
from topology.demo.outcome import Outcome, Tally
from topology.demo.processes import Child, DemoFailed
from topology.demo.scenario import Scenario, config_file, demo_environ, demo_settings
from topology.devbroker import dev_broker
from topology.devbroker.process import free_port
from topology.kafka.existing_topics import delete_topics
from topology.kafka.topic_admin import create_topics
from topology.monitor.feed import LiveFeed, OutputRecord, live_feed
from topology.monitor.screen import Screen, live_screen
from topology.monitor.view import LiveView
from topology.settings import Settings, split_host_port
from topology.traffic.generate import Generated

# The demo keeps to topics of its own and deletes them, so it may use the broker that the worker uses.
_ADDRESS_VARIABLE = "MODPULSE_KAFKA__BOOTSTRAP_SERVERS"
_READY_S = 60.0
_SETTLE_S = 60.0
_STOP_S = 30.0


def run_demo(scenario: Scenario, stream: TextIO = sys.stderr) -> Outcome:
    """Run it from nothing to nothing. The first INT or TERM ends the traffic, the second ends everything at once.

    Args:
        scenario: the traffic.
        stream: where the live view goes.

    Raises:
        ConfigError: there is no broker to work with.
        DemoFailed: a part of it failed; its log is kept and named.
        KeyboardInterrupt: ended at once.
    """
    stream.write("starting Kafka ...\n")
    stream.flush()
    with dev_broker(address_variable=_ADDRESS_VARIABLE) as broker:
        directory = Path(tempfile.mkdtemp(prefix="modpulse-demo-"))
        # On a broker of somebody else's the demo keeps to topics of its own, and takes them away again.
        borrowed = broker.provider == "address"
        prefix = f"demo-{secrets.token_hex(4)}-" if borrowed else ""
        bind = f"127.0.0.1:{free_port()}"
        settings = demo_settings(directory, broker.bootstrap_servers, bind, prefix)
        stream.write(f"broker {broker.bootstrap_servers} ({broker.provider}), worker http://{bind}, logs {directory}\n")
        stream.flush()
        try:
            outcome = asyncio.run(_Demo(scenario, settings, directory, stream).run(borrowed=borrowed))
        except (asyncio.CancelledError, KeyboardInterrupt):
            shutil.rmtree(directory, ignore_errors=True)
            raise KeyboardInterrupt from None
        if outcome.findings():
            stream.write(f"the logs are kept in {directory}\n")
        else:
            shutil.rmtree(directory, ignore_errors=True)
        return outcome


class _Demo:
    def __init__(self, scenario: Scenario, settings: Settings, directory: Path, stream: TextIO) -> None:
        self._scenario = scenario
        self._settings = settings
        self._directory = directory
        self._stream = stream
        self._stop = asyncio.Event()
        self._tally = Tally()
        self._view = LiveView(settings.windows.sizes[0][0])

    async def run(self, *, borrowed: bool) -> Outcome:
        """The whole sequence; whatever was begun is undone on the way out."""
        async with AsyncExitStack() as stack:
            self._watch_signals(stack)
            reports = await create_topics(self._settings, dry_run=False)
            if borrowed:
                stack.push_async_callback(delete_topics, self._settings, [report.name for report in reports])
            worker = self._child(stack, "worker", ["run"])
            await self._ready(worker)
            feed = await stack.enter_async_context(live_feed(self._settings, from_beginning=True))
            positions = await stack.enter_async_context(committed_positions(self._settings))
            generator = self._child(stack, "generator", self._scenario.generator_arguments())
            with live_screen(self._view, brief=True, stream=self._stream) as screen:
                await self._traffic(worker, generator, feed, screen)
                await self._settled(worker, feed, positions, screen)
            worker.terminate()
            await worker.ended(_STOP_S)
            await feed.catch_up(self._take)
            await positions.catch_up()
            return Outcome(
                published=_published(generator),
                ledger=positions.ledger(),
                ledgers_balanced=positions.balanced(),
                tally=self._tally,
                interrupted=self._stop.is_set(),
            )

    def _child(self, stack: AsyncExitStack, name: str, arguments: list[str]) -> Child:
        whole = ["--config", str(config_file(self._directory)), *arguments]
        child = Child(name, whole, self._directory, demo_environ())
        stack.callback(child.kill)
        return child

    def _watch_signals(self, stack: AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()

        def interrupted() -> None:
            if self._stop.is_set() and task is not None:
                task.cancel()
            self._stop.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupted)
            stack.callback(loop.remove_signal_handler, number)

    async def _ready(self, worker: Child) -> None:
        """Return once the worker says that it works."""
        host, port = split_host_port(self._settings.metrics.bind)
        deadline = time.monotonic() + _READY_S
        while not await _answers_ok(host, port, "/readyz"):
            worker.expect_running()
            if self._stop.is_set():  # nothing was sent, so there is nothing to account for
                raise asyncio.CancelledError
            if time.monotonic() > deadline:
                raise DemoFailed(worker.story(f"was not ready within {_READY_S:g} s"))
            await asyncio.sleep(0.2)

    async def _traffic(self, worker: Child, generator: Child, feed: LiveFeed, screen: Screen) -> None:
        """Show what happens until the generator has sent everything, or was stopped and has told what it sent."""
        while generator.running:
            if self._stop.is_set():
                break
            worker.expect_running()
            await feed.read(self._take)
            screen.show()
        generator.terminate()
        await generator.ended(_STOP_S, also=-signal.SIGTERM)

    async def _settled(self, worker: Child, feed: LiveFeed, positions: Positions, screen: Screen) -> None:
        """Return once every record is in a committed position and no alert is left, or when that takes too long."""
        deadline = time.monotonic() + _SETTLE_S
        while time.monotonic() < deadline:
            worker.expect_running()
            await positions.read()
            await feed.read(self._take)
            screen.show()
            if not await positions.behind():
                await feed.catch_up(self._take)
                if self._stop.is_set() or not self._tally.active:
                    return

    def _take(self, record: OutputRecord) -> None:
        self._tally.take(record)
        self._view.take(record)


def _published(generator: Child) -> dict[str, Any]:
    """What the generator says it sent. It minds signals before it sends anything, so one that was killed sent nothing."""
    told = generator.out_file.read_bytes()
    published: dict[str, Any] = json.loads(told) if told else Generated().summary()
    return published


async def _answers_ok(host: str, port: int, path: str) -> bool:
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        return b" 200 " in await reader.readline()
    except OSError:
        return False
    finally:
        writer.close()
