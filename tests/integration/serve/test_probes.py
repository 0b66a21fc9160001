"""What the worker says of itself over HTTP."""

import time
from importlib.metadata import version
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from schemas.position import Ledger
from tests.integration.conftest import MakeFleet
from tests.support.broker.own_broker import fleet_on
from tests.support.broker.records import SMALL, T0, Row, event, module_on, row, until
from tests.support.shell.scrapes import counter_of
from topology.devbroker import KafkaProcess
from topology.worker.metrics import METRICS

pytestmark = pytest.mark.broker


def test_the_probes_tell_what_the_position_says(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(SMALL, topics__partitions="2")
    started = time.time()
    worker = fleet.start()
    status, text = until(lambda: worker.get("/livez") if worker.get("/livez")[0] else None, "an answer") or (0, "")
    assert (status, text) == (200, "ok\n"), "alive before the group has said anything"
    worker.wait_until_ready()
    modules = [module_on(partition, 2) for partition in range(2)]
    rows = [row(module, T0 + n * 100, event_id=f"e{n}") for module in modules for n in range(100)]
    rows += rows[-3:]
    rows += [
        row(modules[0], T0 + 10),
        Row(modules[1].encode(), b"{"),
        Row(None, event(modules[1], T0 + 9_900), partition=0),
    ]
    fleet.publish(rows)
    fleet.wait_until_processed()
    positions = until(
        lambda: (
            (found := fleet.positions())
            and worker.metric("modpulse_consumed_records_total", topic=fleet.input) == len(rows)
            and found
        ),
        "the newest flush in the metrics",
    )
    assert positions

    status, text = worker.get("/metrics")
    assert status == 200
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families.keys() >= {name.removesuffix("_total") for name in METRICS}
    for partition, position in positions.items():
        for topic, columns in position["ledger"].items():
            for column, count in zip(Ledger.__struct_fields__, columns, strict=True):
                name, label = counter_of(column)
                said = worker.metric(name, task=str(partition), topic=topic, **label)
                assert said == count, (partition, topic, column)
        assert worker.metric("modpulse_stream_time_seconds", task=str(partition)) == position["stream_ms"] / 1000
    assert worker.metric("modpulse_records_total", outcome="duplicate") == 3
    assert worker.metric("modpulse_records_total", outcome="late") == 1
    assert worker.metric("modpulse_records_total", outcome="invalid") == 1
    assert worker.metric("modpulse_forwarded_records_total") == 1
    assert worker.metric("modpulse_modules", task="0") == 1
    assert worker.metric("modpulse_tasks") == 3
    assert worker.metric("modpulse_input_partitions") == 2
    assert worker.metric("modpulse_ready") == 1
    assert worker.metric("modpulse_restoring_tasks") == 0
    assert worker.metric("modpulse_build_info", version=version("modpulse")) == 1
    for task in ("0", "1", "system"):
        assert started - 1 <= (worker.metric("modpulse_last_commit_timestamp_seconds", task=task) or 0) <= time.time()
    until(lambda: worker.metric("modpulse_lag_records", topic=fleet.input) == 0, "no lag")
    assert worker.get("/nothing")[0] == 404
    assert worker.terminate() == 0


def test_a_worker_without_a_broker_is_alive_but_not_ready(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(topics=False)
    fleet.configure(kafka__bootstrap_servers="127.0.0.1:1")
    worker = fleet.start()
    until(lambda: worker.events("waiting for the broker"), "a worker that waits")
    assert worker.get("/livez") == (200, "ok\n")
    assert worker.get("/readyz") == (503, "waiting for the broker or the group\n")
    assert worker.metric("modpulse_tasks") == 0
    assert worker.metric("modpulse_ready") == 0
    assert worker.terminate() == 0


def test_a_broker_that_is_lost_shows_in_readiness_and_never_in_liveness_and_the_end_comes_in_time(
    tmp_path: Path,
) -> None:
    with KafkaProcess() as kafka, fleet_on(kafka, tmp_path, SMALL | {"topics__partitions": "2"}) as fleet:
        worker = fleet.start().wait_until_ready()
        fleet.publish([row(module_on(partition, 2), T0 + n) for partition in range(2) for n in range(50)])
        fleet.wait_until_processed()
        kafka.pause()
        lost = time.monotonic()
        _, said = until(
            lambda: answer if (answer := worker.get("/readyz"))[0] == 503 else None, "readiness is gone", 12
        ) or (0, "")
        assert time.monotonic() - lost <= 10.5
        assert "the broker has not answered" in said
        assert worker.get("/livez") == (200, "ok\n")
        kafka.resume()
        until(lambda: worker.get("/readyz")[0] == 200, "ready again")

        kafka.kill()
        until(lambda: worker.get("/readyz")[0] == 503, "readiness is gone", 12)
        assert worker.get("/livez")[0] == 200
        asked = time.monotonic()
        assert worker.terminate() == 0
        assert time.monotonic() - asked < 18, "a dead broker keeps nobody"
