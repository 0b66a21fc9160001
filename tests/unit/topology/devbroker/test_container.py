"""Kafka's image: every property by its variable, an address that is right from both sides, and an engine of this machine."""

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core.cores import fixed
from topology.devbroker.container import _ask_engine, environment, environment_name
from topology.devbroker.packages import ProviderUnavailableError
from topology.devbroker.process import DEFAULT_PROPERTIES

words = st.text("abcxyz", min_size=1, max_size=5)


def property_of(variable: str) -> str:
    """What the image makes of a variable's name (`kafka.docker.KafkaDockerWrapper`)."""
    name = variable.removeprefix("KAFKA_").lower()
    return name.replace("___", "-").replace("__", "\0").replace("_", ".").replace("\0", "_")


@fixed(100)
@given(words, st.lists(st.tuples(st.sampled_from(".-_"), words), max_size=5))
def test_the_image_reads_each_variable_as_the_property_it_was_made_from(
    first: str, more: list[tuple[str, str]]
) -> None:
    name = first + "".join(mark + word for mark, word in more)
    assert property_of(environment_name(name)) == name


def test_the_broker_is_reached_at_the_same_address_from_within_and_from_without() -> None:
    made = environment({}, 23_456)
    assert made["KAFKA_LISTENERS"].startswith("PLAINTEXT://:23456,CONTROLLER://:")
    assert made["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://127.0.0.1:23456"
    assert made["CLUSTER_ID"]
    assert {property_of(name) for name in made} >= set(DEFAULT_PROPERTIES)


def test_what_is_asked_for_replaces_the_defaults() -> None:
    made = environment({"auto.create.topics.enable": "true", "a_b-c": "x"}, 1)
    assert (made["KAFKA_AUTO_CREATE_TOPICS_ENABLE"], made["KAFKA_A__B___C"]) == ("true", "x")


def test_only_an_engine_of_this_machine_that_answers_can_run_it(tmp_path: Path) -> None:
    path = str(tmp_path / "engine.sock")
    with pytest.raises(ProviderUnavailableError, match=f"no Docker engine answers at {path}"):
        _ask_engine(f"unix://{path}")
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(path)
        engine.listen()
        _ask_engine(f"unix://{path}")
    with pytest.raises(ProviderUnavailableError, match=r"at tcp://10\.0\.0\.1:2375 is not on this machine"):
        _ask_engine("tcp://10.0.0.1:2375")
