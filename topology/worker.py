"""The worker: which tasks are ours, who reads for them, who ends them."""

import asyncio
import signal
import tempfile
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from faust.types import TP

from pipeline.alerts.rules import Rule
from pipeline.config import CoreConfig
from pipeline.module_core import ModuleCore
from pipeline.system.core import SystemCore
from schemas.errors import BrokerUnavailable, ConfigError, ModpulseError, StateIncompatible, TaskFenced
from topology.broker_protocol import describe_topics
from topology.dead_letter_watch import DeadLetterWatch
from topology.fetch import Piece
from topology.heap import share_one_heap
from topology.instruments import Instruments
from topology.kafka_client import admin_client, as_modpulse_error, client_options, connection_error
from topology.native_build import check_native
from topology.open_files import lasting_shortage
from topology.probes import Probes
from topology.settings import Settings, split_host_port
from topology.supervisor.address import announce
from topology.task import Task, TaskSpec, wall_ms
from topology.transport import BatchConsumer, WorkerApp, make_app

log = structlog.get_logger()

# A rebalance waits for the slowest member: what cannot be written in this time is left to the next owner.
SUSPEND_TIMEOUT_S = 8.0
LOOK_S = 0.5
LAG_EVERY_S = 5.0
WARN_EVERY_S = 60.0
MAX_BACKOFF_S = 10.0
SYSTEM = "system"


