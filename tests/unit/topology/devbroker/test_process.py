"""One broker as a child: what it is configured with, where its data stays, and what is said when it cannot start."""

import socket
from pathlib import Path

import pytest

from schemas.errors import BrokerUnavailable
from topology.devbroker import process
from topology.devbroker.process import DEFAULT_PROPERTIES, KafkaProcess, free_port


def properties_of(broker: KafkaProcess) -> dict[str, str]:
    lines = broker._write_configuration().read_text("utf-8").splitlines()
    found = dict(line.split("=", 1) for line in lines)
    assert len(found) == len(lines), "no property stands there twice"
    return found


def test_it_listens_on_this_machine_alone_and_what_is_asked_for_replaces_the_defaults(tmp_path: Path) -> None:
    broker = KafkaProcess(data_dir=tmp_path, port=23_456, properties={"node.id": "7", "x.y": "a=b"})
    found = properties_of(broker)
    assert broker.bootstrap_servers == "127.0.0.1:23456"
    assert found["advertised.listeners"] == "PLAINTEXT://127.0.0.1:23456"
    assert found["listeners"].count("://127.0.0.1:") == found["listeners"].count("://") == 2
    assert (found["node.id"], found["x.y"]) == ("7", "a=b")
    assert found.keys() >= DEFAULT_PROPERTIES.keys()
    assert Path(found["log.dirs"]).parent == tmp_path
    broker.close()


def test_a_port_stays_the_same_over_restarts_and_is_none_of_the_ephemeral_ones(tmp_path: Path) -> None:
    broker = KafkaProcess(data_dir=tmp_path)
    assert properties_of(broker) == properties_of(broker)
    assert 20_000 <= broker.port < 30_000
    broker.close()


def test_a_directory_of_its_own_goes_with_it_and_a_given_one_stays(tmp_path: Path) -> None:
    own, given = KafkaProcess(), KafkaProcess(data_dir=tmp_path / "kept")
    given.data_dir.mkdir()
    assert own.data_dir.is_dir()
    for broker in (own, given):
        broker.close()
        broker.close()
    assert not own.data_dir.exists()
    assert given.data_dir.is_dir()


def test_what_was_never_started_can_be_ended_in_every_way(tmp_path: Path) -> None:
    broker = KafkaProcess(data_dir=tmp_path)
    for end in (broker.pause, broker.resume, broker.stop, broker.kill, broker.close):
        end()
        assert (broker.alive, broker.pid) == (False, None)


def test_a_broker_that_cannot_start_says_so_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "for n in $(seq 40); do echo line $n; done; exit 3"
    monkeypatch.setattr(process, "kafka_java", lambda *arguments, **options: ["sh", "-c", script])
    with pytest.raises(BrokerUnavailable) as formatting:
        KafkaProcess(data_dir=tmp_path / "new").start()
    assert str(formatting.value).splitlines() == [
        "Kafka's storage could not be formatted:",
        *(f"line {number}" for number in range(26, 41)),
    ]
    made = tmp_path / "old" / "topics" / "meta.properties"
    made.parent.mkdir(parents=True)
    made.touch()
    with pytest.raises(
        BrokerUnavailable, match=r"ended before it was ready; the end of its log:\nline 26\n"
    ) as serving:
        KafkaProcess(data_dir=tmp_path / "old").start()
    assert str(serving.value).endswith("line 40")


def test_a_port_that_is_taken_is_not_given_and_when_all_are_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(process, "_FIRST_PORT", port)
        monkeypatch.setattr(process, "_LAST_PORT", port + 1)
        with pytest.raises(BrokerUnavailable, match=rf"no free port on 127\.0\.0\.1 between {port} and {port + 1}"):
            free_port()
