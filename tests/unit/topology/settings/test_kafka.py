"""The `kafka` section: the spellings that librdkafka and Java take."""

from pathlib import Path
from typing import Any

import pytest

from schemas.errors import ConfigError
from topology.settings import load_settings
from topology.settings.show import show_settings

SASL = 'sasl.username = "u"\nsasl.password = "p"\n'


def kafka(tmp_path: Path, text: str) -> Any:
    """The section, as read from a file."""
    file = tmp_path / "modpulse.toml"
    file.write_text(f"[kafka]\n{text}", encoding="utf-8")
    return load_settings(file, {}, {}).kafka


@pytest.mark.parametrize("protocol", ["plaintext", "PLAINTEXT", "ssl", "Ssl"])
def test_a_protocol_is_taken_in_any_case(protocol: str, tmp_path: Path) -> None:
    assert kafka(tmp_path, f'security.protocol = "{protocol}"').security_protocol == protocol.upper()


@pytest.mark.parametrize("protocol", ["sasl_ssl", "Sasl_Plaintext"])
@pytest.mark.parametrize("mechanism", ["scram-sha-256", "plain", "SCRAM-SHA-512"])
def test_a_mechanism_is_taken_in_any_case(protocol: str, mechanism: str, tmp_path: Path) -> None:
    found = kafka(tmp_path, f'security.protocol = "{protocol}"\nsasl.mechanism = "{mechanism}"\n{SASL}')
    assert (found.security_protocol, found.sasl_mechanism) == (protocol.upper(), mechanism.upper())


def test_an_empty_mechanism_is_none_and_another_word_is_refused(tmp_path: Path) -> None:
    assert kafka(tmp_path, 'sasl.mechanism = ""').sasl_mechanism is None
    with pytest.raises(ConfigError, match=r"kafka.security_protocol = 'tls' .*choose one of them"):
        kafka(tmp_path, 'security.protocol = "tls"')


def test_the_first_time_is_shown_as_one_would_write_it(tmp_path: Path) -> None:
    file = tmp_path / "modpulse.toml"
    file.write_text('[windows]\nmin_timestamp = "2020-01-01T00:00:00Z"', encoding="utf-8")
    settings = load_settings(file, {}, {})
    shown = {one.name: one.value for one in show_settings(settings)}
    assert shown["windows.min_timestamp"] == "2020-01-01T00:00:00Z"
    assert settings.core().event_rules.min_timestamp_ms == 1_577_836_800_000
