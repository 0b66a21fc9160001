"""Synthetic traffic on its way: to the input topic by a schedule, or to a file as fast as it can be written."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from topology.runtime.progress import Progress
from topology.runtime.signals import signals
from topology.settings import Settings
from topology.traffic.batch_sender import BatchSender, batch_sender
from topology.traffic.events import BAD, DUPLICATE, EVENT, Traffic, TrafficPlan, events
from topology.traffic.outputs import Sink

# How often what is due is sent: short against any window, long enough for batches worth sending.
_TICK_S = 0.02
_CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class Job:
    """What to generate.

    Attributes:
        plan: the traffic.
        start_ms: the event time of its beginning.
        count: how many records; None: until stopped.
        paced: send each record when it is due (its delay after `start_ms` counted from now), else without waiting.
    """

    plan: TrafficPlan
    start_ms: int
    count: int | None
    paced: bool


@dataclass(slots=True)
class Generated:
    """How many records of each kind went out. `bad` names each kind of bad record."""

    kinds: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def records(self) -> int:
        """All of them."""
        return self.kinds.total()

    def summary(self) -> dict[str, object]:
        """The counts as plain values, the kinds of bad records apart."""
        bad = {kind.removeprefix(f"{BAD}/"): count for kind, count in sorted(self.kinds.items()) if "/" in kind}
        return {
            "records": self.records,
            "events": self.kinds[EVENT],
            "duplicates": self.kinds[DUPLICATE],
            "bad": sum(bad.values()),
            "bad_kinds": bad,
            "seconds": round(self.seconds, 3),
        }


async def generate(settings: Settings, job: Job, progress: Progress) -> Generated:
    """Send the traffic to the input topic until it is all sent or a signal (INT, TERM) ends it; all is acknowledged.

    Raises:
        ConfigError: the topic is missing.
        BrokerUnavailable: no broker answers.
    """
    done = Generated()
    stop = asyncio.Event()
    traffic = _limited(job)
    async with batch_sender(settings, settings.topics.module_log_events) as sender:
        began = time.monotonic()
        with signals(stop):
            if job.paced:
                await _paced(job, traffic, sender, done, stop, progress)
            else:
                while not stop.is_set() and (chunk := list(islice(traffic, _CHUNK))):
                    await _send(sender, chunk, done, progress)
                    await asyncio.sleep(0)
        await sender.settle()
        done.seconds = time.monotonic() - began
    return done


def write(stream: Sink, job: Job, progress: Progress) -> Generated:
    """Write the traffic's payloads as JSON Lines."""
    done = Generated()
    traffic = _limited(job)
    while chunk := list(islice(traffic, _CHUNK)):
        stream.write(b"".join([record.value + b"\n" for record in chunk]))
        done.kinds.update([record.kind for record in chunk])
        progress.reached(done.records)
    done.seconds = progress.seconds
    return done


def _limited(job: Job) -> Iterator[Traffic]:
    return islice(events(job.plan, job.start_ms), job.count)


async def _paced(
    job: Job,
    traffic: Iterator[Traffic],
    sender: BatchSender,
    done: Generated,
    stop: asyncio.Event,
    progress: Progress,
) -> None:
    """Send what is due at every tick. The schedule is fixed at the start, so a slow tick is caught up with."""
    began = time.monotonic()
    ahead = next(traffic, None)
    while ahead is not None and not stop.is_set():
        due_ms = job.start_ms + (time.monotonic() - began) * 1_000
        chunk: list[Traffic] = []
        while ahead is not None and ahead.due_ms <= due_ms and len(chunk) < _CHUNK:
            chunk.append(ahead)
            ahead = next(traffic, None)
        await _send(sender, chunk, done, progress)
        if len(chunk) == _CHUNK:
            await asyncio.sleep(0)  # behind schedule: no rest, but let acknowledgements in
            continue
        await sender.flush()
        try:
            await asyncio.wait_for(stop.wait(), _TICK_S)
        except TimeoutError:
            continue


async def _send(sender: BatchSender, chunk: list[Traffic], done: Generated, progress: Progress) -> None:
    await sender.send([(record.key, record.value) for record in chunk])
    done.kinds.update([record.kind for record in chunk])
    progress.reached(done.records)
