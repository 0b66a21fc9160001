"""What a worker looks at besides its records: lag, silence, its group, its topics, its clock, its limits, its secrets."""

import asyncio
import time
from collections.abc import Callable

import structlog
from aiokafka.errors import KafkaError
from faust.types import TP

from pipeline.cores.module_core import ModuleCore
from pipeline.system.core import SystemCore
from schemas.errors import InputRewound, ModpulseError, PartitionsChanged, StateLost
from topology.consumer.coordinator import GroupHealth
from topology.consumer.transport import BatchConsumer
from topology.kafka.credentials import Credentials
from topology.runtime.clock import SteadyClock
from topology.runtime.open_files import lasting_shortage
from topology.settings import Settings
from topology.state.log_position import RESET_WAY_OUT, is_at_end
from topology.worker.assignment import SYSTEM, Assignment
from topology.worker.metrics import Instruments
from topology.worker.repartition_trim import RepartitionTrim
from topology.worker.task import Task
from topology.worker.topic_snapshot import TopicSnapshot, look_at_topics, refuse_other_count

log = structlog.get_logger()

LOOK_S = 0.5
# Readiness needs an answer of the broker at least this often.
LAG_EVERY_S = 4.0
# A worker must notice within a minute that a topic was made anew or has more partitions.
TOPICS_EVERY_S = 10.0
WARN_EVERY_S = 60.0
SECRETS_EVERY_S = 5.0
TRIM_EVERY_S = 60.0
# A question to the broker that takes longer is given up: the next one may be answered.
ANSWER_TIMEOUT_S = 5.0