class Worker:
    """Tells tasks what the transport tells it; fail-stop: the first unexpected error ends `run`."""

    def __init__(self, settings: Settings, rules: Sequence[Rule], *, accept_state_loss: bool = False) -> None:
        self._settings = settings
        self._rules = rules
        self._accept_state_loss = accept_state_loss
        self._config: CoreConfig = settings.core()
        self._native = check_native(settings)
        self._options: dict[str, Any] = client_options(settings)
        self._partitions = 0
        self._tasks: dict[str, Task] = {}
        self._by_source: dict[TP, Task] = {}
        self._opening = True
        self._joined = False
        self._stopping = asyncio.Event()
        self._error: BaseException | None = None
        self._lag_due = 0.0
        self._limits_due = 0.0
        self._overflowed: dict[str, int] = {}
        self.instruments = Instruments()
        self._letters = DeadLetterWatch(settings.limits, self.instruments)
        self.instruments.native(in_use=self._native)
        self.probes = Probes(self.instruments.registry, self._not_ready, self._letters.warnings)
        self._consumer: BatchConsumer | None = None

    async def run(self) -> None:
        """Work until `stop` or an error.

        Raises:
            ModpulseError: why it ended, when it was not asked to.
        """
        host, port = split_host_port(self._settings.metrics.bind)
        await self.probes.start(host, port)
        announce(self.probes.addresses)
        log.info("probes", listening=self.probes.addresses, native=self._native)
        try:
            await self._wait_for_broker()
            if not self._stopping.is_set():
                await self._work()
        finally:
            await self.probes.stop()
        if self._error is not None:
            raise self._named(self._error) from self._error

    def _named(self, error: BaseException) -> BaseException:
        """The error in our words, where there are any."""
        if isinstance(error, BaseExceptionGroup):
            return self._named(error.exceptions[0])
        known = as_modpulse_error(error, self._settings)
        if known is None and isinstance(error, KafkaError):
            return BrokerUnavailable(f"the broker did not do what it was asked: {error!r}")
        return known or error

    def stop(self) -> None:
        """Ask for a clean end: flush everything, leave the group."""
        self._stopping.set()

    def failed(self, error: BaseException) -> None:
        """End the worker with this error; the next start resumes from the checkpoint."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if self._error is None:
            self._error = error
        self._stopping.set()

    async def _work(self) -> None:
        self._partitions = await self._check_topics()
        with tempfile.TemporaryDirectory(prefix="modpulse-") as datadir:
            app = make_app(self._settings, self._options, lambda: self, datadir)
            await app.start()
            consumer: BatchConsumer = app.consumer
            self._consumer = consumer
            crashed = asyncio.ensure_future(app.wait_until_stopped())
            try:
                await self._read(consumer, crashed)
                if not self._stopping.is_set():
                    self.failed(app.crash_reason or BrokerUnavailable("the consumer stopped by itself"))
            finally:
                await consumer.end()
                await self._end_tasks()
                await self._stop_app(app, crashed)

    async def _read(self, consumer: BatchConsumer, crashed: asyncio.Future[None]) -> None:
        """Read until asked to stop or until the app ends by itself."""
        topics = self._settings.topics
        await consumer.subscribe(
            {topics.module_log_events, self._settings.repartition_topic, self._settings.partials_topic}
        )
        stopping = asyncio.ensure_future(self._stopping.wait())
        loops: list[asyncio.Future[Any]] = [
            stopping,
            asyncio.ensure_future(self._guard(consumer.pump())),
            asyncio.ensure_future(self._guard(self._watch(consumer))),
        ]
        ends: list[asyncio.Future[Any]] = [stopping, crashed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for loop in loops:
            loop.cancel()
        await asyncio.wait(loops)

    async def _end_tasks(self) -> None:
        await self._suspend(list(self._tasks.values()))
        for task in list(self._tasks.values()):
            await self._drop(task)

    async def _stop_app(self, app: WorkerApp, crashed: asyncio.Future[None]) -> None:
        """Leave the group; a broker that is away must not keep the process."""
        try:
            async with asyncio.timeout(SUSPEND_TIMEOUT_S):
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
            self.failed(error)

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

    async def _check_topics(self) -> int:
        """Every topic the worker reads or writes is there; answers how many partitions the input has."""
        settings = self._settings
        topics = settings.topics
        outputs = (topics.module_metrics, topics.system_metrics, topics.module_alerts, topics.late, topics.dlq)
        names = (topics.module_log_events, *settings.worker_topics, *outputs)
        async with admin_client(settings) as admin:
            state = await describe_topics(admin, names)
        missing = [name for name in names if name not in state.topics or not state.topics[name].partitions]
        if missing:
            raise ConfigError(f"these topics do not exist: {', '.join(missing)}; run `modpulse topics create`")
        count = state.topics[topics.module_log_events].partitions
        for name in (settings.changelog_topic, settings.repartition_topic):
            if state.topics[name].partitions != count:
                raise StateIncompatible(
                    f"{topics.module_log_events} has {count} partitions, {name} has {state.topics[name].partitions}: modules"
                    " may have moved to other partitions. Choose a new application_id and run `modpulse topics create`"
                )
        return count

    def _specs(self, partitions: set[TP]) -> list[TaskSpec]:
        settings = self._settings
        source, repartition = settings.topics.module_log_events, settings.repartition_topic
        specs = [
            TaskSpec(
                str(tp.partition),
                tp.partition,
                (source, repartition),
                repartition,
                settings.changelog_topic,
                lambda p=tp.partition: ModuleCore(  # type: ignore[misc]
                    self._config, self._rules, partition=p, partitions=self._partitions
                ),
            )
            for tp in sorted(partitions)
            if tp.topic == source and TP(repartition, tp.partition) in partitions
        ]
        partials = TP(settings.partials_topic, 0)
        if partials in partitions:
            make = lambda: SystemCore(self._config, self._rules)  # noqa: E731
            specs.append(TaskSpec(SYSTEM, 0, (partials.topic,), None, settings.system_changelog_topic, make))
        return specs

    async def assigned(self, partitions: set[TP]) -> Mapping[TP, int]:
        """Open the tasks that are new here, drop those that are not ours any more, keep the others as they are."""
        self._opening = True
        self.instruments.rebalanced()
        # Partitions may have been added: a task made for fewer must not go on.
        self._partitions = await self._check_topics()
        specs = {spec.name: spec for spec in self._specs(partitions)}
        for name in set(self._tasks) - set(specs):
            await self._drop(self._tasks[name])
        assert self._consumer is not None
        begins = await self._consumer.begins(partitions)
        fresh = [spec for name, spec in specs.items() if name not in self._tasks]
        async with asyncio.TaskGroup() as group:
            for spec in fresh:
                group.create_task(self._open(spec, begins))
        offsets: dict[TP, int] = {}
        for task in self._tasks.values():
            task.resume()
            for topic in task.spec.sources:
                tp = TP(topic, task.spec.partition)
                self._by_source[tp] = task
                offsets[tp] = task.offsets[topic]
        self.instruments.tasks(len(self._tasks))
        self._joined, self._opening = True, False
        log.info("assigned", tasks=sorted(self._tasks), opened=[spec.name for spec in fresh])
        return offsets

    async def _open(self, spec: TaskSpec, begins: Mapping[TP, int]) -> None:
        task = Task(spec, self._settings, self._options, self.instruments, self.failed)
        try:
            await task.open(
                {topic: begins[TP(topic, spec.partition)] for topic in spec.sources},
                accept_state_loss=self._accept_state_loss,
            )
        except BaseException:
            await task.close()
            raise
        self._tasks[spec.name] = task
        self._letters.opened(spec.name, task.core.ledgers)

    async def revoked(self, partitions: set[TP]) -> None:
        """Write what is owed. The tasks stay open: most rebalances give them back."""
        concerned = {self._by_source.pop(tp) for tp in partitions if tp in self._by_source}
        await self._suspend(sorted(concerned, key=lambda task: task.spec.name))

    async def _suspend(self, tasks: list[Task]) -> None:
        results = await asyncio.gather(*(task.suspend(SUSPEND_TIMEOUT_S) for task in tasks), return_exceptions=True)
        for task, result in zip(tasks, results, strict=True):
            if result is None:
                continue
            # Its core is ahead of what is written, so it must not go on: the next owner restores the last commit.
            log.warning(
                "task could not be flushed, its owner will process again", task=task.spec.name, error=repr(result)
            )
            await self._drop(task)
            if not isinstance(result, TimeoutError | TaskFenced):
                self.failed(result)

    async def _drop(self, task: Task) -> None:
        await task.close()
        self._tasks.pop(task.spec.name, None)
        self._letters.forget(task.spec.name)
        self.instruments.forget(task.spec.name)

    async def batch(self, partition: TP, piece: Piece) -> int | None:
        """Process a piece; see `Listener.batch`."""
        self.probes.turned()
        task = self._by_source.get(partition)
        if task is None or task.suspended:
            return None
        back_to = await task.process(partition.topic, piece)
        # It may have been given up while it was flushing.
        if self._tasks.get(task.spec.name) is task and (
            error := self._letters.exceeded(task.spec.name, task.core.ledgers)
        ):
            # The task goes first: not even a last flush may commit what it holds.
            self._by_source = {source: owner for source, owner in self._by_source.items() if owner is not task}
            del self._tasks[task.spec.name]
            await self._drop(task)
            raise error
        return back_to

    def _not_ready(self) -> str | None:
        if not self._joined:
            return "waiting for the broker or the group"
        return "restoring" if self._opening else None

    async def _watch(self, consumer: BatchConsumer) -> None:
        """Find idle partitions, and tell the lag. Both ask the broker for the log's end; neither trusts an old answer."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_S)
            self.probes.turned()
            if (shortage := lasting_shortage()) is not None:
                raise shortage
            now_ms = wall_ms()
            timeout_ms = self._config.windows.idle_timeout_ms
            tasks = [task for task in self._tasks.values() if not task.suspended]
            silent = [task for task in tasks if task.silent_for_ms(now_ms) >= timeout_ms]
            look_at = tasks if loop.time() >= self._lag_due else silent
            if look_at:
                await self._look(consumer, look_at, silent)
            if look_at is tasks:
                self._lag_due = loop.time() + LAG_EVERY_S
            if loop.time() >= self._limits_due:
                self._limits_due = loop.time() + WARN_EVERY_S
                self._warn_of_limits()
                self._letters.remind()
            self._letters.look(name for name in self._tasks if name != SYSTEM)

    def _warn_of_limits(self) -> None:
        """Say once a minute which limit was reached and by whom; the metrics have the numbers."""
        for name, task in self._tasks.items():
            if isinstance(task.core, ModuleCore) and task.core.modules.overflowed > self._overflowed.get(name, 0):
                log.warning(
                    "more modules than limits.max_modules: new ones are counted under __other__",
                    task=name,
                    limit=self._config.limits.max_modules,
                    events=task.core.modules.overflowed - self._overflowed.get(name, 0),
                    one_of_them=task.core.modules.newest_overflow,
                )
                self._overflowed[name] = task.core.modules.overflowed
            if isinstance(task.core, SystemCore) and task.core.homes.split:
                module_id, partitions = next(iter(task.core.homes.split.items()))
                log.warning(
                    "modules come in on more than one partition, so their records contradict each other",
                    modules=len(task.core.homes.split),
                    one_of_them=module_id,
                    partitions=sorted(partitions),
                    remedy='let all producers use the same partitioner, or set repartition = "always"',
                )

    async def _look(self, consumer: BatchConsumer, tasks: list[Task], silent: list[Task]) -> None:
        asked = [TP(topic, task.spec.partition) for task in tasks for topic in task.spec.sources]
        # The answer is about the moment of the question: what was appended while it was on its way is not in it.
        asked_ms = wall_ms()
        try:
            ends = await consumer.ends(asked)
        except (ModpulseError, KafkaError, OSError) as error:
            log.warning("the end of the input is not known", error=str(error))
            return
        for task in tasks:
            behind = {t: ends[TP(t, task.spec.partition)] - task.offsets[t] for t in task.spec.sources}
            for topic, records in behind.items():
                self.instruments.lag(task.spec.name, topic, max(records, 0))
            still_silent = task.silent_for_ms(asked_ms) >= self._config.windows.idle_timeout_ms
            if task in silent and still_silent and not task.suspended and max(behind.values()) <= 0:
                task.idle(asked_ms)


async def run_worker(settings: Settings, rules: Sequence[Rule], *, accept_state_loss: bool = False) -> None:
    """Run a worker until SIGTERM or SIGINT, or until it fails."""
    share_one_heap()
    worker = Worker(settings, rules, accept_state_loss=accept_state_loss)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    await worker.run()
    log.info("stopped cleanly")
