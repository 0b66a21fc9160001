"""Traffic on its way: what goes out, when, and how it is counted; the topic is a list."""

import asyncio
import io
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice

import pytest

from topology.runtime.progress import Progress
from topology.settings import Settings
from topology.traffic import generate as module_under_test
from topology.traffic.events import TrafficPlan, events
from topology.traffic.generate import Generated, Job, generate, write

START_MS = 1_780_315_200_000
PLAN = TrafficPlan(rate=100_000, duplicates=0.1, bad=0.1)


class Topic:
    """Takes everything.

    Attributes:
        records: what was sent. settled: whether the sender was asked to wait for the broker.
        stop_at: with so many records the process gets a signal.
    """

    def __init__(self, patch: pytest.MonkeyPatch, stop_at: int | None = None) -> None:
        self.records: list[tuple[bytes | None, bytes]] = []
        self.settled = False
        self.stop_at = stop_at

        @asynccontextmanager
        async def opened(settings: Settings, topic: str) -> AsyncIterator[Topic]:
            assert topic == settings.topics.module_log_events
            yield self

        patch.setattr(module_under_test, "batch_sender", opened)

    async def send(self, records: list[tuple[bytes | None, bytes]]) -> None:
        self.records += records
        if self.stop_at is not None and len(self.records) >= self.stop_at:
            assert len(self.records) < self.stop_at + 100_000, "nobody minds the signal"
            os.kill(os.getpid(), signal.SIGTERM)

    async def flush(self) -> None:
        """Nothing waits here."""

    async def settle(self) -> None:
        self.settled = True


def run(job: Job) -> Generated:
    return asyncio.run(generate(Settings(), job, Progress("generated", io.StringIO())))


@pytest.mark.parametrize("paced", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2_000, 4_001])
def test_what_was_asked_for_goes_out_once_in_its_order(
    monkeypatch: pytest.MonkeyPatch, paced: bool, count: int
) -> None:
    topic = Topic(monkeypatch)
    done = run(Job(PLAN, START_MS, count, paced))
    wanted = list(islice(events(PLAN, START_MS), count))
    assert topic.records == [(record.key, record.value) for record in wanted]
    assert done.kinds == Counter(record.kind for record in wanted)
    assert topic.settled


def test_no_record_goes_out_before_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = Topic(monkeypatch)
    plan = TrafficPlan(rate=1_000)
    done = run(Job(plan, START_MS, 101, paced=True))
    assert len(topic.records) == 101
    assert done.seconds >= 0.1, "the last one is due 100 ms after the first"


@pytest.mark.parametrize("paced", [False, True])
def test_a_signal_ends_endless_traffic_and_what_went_out_is_still_counted(
    monkeypatch: pytest.MonkeyPatch, paced: bool
) -> None:
    topic = Topic(monkeypatch, stop_at=3_000)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        done = run(Job(PLAN, START_MS, None, paced))
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "a second signal is not minded by us any more"
    finally:
        signal.signal(signal.SIGTERM, before)
    assert done.records == len(topic.records) >= 3_000
    assert topic.settled


def test_a_file_has_a_line_for_each_record_and_the_same_ones() -> None:
    stream = io.BytesIO()
    done = write(stream, Job(PLAN, START_MS, 2_500, paced=False), Progress("written", io.StringIO()))
    wanted = list(islice(events(PLAN, START_MS), 2_500))
    assert stream.getvalue() == b"".join(record.value + b"\n" for record in wanted)
    assert done.kinds == Counter(record.kind for record in wanted)


def test_a_summary_tells_the_kinds_of_bad_records_apart_and_adds_up() -> None:
    done = Generated(Counter({"event": 5, "duplicate": 2, "bad/nan": 3, "bad/array": 1}), 1.23456)
    assert done.summary() == {
        "records": 11,
        "events": 5,
        "duplicates": 2,
        "bad": 4,
        "bad_kinds": {"array": 1, "nan": 3},
        "seconds": 1.235,
    }
    assert Generated().summary()["bad_kinds"] == {}
