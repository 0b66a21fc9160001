"""The worker: waits for the broker, works until it is asked to stop or cannot go on, and ends in time."""

import asyncio
import signal
import tempfile
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import structlog
from aiokafka.errors import KafkaError

from pipeline.alerts.rules import Rule
from schemas.errors import BrokerUnavailable, ConfigError
from topology.consumer.transport import BatchConsumer, WorkerApp, make_app
from topology.kafka.client import connection_error, named_error
from topology.kafka.credentials import Credentials
from topology.runtime.acceptance import Acceptance
from topology.runtime.clock import SteadyClock
from topology.runtime.fail_stop import Deadline, Failure, forget_given_up
from topology.runtime.heap import share_one_heap
from topology.runtime.native_build import check_native
from topology.serve.probes import Probes
from topology.settings import Settings, split_host_port
from topology.supervisor.address import announce
from topology.worker.assignment import SUSPEND_TIMEOUT_S, Assignment
from topology.worker.metrics import Instruments
from topology.worker.readiness import UNHEARD_S, not_ready
from topology.worker.watch import Watch

log = structlog.get_logger()

MAX_BACKOFF_S = 10.0
TURN_S = 1.0
# What is not written in this time, with a broker that was away already, is left to the next owner.
HOPELESS_TIMEOUT_S = 2.0
# Leaving the group spares the others a session timeout; it is one request.
LEAVE_TIMEOUT_S = 4.0


class Worker:
    """One member of the fleet; fail-stop: the first unexpected error ends `run`.

    Attributes:
        failure: at which task and place the error arose, where one did.
    """

    def __init__(
        self,
        settings: Settings,
        rules: Sequence[Rule],
        *,
        acceptance: Acceptance,
        strict: bool = False,
        given_up: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._native = check_native(settings)
        self._credentials = Credentials(settings)
        self._clock = SteadyClock()
        self._stopping = asyncio.Event()
        self._deadline = Deadline()
        self._error: BaseException | None = None
        self._watch: Watch | None = None
        self.failure = Failure()
        self.instruments = Instruments()
        self.instruments.native(in_use=self._native)
        self.assignment = Assignment(
            settings,
            rules,
            self._credentials.options,
            self.instruments,
            self.failed,
            clock=self._clock,
            acceptance=acceptance,
            strict=strict,
            given_up=given_up or {},
        )
        self.instruments.ready(lambda: self._not_ready() is None)
        self.probes = Probes(self.instruments.registry, self._not_ready, self._warnings)

    async def run(self) -> None:
        """Work until `stop` or an error.

        Raises:
            ModpulseError: why it ended, when it was not asked to.
        """
        turning = asyncio.ensure_future(self._turn())
        if self._settings.metrics.bind:
            await self.probes.start(*split_host_port(self._settings.metrics.bind))
        announce(self.probes.addresses)
        log.info("probes", listening=self.probes.addresses, native=self._native)
        try:
            await self._wait_for_broker()
            if not self._stopping.is_set():
                await self._work()
        finally:
            await self.probes.stop()
            turning.cancel()
            self._deadline.met()
        if self._error is not None:
            raise named_error(self._error, self._settings) from self._error

    async def _turn(self) -> None:
        """Tell the probe that the main loop goes round, whatever the worker waits for."""
        while True:
            self.probes.turned()
            await asyncio.sleep(TURN_S)

    def _not_ready(self) -> str | None:
        if self._watch is None:
            return "waiting for the broker or the group"
        return not_ready(self.assignment, self._watch.group, self._watch.unheard_s)

    def _warnings(self) -> list[str]:
        return [*self.assignment.letters.warnings(), *self.assignment.parked.lines()]

    def stop(self) -> None:
        """Ask for a clean end: flush everything, leave the group."""
        if not self._stopping.is_set():
            self._deadline.begin(None)
        self._stopping.set()

    def failed(self, task: str | None, error: BaseException) -> None:
        """End the worker with this error; the next start resumes from the checkpoint.

        Args:
            task: at which it arose, if at one.
            error: why.
        """
        if self._error is None:
            self._error = error
            if task is not None and task in self.assignment.tasks:
                self.failure = Failure(task, self.assignment.tasks[task].place)
            if not self._stopping.is_set():
                self._deadline.begin(named_error(error, self._settings))
        self._stopping.set()

    def retry_parked(self) -> None:
        """Try the tasks that stand still once more, those that wait for an operator too."""
        log.info("parked tasks are tried again", tasks=len(self.assignment.parked))
        forget_given_up()
        self.assignment.retry_parked(all_of_them=True)

    async def _work(self) -> None:
        with tempfile.TemporaryDirectory(prefix="modpulse-") as datadir:
            app = make_app(self._settings, self._credentials.options, lambda: self.assignment, datadir)
            await app.start()
            consumer: BatchConsumer = app.consumer
            self.assignment.reader = consumer
            self._credentials.serve(lambda: [*consumer.clients(), *self.assignment.clients()])
            self._watch = Watch(
                self._settings,
                self.assignment,
                consumer,
                self.instruments,
                clock=self._clock,
                credentials=self._credentials,
                failed=self.failed,
            )
            crashed = asyncio.ensure_future(app.wait_until_stopped())
            try:
                await self._read(consumer, self._watch, crashed)
                if not self._stopping.is_set():
                    self.failed(None, app.crash_reason or BrokerUnavailable("the consumer stopped by itself"))
            finally:
                # A broker that has been away will hardly come back now.
                within_s = SUSPEND_TIMEOUT_S if self._watch.unheard_s < UNHEARD_S else HOPELESS_TIMEOUT_S
                await consumer.end()
                await self.assignment.end(within_s)
                await self._stop_app(app, crashed)

    async def _read(self, consumer: BatchConsumer, watch: Watch, crashed: asyncio.Future[None]) -> None:
        """Read until asked to stop or until the app ends by itself."""
        topics = self._settings.topics
        await consumer.subscribe(
            {topics.module_log_events, self._settings.repartition_topic, self._settings.partials_topic}
        )
        stopping = asyncio.ensure_future(self._stopping.wait())
        loops: list[asyncio.Future[Any]] = [
            stopping,
            asyncio.ensure_future(self._guard(consumer.pump())),
            asyncio.ensure_future(self._guard(watch.run())),
        ]
        ends: list[asyncio.Future[Any]] = [stopping, crashed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for loop in loops:
            loop.cancel()
        await asyncio.wait(loops)

    async def _stop_app(self, app: WorkerApp, crashed: asyncio.Future[None]) -> None:
        """Leave the group; a broker that is away must not keep the process."""
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await app.stop()
                await asyncio.wait([crashed])
        except (KafkaError, OSError, RuntimeError, TimeoutError) as error:
            log.warning("the consumer did not stop in order", error=repr(error))

    async def _guard(self, loop: Coroutine[Any, Any, None]) -> None:
        try:
            await loop
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - fail-stop, with the error as the worker's own
            self.failed(None, error)

    async def _wait_for_broker(self) -> None:
        backoff_s = 0.5
        while not self._stopping.is_set():
            error = await connection_error(self._settings)
            if error is None:
                return
            if isinstance(error, ConfigError):
                raise error
            log.warning("waiting for the broker", error=str(error), retry_in_seconds=backoff_s)
            await self._sleep(backoff_s)
            backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return


async def run_worker(worker: Worker) -> None:
    """Run a worker until SIGTERM or SIGINT, or until it fails; SIGHUP tries its parked tasks again."""
    share_one_heap()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    loop.add_signal_handler(signal.SIGHUP, worker.retry_parked)
    await worker.run()
    log.info("stopped cleanly")
