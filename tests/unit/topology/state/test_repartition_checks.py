"""What keeps the state from being re-keyed: workers, input that is too old, modules that do not live at home."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from pipeline.cores.module_core import ModuleCore
from schemas.errors import ConfigError
from tests.support.core.cores import START_MS, Event, batch_of
from tests.support.records import wire
from tests.support.records.stored_logs import LogConsumer, StoredLog
from tests.support.records.wire import Rec
from tests.truth import partition_of
from topology.consumer import log_reader
from topology.settings import load_settings
from topology.state import repartition_checks as module
from topology.state.repartition_checks import require_homes, require_no_members, require_read

SETTINGS = load_settings(
    environ={
        "MODPULSE_APPLICATION_ID": "mine",
        "MODPULSE_WINDOWS__GRACE": "10s",
        "MODPULSE_WINDOWS__CORRECTIONS": "50s",
    }
)
INPUT, FORWARDED = SETTINGS.topics.module_log_events, SETTINGS.repartition_topic
KEEP_MS = 60_000
NOW_MS = START_MS + 100_000


def homes(partitions: int) -> list[str]:
    """A module for each partition."""
    found: dict[int, str] = {}
    for number in range(100):
        found.setdefault(partition_of(f"m{number}", partitions), f"m{number}")
    return [found[partition] for partition in range(partitions)]


def core_of(partition: int, *events: Event, partitions: int = 2) -> ModuleCore:
    """A task that has read these events of the input, from offset 0 on."""
    core = ModuleCore(SETTINGS.core(), partition=partition, partitions=partitions)
    if events:
        values, keys = [event.value for event in events], [event.module.encode() for event in events]
        core.apply(batch_of(values, keys, topic=INPUT), NOW_MS)
    return core


def cores_at(*times: int | None) -> list[ModuleCore]:
    """Tasks that have read one event each, at these times; None: nothing yet."""
    return [
        core_of(number, *([] if time is None else [Event(name, time)]), partitions=len(times))
        for number, (name, time) in enumerate(zip(homes(len(times)), times, strict=True))
    ]


def stored(first: int, *written_and_event: tuple[int, int]) -> StoredLog:
    """Records with the time of writing and the time of their event."""
    records = [
        Rec(first + n, written, b"m", Event("m", event).value) for n, (written, event) in enumerate(written_and_event)
    ]
    return StoredLog([wire.batch(records)], first + len(records))


def look(cores: Sequence[ModuleCore], logs: dict[tuple[str, int], StoredLog]) -> None:
    every = {TopicPartition(topic, n): StoredLog([], 1, 1) for topic in (INPUT, FORWARDED) for n in range(len(cores))}
    every |= {TopicPartition(*place): log for place, log in logs.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_reader, "SpanConsumer", lambda **options: LogConsumer(every, **options))
        patch.setattr(module, "time", SimpleNamespace(time_ns=lambda: NOW_MS * 1_000_000))
        asyncio.run(require_read(SETTINGS, cores))


@pytest.mark.parametrize("counts", [[], [1], [2, 3]])
def test_a_group_with_a_member_is_refused_and_counted(counts: list[int]) -> None:
    class Admin:
        async def describe_consumer_groups(self, names: list[str]) -> list[Any]:
            assert names == ["mine"]
            return [SimpleNamespace(groups=[(0, "g", "Stable", "consumer", "p", [None] * n) for n in counts])]

    if not counts:
        asyncio.run(require_no_members(Admin(), SETTINGS))
        return
    with pytest.raises(ConfigError, match=f"^{sum(counts)} workers of application_id = mine are running; stop all"):
        asyncio.run(require_no_members(Admin(), SETTINGS))


def test_what_is_read_or_left_unread_for_a_short_time_passes() -> None:
    look(cores_at(NOW_MS, NOW_MS - 10 * KEEP_MS), {})
    look(cores_at(None, None), {(INPUT, 0): stored(0, (NOW_MS, NOW_MS - 5))})
    read = stored(0, (0, START_MS))
    look(cores_at(NOW_MS, START_MS), {(INPUT, 0): read, (INPUT, 1): read})


@pytest.mark.parametrize("more", [0, 1])
def test_a_record_that_was_written_too_long_ago_is_refused(more: int) -> None:
    cores, log = cores_at(NOW_MS, NOW_MS), stored(1, (NOW_MS - KEEP_MS - more, NOW_MS), (NOW_MS, NOW_MS))
    if not more:
        look(cores, {(FORWARDED, 1): log})
        return
    with pytest.raises(ConfigError, match=f"{FORWARDED}/1 has records to be read that span 60001 ms, more than") as why:
        look(cores, {(FORWARDED, 1): log})
    assert "windows.grace + windows.corrections = 60000 ms" in str(why.value)
    assert "run this again" in str(why.value)


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("ahead", ["a task", "unread"])
def test_a_task_that_is_too_far_behind_the_newest_event_of_any_is_refused(ahead: str, more: int) -> None:
    """Also where that event has not been read by anybody."""
    newest = START_MS + KEEP_MS + more
    unread = stored(1, (NOW_MS, START_MS))
    cores = cores_at(START_MS, newest if ahead == "a task" else START_MS)
    logs = {(INPUT, 0): unread} | (
        {} if ahead == "a task" else {(INPUT, 1): stored(1, (NOW_MS, START_MS), (NOW_MS, newest))}
    )
    if not more:
        look(cores, logs)
        return
    with pytest.raises(ConfigError, match=f"{INPUT}/0 has records to be read that span 60001 ms"):
        look(cores, logs)


def test_the_newest_event_is_found_in_however_many_fetches_the_last_records_come() -> None:
    newest = START_MS + KEEP_MS + 1
    batches = [wire.batch([Rec(1 + n, NOW_MS, b"m", Event("m", at).value)]) for n, at in enumerate((START_MS, newest))]
    logs = {(INPUT, 0): stored(1, (NOW_MS, START_MS)), (INPUT, 1): StoredLog(batches, 3)}
    with pytest.raises(ConfigError, match=f"{INPUT}/0 has records to be read that span 60001 ms"):
        look(cores_at(START_MS, START_MS), logs)


def test_a_task_that_has_read_nothing_yet_must_not_begin_at_the_time_of_the_others() -> None:
    with pytest.raises(ConfigError, match=f"{INPUT}/1 has records to be read, and its task has read no event yet"):
        look(cores_at(NOW_MS, None), {(INPUT, 1): stored(0, (NOW_MS, NOW_MS))})


def test_what_lies_before_the_position_or_the_log_or_holds_markers_alone_is_not_unread() -> None:
    old = stored(0, (0, START_MS))
    look(cores_at(NOW_MS, NOW_MS), {(INPUT, 0): old})
    look(cores_at(NOW_MS, NOW_MS), {(INPUT, 0): StoredLog([], 9, 4)})
    look(cores_at(NOW_MS, NOW_MS), {(INPUT, 0): StoredLog([], 9, 9)})


@pytest.mark.parametrize("strangers", [0, 1, 5, 7])
def test_modules_that_do_not_live_at_home_are_counted_and_some_are_named(strangers: int) -> None:
    names = [name for name in (f"s{n}" for n in range(100)) if partition_of(name, 2) == 1][:strangers]
    cores = [core_of(0, *(Event(name, START_MS) for name in [homes(2)[0], *names])), core_of(1)]
    if not strangers:
        require_homes(SETTINGS, cores)
        return
    with pytest.raises(ConfigError, match=f"^{strangers} modules do not live in the partition of their id") as caught:
        require_homes(SETTINGS, cores)
    said = str(caught.value)
    assert said.count("in 0 (its id belongs to 1)") == min(strangers, 5)
    assert 'repartition = "always"' in said
    assert f"state.module_expiry = {SETTINGS.state.module_expiry} ms" in said
