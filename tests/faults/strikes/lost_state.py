"""The changelog is cut at its head, emptied, deleted: the worker must refuse each time, and never count from zero silently."""

import subprocess
import time
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tests.faults.broker import Brokers
from tests.faults.crew import PRODUCT, Application, spawn
from tests.faults.judge.reader import consumer, partitions_of, read
from tests.faults.outcome import Report
from tests.faults.run import SETTINGS
from tests.faults.strikes.waiting import until
from tests.faults.strikes.watch import Watch
from tests.faults.traffic import Mix, Traffic

NAME = "changelog lost"
ABOUT = "its head cut off, emptied, deleted and made anew: refused each time, with the way out"
DEADLINE_S = 90.0
WAY_OUT = "--accept-state-loss"


def make(brokers: Brokers, seed: int, directory: Path) -> Report:
    """Run a worker for some seconds, stop it, damage the changelog in three ways and start it after each."""
    began = time.monotonic()
    report = Report(NAME, ABOUT)
    application = Application(brokers.direct, directory, SETTINGS | {"topics__partitions": "2"})
    application.create_topics()
    traffic = Traffic(application.servers, application.input, 2, Mix(rate=500), seed)
    watch = Watch(application.servers, application.name, application.input, 2)
    worker = spawn((*PRODUCT, "run"), application.environment(), application.directory / "worker.log")
    try:
        watch.start()
        traffic.start()
        until(
            lambda: bool(watch.looks) and all(watch.looks[-1].committed.values()), "something is committed", DEADLINE_S
        )
        traffic.end()
        ended = time.monotonic()
        until(lambda: watch.caught_up(ended), "everything processed", DEADLINE_S)
        worker.terminate()
        worker.wait(DEADLINE_S)
    finally:
        worker.kill()
        worker.wait()
        if traffic.producing:
            traffic.end()
        watch.end()
    report.events = traffic.sent
    admin = AdminClient({"bootstrap.servers": application.servers, "log_level": 0})
    for number, (what, damage) in enumerate((("head cut off", _cut_head), ("emptied", _empty), ("deleted", _delete))):
        damage(admin, application)
        report.faults += 1
        said = _start(application, number)
        if said is not None:
            report.findings.lost += 1
            report.findings.note(f"changelog {what}: {said}")
    report.seconds = time.monotonic() - began
    return report


def _start(application: Application, number: int) -> str | None:
    """Start a worker; None when it refused as it must, else what it did instead."""
    log = application.directory / f"damaged-{number}.log"
    worker = spawn((*PRODUCT, "run"), application.environment(), log)
    try:
        until(
            lambda: worker.poll() is not None or b'"assigned"' in log.read_bytes(),
            "the worker starts or refuses",
            DEADLINE_S,
        )
        if worker.poll() is None:
            return "the worker started and counts from zero"
        last = log.read_bytes().splitlines()[-1].decode(errors="replace")
        return None if worker.returncode == 2 and WAY_OUT in last else f"exit code {worker.returncode}: {last[:200]}"
    finally:
        worker.terminate()
        try:
            worker.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _allow_deletion(admin: Any, topic: str) -> None:
    entry = ConfigEntry("cleanup.policy", "compact,delete", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)


def _cut_head(admin: Any, application: Application) -> None:
    """Everything before the newest position goes: where to read on is still known, the windows are not."""
    newest: dict[int, int] = {}
    for record in read(application.servers, application.changelog):
        if record.key == b"position" and orjson.loads(record.value)["offsets"]:
            newest[record.partition] = record.offset
    _delete_before(admin, application, newest)


def _empty(admin: Any, application: Application) -> None:
    reader = consumer(application.servers)
    try:
        wanted = [TopicPartition(application.changelog, p) for p in partitions_of(reader, application.changelog)]
        ends = {tp.partition: reader.get_watermark_offsets(tp, timeout=10)[1] for tp in wanted}
    finally:
        reader.close()
    _delete_before(admin, application, ends)


def _delete_before(admin: Any, application: Application, offsets: dict[int, int]) -> None:
    _allow_deletion(admin, application.changelog)
    wanted = [TopicPartition(application.changelog, partition, offset) for partition, offset in offsets.items()]
    for future in admin.delete_records(wanted).values():
        future.result(30)


def _delete(admin: Any, application: Application) -> None:
    for future in admin.delete_topics([application.changelog]).values():
        future.result(30)
    until(
        lambda: application.changelog not in admin.list_topics(timeout=10).topics, "the changelog is gone", DEADLINE_S
    )
    application.create_topics()