class Watch:
    """Looks around twice a second until it is cancelled.

    Attributes:
        heard_s: monotonic time of the broker's newest answer.
    """

    def __init__(
        self,
        settings: Settings,
        assignment: Assignment,
        consumer: BatchConsumer,
        instruments: Instruments,
        *,
        clock: SteadyClock,
        credentials: Credentials,
        failed: Callable[[str | None, BaseException], None],
    ) -> None:
        self._settings = settings
        self._assignment = assignment
        self._consumer = consumer
        self._instruments = instruments
        self._clock = clock
        self._credentials = credentials
        self._failed = failed
        self._idle_timeout_ms = settings.core().windows.idle_timeout_ms
        self._due: dict[str, float] = {}
        self._overflowed: dict[str, int] = {}
        self._topics_task: asyncio.Task[None] | None = None
        self._trim = RepartitionTrim(settings)
        self._trim_task: asyncio.Task[None] | None = None
        self.heard_s = time.monotonic()

    @property
    def unheard_s(self) -> float:
        """Seconds since the broker last answered anything."""
        group_s = self.group.heard_s
        asked_s = time.monotonic() - self.heard_s
        return asked_s if group_s is None else min(asked_s, group_s)

    @property
    def group(self) -> GroupHealth:
        """How the worker stands with its group."""
        return self._consumer.health()

    async def run(self) -> None:
        """Look around until cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                if (shortage := lasting_shortage()) is not None:
                    self._failed(None, shortage)
                self._clock.look()
                if (error := self.group.error) is not None:
                    self._failed(None, error)
                await self._look_at_logs()
                if self._is_due("topics", TOPICS_EVERY_S):
                    self._look_at_topics_soon()
                if self._is_due("secrets", SECRETS_EVERY_S):
                    self._credentials.look()
                if self._is_due("trim", TRIM_EVERY_S):
                    self._trim_soon()
                self._assignment.retry_parked()
                self._assignment.letters.look(name for name in self._assignment.tasks if name != SYSTEM)
                if self._is_due("warnings", WARN_EVERY_S):
                    self._warn()
        finally:
            for task in (self._topics_task, self._trim_task):
                if task is not None:
                    task.cancel()

    def _is_due(self, what: str, every_s: float) -> bool:
        now_s = time.monotonic()
        if now_s < self._due.get(what, 0.0):
            return False
        self._due[what] = now_s + every_s
        return True

    # --- lag and silence ------------------------------------------------------------------------------------------------

    async def _look_at_logs(self) -> None:
        """Find idle partitions, and tell the lag. Both ask the broker for the log's end; neither trusts an old answer."""
        tasks = [task for task in self._assignment.tasks.values() if not task.suspended]
        silent = [task for task in tasks if task.silence.for_ms() >= self._idle_timeout_ms]
        if self._is_due("lag", LAG_EVERY_S):
            await self._look(tasks, silent)
        elif silent:
            await self._look(silent, silent)

    async def _look(self, tasks: list[Task], silent: list[Task]) -> None:
        # The answer is about the moment of the question: what was appended while it was on its way is not in it.
        asked_s = self._clock.elapsed_s()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                proven = await self._nothing_is_on_its_way(silent)
                ends = await self._consumer.ends(
                    [tp for task in tasks for tp in task.sources] or [self._some_partition()]
                )
        except (ModpulseError, KafkaError, OSError, TimeoutError) as error:
            log.warning("the end of the input is not known", error=str(error) or repr(error))
            return
        self.heard_s = time.monotonic()
        for task in tasks:
            mine = {tp.topic: ends[tp] for tp in task.sources}
            for topic, end in mine.items():
                self._instruments.lag(task.spec.name, topic, max(end - task.offsets[topic], 0))
            is_silent = task in silent and task.silence.for_ms(asked_s) >= self._idle_timeout_ms
            alone = proven or task.spec.forwarded is None
            if is_silent and alone and not task.suspended and is_at_end(task.offsets, mine):
                task.idle(asked_s)

    async def _nothing_is_on_its_way(self, silent: list[Task]) -> bool:
        """Whether no input partition holds events that will still be forwarded to these tasks.

        The repartition topic of a task is at its end exactly while whoever forwards to it stands still, so its own end proves
        nothing. Asked in this order (the input's ends, the commits, the task's own ends), what was in the input at the first
        question is in the third answer. Where nothing was ever forwarded, there is nothing to wait for.
        """
        if not any(task.spec.forwarded for task in silent):
            return True
        partitions = range(self._assignment.topics.partitions)
        inputs = [TP(self._settings.topics.module_log_events, number) for number in partitions]
        forwards = [TP(self._settings.repartition_topic, number) for number in partitions]
        ends = await self._consumer.ends(inputs + forwards)
        if self._settings.repartition != "always" and not any(ends[tp] for tp in forwards):
            return True
        committed = await self._consumer.committed(inputs)
        return all(committed.get(tp, 0) == ends[tp] for tp in inputs)

    def _some_partition(self) -> TP:
        return TP(self._settings.topics.module_log_events, 0)

    def _trim_soon(self) -> None:
        """Delete what was forwarded to these tasks and is processed; not waited for, as it takes a connection of its own."""
        if self._trim_task is None or self._trim_task.done():
            committed = {
                task.spec.partition: task.committed_offsets[task.spec.forwarded]
                for task in self._assignment.tasks.values()
                if task.spec.forwarded in task.committed_offsets
            }
            self._trim_task = asyncio.ensure_future(self._trim.delete_before(committed))

    # --- topics ---------------------------------------------------------------------------------------------------------

    def _look_at_topics_soon(self) -> None:
        """Not waited for: it takes a connection of its own, which may take its time."""
        if self._topics_task is None or self._topics_task.done():
            self._topics_task = asyncio.ensure_future(self._look_at_topics())

    async def _look_at_topics(self) -> None:
        """Find out whether a topic was made anew, or has other partitions, since the tasks were opened."""
        assignment = self._assignment
        former = assignment.topics
        if not former.partitions:
            return
        try:
            now = await look_at_topics(self._settings)
            refuse_other_count(former, now, self._settings.topics.module_log_events)
        except PartitionsChanged as error:
            self._failed(None, error)
            return
        except ModpulseError as error:  # a topic that is being made anew is not there for a moment
            log.warning("the topics cannot be looked at", error=str(error))
            return
        if assignment.topics is former and not assignment.opening:
            for task in list(assignment.tasks.values()):
                await self._compare(task, now)

    async def _compare(self, task: Task, now: TopicSnapshot) -> None:
        """Park a task whose changelog or source is another topic than the one its position belongs to."""
        known = task.core.shell.topic_ids
        spec = task.spec
        for topic in (spec.changelog, *spec.sources):
            known_id, topic_id = known.get(topic, ""), now.id_of(topic)
            if not known_id or not topic_id or known_id == topic_id or task.suspended:
                continue
            if topic == spec.changelog:
                text = f"task {spec.name}: {topic} was deleted and made anew while the worker ran, so its state is lost"
                await self._assignment.park(task, StateLost(f"{text}; restore the topic"), flush=False)
            else:
                text = f"task {spec.name}: the topic {topic} was deleted and made anew while the worker ran"
                await self._assignment.park(task, InputRewound(f"{text}; {RESET_WAY_OUT}"))
            return

    # --- limits ---------------------------------------------------------------------------------------------------------

    def _warn(self) -> None:
        """Say once a minute which limit was reached and by whom; the metrics have the numbers."""
        self._assignment.letters.remind()
        self._assignment.parked.remind()
        for name, task in self._assignment.tasks.items():
            if isinstance(task.core, ModuleCore):
                self._warn_of_modules(name, task.core)
            if isinstance(task.core, SystemCore) and task.core.homes.split:
                module_id, partitions = next(iter(task.core.homes.split.items()))
                log.warning(
                    "modules come in on more than one partition, so their records contradict each other",
                    modules=len(task.core.homes.split),
                    one_of_them=module_id,
                    partitions=sorted(partitions),
                    remedy='let all producers use the same partitioner, or set repartition = "always"',
                )

    def _warn_of_modules(self, name: str, core: ModuleCore) -> None:
        before = self._overflowed.get(name, 0)
        if core.modules.overflowed > before:
            log.warning(
                "more modules than limits.max_modules: new ones are counted under __other__",
                task=name,
                limit=self._settings.limits.max_modules,
                events=core.modules.overflowed - before,
                one_of_them=core.modules.newest_overflow,
                remedy="raise limits.max_modules, or find the sender of ever new module ids",
            )
        self._overflowed[name] = core.modules.overflowed
