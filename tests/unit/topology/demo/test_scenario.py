"""What the demo is made of: traffic that shows something, and a configuration that only knows how to reach a broker."""

from pathlib import Path

import pytest

from schemas.errors import ConfigError
from topology.demo.scenario import LEAST_SECONDS, RULES_FILE, Scenario, config_file, demo_environ, demo_settings
from topology.settings.alert_rules import read_rules
from topology.settings.sections import TOPIC_FIELDS


def test_the_demos_own_configuration_and_rules_are_good(tmp_path: Path) -> None:
    settings = demo_settings(tmp_path, "127.0.0.1:9092", "127.0.0.1:9464", "demo-1-")
    assert settings.topics.dlq == "demo-1-module-log-events.dlq"
    assert settings.application_id == "demo-1-modpulse-demo"
    assert [rule.window for rule in read_rules(RULES_FILE, settings)] == ["5s", "5s", "5s"]


@pytest.mark.parametrize("seconds", [30, 60, 600, None])
def test_both_incidents_span_a_whole_window_and_end_before_the_traffic(seconds: int | None) -> None:
    arguments = Scenario(seconds, 5_000, 40, 1).generator_arguments()
    for flag in ("--error-burst", "--latency-shift"):
        start, lasting, *_ = map(float, arguments[arguments.index(flag) + 1].split(","))
        assert lasting >= 8
        assert start + lasting + 5 <= (seconds or 60)


@pytest.mark.parametrize(
    ("seconds", "rate", "modules", "told"),
    [
        (LEAST_SECONDS - 1, 5_000, 40, f"make it at least {LEAST_SECONDS}"),
        (30, 99.0, 40, "--rate 99 is too little traffic to alert on; make it at least 100 and 1 a module"),
        (None, 199.0, 200, "make it at least 100 and 1 a module"),
    ],
)
def test_traffic_on_which_no_alert_could_fire_is_refused(
    seconds: int | None, rate: float, modules: int, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        Scenario(seconds, rate, modules, 1)
    Scenario(None if seconds is None else LEAST_SECONDS, max(rate, 100, modules), modules, 1)


def test_traffic_without_an_end_has_no_flag_for_one() -> None:
    assert "--seconds" not in Scenario(None, 100, 40, 1).generator_arguments()
    arguments = Scenario(45, 250.5, 40, 7).generator_arguments()
    for flag, value in (("--seconds", "45"), ("--rate", "250.5"), ("--modules", "40"), ("--seed", "7")):
        assert arguments[arguments.index(flag) + 1] == value


def test_of_the_surroundings_only_the_way_to_a_broker_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODPULSE_KAFKA__CLIENT_ID", "mine")
    monkeypatch.setenv("MODPULSE_WINDOWS__GRACE", "1h")
    monkeypatch.setenv("MODPULSE_NOTHING", "1")
    monkeypatch.setenv("NOT_OURS", "x")
    settings = demo_settings(tmp_path, "127.0.0.1:9092", "127.0.0.1:9464", "")
    assert (settings.kafka.client_id, settings.windows.grace) == ("mine", 2_000)
    environ = demo_environ()
    assert environ["NOT_OURS"] == "x"
    assert [name for name in environ if name.startswith("MODPULSE_")] == ["MODPULSE_KAFKA__CLIENT_ID"]


def test_every_topic_has_the_prefix_and_the_children_read_the_same_file(tmp_path: Path) -> None:
    settings = demo_settings(tmp_path, "h:1", "127.0.0.1:9464", "p-")
    names = [getattr(settings.topics, field) for field in TOPIC_FIELDS]
    assert all(name.startswith("p-") for name in (*names, *settings.internal_topics))
    assert config_file(tmp_path).parent == tmp_path
    assert 'bind = "127.0.0.1:9464"' in config_file(tmp_path).read_text("utf-8")
