"""Settings: precedence, units, unknown names, secrets, and every mistake at once."""

from pathlib import Path

import pytest

from pipeline.config import Threshold
from schemas.errors import ConfigError
from topology.settings import Settings, load_settings
from topology.settings.show import show_settings


def write(folder: Path, text: str) -> Path:
    file = folder / "modpulse.toml"
    file.write_text(text, encoding="utf-8")
    return file


def from_file(folder: Path, text: str, **environ: str) -> Settings:
    return load_settings(write(folder, text), environ=environ)


def errors(overrides: dict[str, object] | None = None, config: Path | None = None, **environ: str) -> str:
    return errors_of(environ, overrides, config)


def errors_of(environ: dict[str, str], overrides: dict[str, object] | None = None, config: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(config, overrides, environ)
    return str(caught.value)


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = write(tmp_path, '[windows]\ngrace = "1s"\ncorrections = "1m"\nidle_timeout = "1s"\n')
    environ = {"MODPULSE_WINDOWS__GRACE": "2s", "MODPULSE_WINDOWS__CORRECTIONS": "2m"}
    settings = load_settings(file, {"windows.grace": "3s", "log.level": None}, environ)
    windows = settings.windows
    assert (windows.grace, windows.corrections, windows.idle_timeout) == (3_000, 120_000, 1_000)
    names = ("windows.grace", "windows.corrections", "windows.idle_timeout", "windows.max_future")
    assert [settings.origin(name) for name in names] == ["flag", "env", "file", "default"]


def test_the_file_is_found_by_flag_then_variable_then_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.toml"
    other.write_text('application_id = "other"', encoding="utf-8")
    write(tmp_path, 'application_id = "here"')
    monkeypatch.chdir(tmp_path)
    variable = {"MODPULSE_CONFIG": str(other)}
    assert load_settings(environ={}).application_id == "here"
    assert load_settings(environ=variable).application_id == "other"
    assert load_settings(Path("modpulse.toml"), environ=variable).application_id == "here"


def test_every_mistake_is_reported_at_once_with_value_and_place() -> None:
    message = errors(
        {"log.level": "loud"},
        MODPULSE_WINDOWS__GRACE="soon",
        MODPULSE_TOPICS__PARTITIONS="0",
        MODPULSE_DEDUP__ENABLED="perhaps",
        MODPULSE_SERVE__BIND="8080",
        MODPULSE_APPLICATION_ID="a b",
        MODPULSE_NOTHING="1",
    )
    assert message.startswith("7 settings are wrong:\n")
    for part in (
        "log.level = 'loud' (a flag) is not one of 'debug', 'info', 'warning' or 'error'; choose one of them",
        "windows.grace = 'soon' (MODPULSE_WINDOWS__GRACE) is not a duration; write",
        "topics.partitions = '0' (MODPULSE_TOPICS__PARTITIONS) is too small; make it at least 1",
        "dedup.enabled = 'perhaps' (MODPULSE_DEDUP__ENABLED) is not a switch; write true or false",
        "serve.bind = '8080' (MODPULSE_SERVE__BIND) is not an address; write host:port",
        "application_id = 'a b' (MODPULSE_APPLICATION_ID) is not a legal Kafka name; use",
        "MODPULSE_NOTHING (environment) is no setting",
    ):
        assert part in message


def secure(**more: str) -> dict[str, str]:
    return {
        "MODPULSE_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "MODPULSE_KAFKA__SASL_MECHANISM": "PLAIN",
        "MODPULSE_KAFKA__SASL_USERNAME": "worker",
        **more,
    }


def test_secrets_are_masked_wherever_settings_are_shown(tmp_path: Path) -> None:
    settings = load_settings(environ=secure(MODPULSE_KAFKA__SASL_PASSWORD="hunter2"))
    assert settings.kafka.sasl_secret() == "hunter2"
    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "hunter2" not in text
    shown = {row.name: row.value for row in show_settings(settings)}
    assert shown["kafka.sasl_password"] == "********"
    assert shown["kafka.sasl_password_file"] == ""


def test_no_error_repeats_a_secret(tmp_path: Path) -> None:
    for environ in (
        {"MODPULSE_KAFKA__SASL_PASWORD": "hunter2"},
        {"MODPULSE_KAFKA__SASL_PASSWORD": "hunter2"},
        {"MODPULSE_KAFKA__SASL_PASSWORD": "hunter2", "MODPULSE_KAFKA__SESSION_TIMEOUT": "x"},
    ):
        with pytest.raises(ConfigError) as caught:
            load_settings(environ=environ)
        assert "hunter2" not in str(caught.value)
        assert caught.value.__context__ is None
    file = write(tmp_path, "[kafka]\nsasl.password = [1234567]")
    assert "1234567" not in errors(config=file)


def test_a_key_of_an_override_that_is_none_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    overrides = '[[health.overrides]]\nglob = "a*"\nmin_request = 5\np95.degrade = 3'
    message = errors(config=write(tmp_path, overrides))
    assert "health.overrides[0].min_request is no setting; did you mean min_requests?" in message
    assert "health.overrides[0].p95.degrade is no setting; did you mean degraded?" in message


def test_the_file_takes_librdkafka_names_quoted_or_as_dotted_keys(tmp_path: Path) -> None:
    settings = from_file(
        tmp_path,
        """
        [kafka]
        "bootstrap.servers" = "a:9092,[::1]:9093"
        security.protocol = "SASL_PLAINTEXT"
        sasl.mechanism = "SCRAM-SHA-512"
        sasl.username = "worker"
        sasl.password = "hunter2"
        group.instance.id = "worker-1"
        session.timeout.ms = 10000
        client_rack = "eu-1"
        """,
    )
    kafka = settings.kafka
    assert kafka.servers == ["a:9092", "[::1]:9093"]
    assert (kafka.security_protocol, kafka.sasl_mechanism) == ("SASL_PLAINTEXT", "SCRAM-SHA-512")
    assert (kafka.sasl_secret(), kafka.group_instance_id, kafka.session_timeout) == ("hunter2", "worker-1", 10_000)
    assert kafka.client_rack == "eu-1"


def test_a_password_file_is_read_at_use_and_a_higher_layer_replaces_it(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("first\n", encoding="utf-8")
    file = write(tmp_path, f'[kafka]\nsasl.password.file = "{secret}"')
    kafka = load_settings(file, environ=secure()).kafka
    assert kafka.sasl_secret() == "first"
    secret.write_text("second", encoding="utf-8")
    assert kafka.sasl_secret() == "second"
    assert load_settings(file, environ=secure(MODPULSE_KAFKA__SASL_PASSWORD="third")).kafka.sasl_secret() == "third"


def test_health_keys_can_be_set_one_by_one_and_overridden_by_glob(tmp_path: Path) -> None:
    settings = from_file(
        tmp_path,
        """
        [health]
        p95.degraded = 500
        [[health.overrides]]
        glob = "batch-*"
        min_requests = 1
        p99.degraded = "off"
        [[health.overrides]]
        glob = "*"
        """,
        MODPULSE_HEALTH__SUCCESS_RATE__DEGRADED="0.99",
        MODPULSE_HEALTH__MEMORY__CRITICAL="off",
    )
    health = settings.core().health
    assert health.default.thresholds["p95"] == Threshold(500.0, 5_000.0, 15.0)
    assert health.default.thresholds["success_rate"] == Threshold(0.99, 0.90, 40.0)
    assert health.default.thresholds["memory"].critical is None
    batch, everything = health.overrides
    assert (batch.glob, batch.profile.min_requests) == ("batch-*", 1)
    assert batch.profile.thresholds["p99"] == Threshold(None, 10_000.0, 15.0)
    assert batch.profile.thresholds["p95"] == Threshold(500.0, 5_000.0, 15.0)
    assert everything.profile == health.default


def test_what_is_said_to_the_tests_is_no_setting() -> None:
    assert load_settings(environ={"MODPULSE_TEST_BOOTSTRAP_SERVERS": "127.0.0.1:1"}) == load_settings(environ={})
