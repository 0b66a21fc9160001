"""The dev broker against the real thing: started, found, frozen, killed and restarted."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.errors import BrokerUnavailable
from tests.support.broker.names import delete_topics_of_tests, new_name, topics_of_tests
from tests.support.broker.records import until
from tests.support.paths import ROOT
from topology.devbroker import Broker, KafkaProcess, dev_broker, kafka_java
from topology.devbroker.container import environment
from topology.devbroker.handshake import is_ready
from topology.devbroker.process import free_port
from topology.devbroker.provider import TEST_ADDRESS_VARIABLE

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def kafka() -> Iterator[KafkaProcess]:
    """A broker of this module's own, to be mistreated."""
    with KafkaProcess() as process:
        yield process


def create_topic(address: str, name: str) -> None:
    async def create() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=address)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
        finally:
            await admin.close()

    asyncio.run(create())


def topics(address: str) -> list[str]:
    async def read() -> list[str]:
        admin = AIOKafkaAdminClient(bootstrap_servers=address)
        await admin.start()
        try:
            return list(await admin.list_topics())
        finally:
            await admin.close()

    return asyncio.run(read())


def test_the_broker_of_the_suite_creates_topics_at_once(broker: Broker) -> None:
    name = new_name("answers")
    create_topic(broker.bootstrap_servers, name)
    assert name in topics(broker.bootstrap_servers)


def test_a_killed_broker_comes_back_on_its_port_with_its_topics(kafka: KafkaProcess) -> None:
    create_topic(kafka.bootstrap_servers, "kept-over-kill")
    address, former = kafka.bootstrap_servers, kafka.pid
    kafka.kill()
    assert (kafka.alive, kafka.pid, is_ready(address)) == (False, None, False)
    kafka.start()
    assert kafka.bootstrap_servers == address
    assert kafka.pid not in {None, former}
    assert "kept-over-kill" in topics(address)


def test_an_orderly_restart_keeps_topics_too(kafka: KafkaProcess) -> None:
    create_topic(kafka.bootstrap_servers, "kept-over-stop")
    kafka.restart()
    assert "kept-over-stop" in topics(kafka.bootstrap_servers)


def test_a_frozen_broker_is_alive_but_does_not_answer_until_resumed(kafka: KafkaProcess) -> None:
    kafka.pause()
    try:
        assert kafka.alive
        assert not is_ready(kafka.bootstrap_servers)
    finally:
        kafka.resume()
    kafka.wait_until_ready()


def test_starting_a_running_broker_changes_nothing(kafka: KafkaProcess) -> None:
    former = kafka.pid
    kafka.start()
    assert kafka.pid == former


def test_a_broker_that_cannot_start_says_why_with_its_log(tmp_path: Path) -> None:
    process = KafkaProcess(properties={"node.id": "-7"}, data_dir=tmp_path)
    with pytest.raises(BrokerUnavailable, match=r"node\.id"):
        process.start()
    assert not process.alive
    process.close()


def test_the_broker_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    starter = (
        "import os, pathlib, signal, sys; from topology.devbroker import KafkaProcess;"
        f"kafka = KafkaProcess(data_dir=pathlib.Path({str(tmp_path)!r})); kafka.start(wait=False);"
        "print(kafka.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    started = subprocess.run([sys.executable, "-c", starter], cwd=ROOT, capture_output=True, text=True, check=False)
    child = Path("/proc") / started.stdout.strip()
    assert started.stdout.strip().isdigit(), started.stderr
    end = time.monotonic() + 10
    while child.exists() and "Z" not in (child / "stat").read_text().rpartition(")")[2].split()[0]:
        assert time.monotonic() < end, "the broker outlived its starter"
        time.sleep(0.05)


def test_a_given_address_is_preferred_and_left_running(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TEST_ADDRESS_VARIABLE, broker.bootstrap_servers)
    with dev_broker() as given:
        assert given == Broker(broker.bootstrap_servers, "address", None)
    assert is_ready(broker.bootstrap_servers)


def test_what_tests_made_is_deleted_and_nothing_else(broker: Broker) -> None:
    servers = broker.bootstrap_servers
    another, ours, theirs = new_name("another-run"), new_name("ours"), f"orders-{new_name('theirs')}"
    for name in (another, ours, theirs):
        create_topic(servers, name)
    spared = topics_of_tests(servers) - {ours}
    assert delete_topics_of_tests(servers, spared) == {ours}
    assert {another, theirs} <= set(topics(servers))
    until(lambda: ours not in topics(servers), "the topic is gone")


@pytest.mark.parametrize("source", ["compose", "test container"])
def test_kafkas_own_image_entry_point_accepts_the_environment(source: str, tmp_path: Path) -> None:
    """It is a class in Kafka's jars too: it turns the environment into properties and formats the storage."""
    if source == "compose":
        compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
        variables = dict(compose["services"]["broker"]["environment"])
    else:
        variables = environment({}, free_port())
    variables["KAFKA_LOG_DIRS"] = str(tmp_path / "data")
    places = {name: tmp_path / name for name in ("default", "mounted", "final")}
    for place in places.values():
        place.mkdir()
    for name in ("server.properties", "log4j2.yaml", "tools-log4j2.yaml"):
        (places["default"] / name).touch()
    options = [word for name, place in places.items() for word in (f"--{name}-configs-dir", str(place))]
    command = kafka_java("kafka.docker.KafkaDockerWrapper", "setup", *options)
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / "meta.properties").exists()
