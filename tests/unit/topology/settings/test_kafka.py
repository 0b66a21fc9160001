"""How the broker is reached: properties by their usual names, security that agrees with itself, secrets read at use."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.errors import ConfigError
from topology.settings import load_settings, setting_names
from topology.settings.kafka import PROPERTIES, KafkaSettings
from topology.settings.show import show_settings

SASL = {"sasl_mechanism": "PLAIN", "sasl_username": "worker", "sasl_password": "hunter2"}


def kafka(**fields: Any) -> KafkaSettings:
    return KafkaSettings(**fields)


def refusal(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        kafka(**fields)
    assert "hunter2" not in str(caught.value)
    return str(caught.value)


def test_every_property_name_stands_for_a_field() -> None:
    assert {f"kafka.{field}" for field in PROPERTIES.values()} <= set(setting_names())


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
def test_a_password_never_crosses_the_network_in_the_clear_unasked(protocol: str) -> None:
    assert "set kafka.security_protocol to SASL_SSL" in refusal(security_protocol=protocol, **SASL)
    for field, value in SASL.items():
        assert f"would ignore kafka.{field}" in refusal(security_protocol=protocol, **{field: value})
    assert kafka(security_protocol="SASL_PLAINTEXT", **SASL).sasl_secret() == "hunter2"


def test_sasl_needs_a_mechanism_a_name_and_one_password(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from-file", encoding="utf-8")
    for missing in SASL:
        given = {field: value for field, value in SASL.items() if field != missing}
        assert missing in refusal(security_protocol="SASL_SSL", **given)
    assert "are both set; keep one" in refusal(security_protocol="SASL_SSL", sasl_password_file=file, **SASL)
    assert "cannot be read (No such file or directory)" in refusal(sasl_password_file=tmp_path / "absent")


def test_certificates_are_no_ornament(tmp_path: Path) -> None:
    file = tmp_path / "any.pem"
    file.touch()
    for protocol in ("PLAINTEXT", "SASL_PLAINTEXT"):
        sasl = SASL if protocol.startswith("SASL") else {}
        told = refusal(security_protocol=protocol, ssl_ca_location=file, **sasl)
        assert f"kafka.security_protocol = {protocol} would ignore kafka.ssl_ca_location" in told
    assert "name the client certificate too" in refusal(security_protocol="SSL", ssl_key_location=file)
    pair = {"ssl_certificate_location": file, "ssl_key_location": file, "security_protocol": "SSL"}
    both = refusal(**pair, ssl_key_password="hunter2", ssl_key_password_file=file)
    assert "kafka.ssl_key_password and kafka.ssl_key_password_file are both set" in both
    assert kafka(**pair, ssl_key_password="hunter2").ssl_key_secret() == "hunter2"


def test_a_secret_of_a_file_is_read_anew_each_time_without_its_line_end_alone(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(b" first \r\n")
    found = kafka(**{**SASL, "sasl_password": None}, security_protocol="SASL_SSL", sasl_password_file=file)
    assert found.sasl_secret() == " first "
    file.write_bytes(b"second")
    assert found.sasl_secret() == "second"
    assert kafka().sasl_secret() is None


def test_servers_are_a_list_or_a_text_and_each_one_is_an_address() -> None:
    wanted = ["a:1", "[::1]:2"]
    for given in ("a:1,[::1]:2", " a:1 , [::1]:2,", ["a:1", "[::1]:2"]):
        assert kafka(bootstrap_servers=given).servers == wanted
    assert "is empty; write host:port,host:port" in refusal(bootstrap_servers=" , ")
    assert "is not an address" in refusal(bootstrap_servers="a:1,b")


def test_an_empty_text_is_an_unset_one() -> None:
    fields = ("client_rack", "group_instance_id", "sasl_mechanism", "sasl_password", "sasl_password_file")
    found = kafka(**dict.fromkeys(fields, ""))
    assert [getattr(found, field) for field in fields] == [None] * len(fields)


CREDENTIALS = 'sasl.username = "u"\nsasl.password = "p"\n'


def section(tmp_path: Path, text: str) -> Any:
    """The section, as read from a file."""
    file = tmp_path / "modpulse.toml"
    file.write_text(f"[kafka]\n{text}", encoding="utf-8")
    return load_settings(file, {}, {}).kafka


@pytest.mark.parametrize("protocol", ["plaintext", "PLAINTEXT", "ssl", "Ssl"])
def test_a_protocol_is_taken_in_any_case(protocol: str, tmp_path: Path) -> None:
    assert section(tmp_path, f'security.protocol = "{protocol}"').security_protocol == protocol.upper()


@pytest.mark.parametrize("protocol", ["sasl_ssl", "Sasl_Plaintext"])
@pytest.mark.parametrize("mechanism", ["scram-sha-256", "plain", "SCRAM-SHA-512"])
def test_a_mechanism_is_taken_in_any_case(protocol: str, mechanism: str, tmp_path: Path) -> None:
    found = section(tmp_path, f'security.protocol = "{protocol}"\nsasl.mechanism = "{mechanism}"\n{CREDENTIALS}')
    assert (found.security_protocol, found.sasl_mechanism) == (protocol.upper(), mechanism.upper())


def test_an_empty_mechanism_is_none_and_another_word_is_refused(tmp_path: Path) -> None:
    assert section(tmp_path, 'sasl.mechanism = ""').sasl_mechanism is None
    with pytest.raises(ConfigError, match=r"kafka.security_protocol = 'tls' .*choose one of them"):
        section(tmp_path, 'security.protocol = "tls"')


def test_the_first_time_is_shown_as_one_would_write_it(tmp_path: Path) -> None:
    file = tmp_path / "modpulse.toml"
    file.write_text('[windows]\nmin_timestamp = "2020-01-01T00:00:00Z"', encoding="utf-8")
    settings = load_settings(file, {}, {})
    shown = {one.name: one.value for one in show_settings(settings)}
    assert shown["windows.min_timestamp"] == "2020-01-01T00:00:00Z"
    assert settings.core().event_rules.min_timestamp_ms == 1_577_836_800_000
