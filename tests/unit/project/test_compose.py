"""docker-compose.yml and the Dockerfile, read as data: they must fit each other, Kafka's image and our settings."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from tests.support.paths import ROOT
from topology.devbroker.container import IMAGE, environment

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(set(SERVICES) - {"broker"})
WORKERS = ["worker-1", "worker-2"]
# One given variable replaces all defaults of the image; this is what a single KRaft node cannot do without.
KRAFT_VARIABLES = {
    "KAFKA_NODE_ID",
    "KAFKA_PROCESS_ROLES",
    "KAFKA_LISTENERS",
    "KAFKA_ADVERTISED_LISTENERS",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
    "KAFKA_CONTROLLER_QUORUM_VOTERS",
    "KAFKA_CONTROLLER_LISTENER_NAMES",
    "KAFKA_INTER_BROKER_LISTENER_NAME",
    "CLUSTER_ID",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS",
}


def variable_names(model: type[BaseModel], prefix: str = "MODPULSE_") -> set[str]:
    """Every environment name of a settings model: its keys, those of its sections, and so on inwards."""
    names = set()
    for key, field in model.model_fields.items():
        name = prefix + key.upper()
        names.add(name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names |= variable_names(field.annotation, f"{name}__")
    return names


def unknown_variables(text: str) -> set[str]:
    """The MODPULSE_ names in a text that no setting has."""
    from topology.settings import Settings

    return set(re.findall(r"MODPULSE_[A-Z0-9_]+", text)) - variable_names(Settings) - {"MODPULSE_CONFIG"}


def listeners(value: str) -> dict[str, str]:
    return dict(part.split("://") for part in value.split(","))


def test_the_services_are_the_expected_ones() -> None:
    assert set(SERVICES) == {"broker", "topics", "worker-1", "worker-2", "generator"}


def test_only_the_generator_waits_for_a_profile() -> None:
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "generator": ["demo"]
    }


def test_the_broker_has_the_full_kraft_environment() -> None:
    given = SERVICES["broker"]["environment"]
    assert given.keys() >= KRAFT_VARIABLES
    assert all(isinstance(value, str) for value in given.values()), "YAML numbers and booleans are spelled otherwise"
    assert set(given["KAFKA_PROCESS_ROLES"].split(",")) == {"broker", "controller"}
    assert len(given["CLUSTER_ID"]) == 22


def test_the_test_container_has_the_full_kraft_environment_too() -> None:
    assert environment({}, 20_000).keys() >= KRAFT_VARIABLES
    assert environment({"a.b_c-d": "1"}, 20_000)["KAFKA_A_B__C___D"] == "1"


def test_compose_and_the_test_container_run_the_same_kafka() -> None:
    assert SERVICES["broker"]["image"] == IMAGE


def test_the_listeners_of_the_broker_fit_each_other() -> None:
    given = SERVICES["broker"]["environment"]
    bound, advertised = listeners(given["KAFKA_LISTENERS"]), listeners(given["KAFKA_ADVERTISED_LISTENERS"])
    protocols = {part.split(":")[0] for part in given["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}
    controller = given["KAFKA_CONTROLLER_LISTENER_NAMES"]
    assert bound.keys() == protocols
    assert bound.keys() - {controller} == advertised.keys()
    assert {name: address.rsplit(":")[-1] for name, address in advertised.items()} == {
        name: address.rsplit(":")[-1] for name, address in bound.items() if name != controller
    }
    assert given["KAFKA_CONTROLLER_QUORUM_VOTERS"].endswith(bound[controller])
    assert advertised[given["KAFKA_INTER_BROKER_LISTENER_NAME"]] == "broker:19092"


@pytest.mark.parametrize("name", OURS)
def test_every_service_of_ours_uses_the_address_the_broker_advertises_inside(name: str) -> None:
    assert SERVICES[name]["environment"]["MODPULSE_KAFKA__BOOTSTRAP_SERVERS"] == "broker:19092"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_published_ports_are_on_loopback_and_differ(name: str) -> None:
    ports = SERVICES[name].get("ports", [])
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)
    others = {port.split(":")[1] for other in SERVICES if other != name for port in SERVICES[other].get("ports", [])}
    assert not others & {port.split(":")[1] for port in ports}


@pytest.mark.parametrize("name", OURS)
def test_every_service_of_ours_waits_for_a_healthy_broker(name: str) -> None:
    assert SERVICES[name]["depends_on"]["broker"] == {"condition": "service_healthy"}
    if name != "topics":
        assert SERVICES[name]["depends_on"]["topics"] == {"condition": "service_completed_successfully"}


def test_long_running_services_have_a_health_check_and_the_others_have_none() -> None:
    assert "test" in SERVICES["broker"]["healthcheck"]
    assert all("healthcheck" not in SERVICES[name] for name in WORKERS), "theirs is the image's"
    assert SERVICES["topics"]["healthcheck"] == SERVICES["generator"]["healthcheck"] == {"disable": True}


def test_each_worker_has_a_member_name_of_its_own() -> None:
    names = [SERVICES[name]["environment"]["MODPULSE_KAFKA__GROUP_INSTANCE_ID"] for name in WORKERS]
    assert names == WORKERS


@pytest.mark.parametrize("name", OURS)
def test_services_of_ours_run_without_rights_they_do_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_image_runs_as_nobody_special_and_checks_its_own_liveness() -> None:
    final = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert re.search(r"^USER [1-9]\d+$", final, re.MULTILINE)
    assert re.search(r'^HEALTHCHECK (.|\\\n)*CMD \["modpulse", "probe"\]', final, re.MULTILINE)
    assert re.search(r"^STOPSIGNAL SIGTERM$", final, re.MULTILINE)
    assert "--require-hashes -r requirements.lock" in DOCKERFILE


def test_the_bases_of_the_image_are_of_one_release_of_debian_and_pinned() -> None:
    bases = re.findall(r"^FROM (\S+?):(\S+)", DOCKERFILE, re.MULTILINE)
    assert {name for name, _ in bases} == {"rust", "python"}
    assert len({tag.rsplit("-", 1)[1] for _, tag in bases}) == 1
    assert all(re.match(r"\d+\.\d+(\.\d+)?-slim-", tag) for _, tag in bases)


def test_an_image_whose_compiled_part_does_not_load_says_so() -> None:
    assert "MODPULSE_NATIVE=require" in DOCKERFILE


def test_everything_the_image_copies_exists_and_is_sent_to_the_engine() -> None:
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()
    ]
    sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {"schemas", "pipeline", "topology"} <= set(copied)
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert [name for name in copied if f"!{name}" not in sent] == []


def test_every_variable_in_compose_and_dockerfile_is_a_setting() -> None:
    assert unknown_variables(COMPOSE_TEXT) == set()
    assert unknown_variables(DOCKERFILE) == set()


@pytest.mark.parametrize("name", OURS)
def test_the_values_in_compose_are_valid_settings(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from topology.settings import load_settings

    monkeypatch.chdir(tmp_path)  # away from a modpulse.toml
    settings = load_settings(environ=SERVICES[name]["environment"])
    assert settings.kafka.servers == ["broker:19092"]


@pytest.mark.parametrize(
    "planted", ["MODPULSE_KAFKA__BOOTSTRAP_SERVER", "MODPULSE_KAFKA_BOOTSTRAP_SERVERS", "MODPULSE_METRIC__BIND"]
)
def test_a_wrong_variable_name_is_found(planted: str) -> None:
    assert unknown_variables(COMPOSE_TEXT + f"\n{planted}: x\n") == {planted}


def test_names_are_found_at_every_depth() -> None:
    from topology.settings import Settings

    names = variable_names(Settings)
    assert {"MODPULSE_APPLICATION_ID", "MODPULSE_WINDOWS__SIZES", "MODPULSE_HEALTH__P95__CRITICAL"} <= names
