"""Secrets and certificates that are replaced under a running worker."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from schemas.errors import ConfigError
from tests.support.paths import DATA
from topology.kafka.credentials import Credentials
from topology.settings import Settings, load_settings

TLS = DATA / "tls"


def settings_of(**kafka: str) -> Settings:
    return load_settings(environ={f"MODPULSE_KAFKA__{name.upper()}": value for name, value in kafka.items()})


def with_password(secret: Path) -> Credentials:
    """Of a user whose password is in a file."""
    return Credentials(
        settings_of(
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="PLAIN",
            sasl_username="u",
            sasl_password_file=str(secret),
        )
    )


def replace(path: Path, text: str) -> None:
    """Write it another way than before, so that a coarse clock of the file system cannot hide it."""
    path.write_text(text, "utf-8")


def test_a_new_password_reaches_clients_that_are_there_and_those_to_come(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    replace(secret, "old")
    credentials = with_password(secret)
    options = credentials.options
    client = SimpleNamespace(_sasl_plain_password="old", _sasl_plain_username="u", _ssl_context=None)
    credentials.serve(lambda: [client])
    credentials.look()
    assert (client._sasl_plain_password, options["sasl_plain_password"]) == ("old", "old")
    replace(secret, "much newer")
    credentials.look()
    assert (client._sasl_plain_password, options["sasl_plain_password"]) == ("much newer", "much newer")


def test_a_secret_that_is_gone_or_half_written_changes_nothing_until_it_can_be_used(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    replace(secret, "old")
    credentials = with_password(secret)
    secret.unlink()
    credentials.look()
    assert credentials.options["sasl_plain_password"] == "old"
    replace(secret, "newer")
    credentials.look()
    assert credentials.options["sasl_plain_password"] == "newer"


def test_new_certificates_make_a_new_context_for_every_client(tmp_path: Path) -> None:
    certificate, key = tmp_path / "client.pem", tmp_path / "client.key"
    for path, name in ((certificate, "first.pem"), (key, "first.key")):
        shutil.copy(TLS / name, path)
    credentials = Credentials(
        settings_of(
            security_protocol="SSL",
            ssl_ca_location=str(TLS / "first.pem"),
            ssl_certificate_location=str(certificate),
            ssl_key_location=str(key),
        )
    )
    former = credentials.options["ssl_context"]
    client = SimpleNamespace(_sasl_plain_password=None, _sasl_plain_username=None, _ssl_context=former)
    credentials.serve(lambda: [client])
    # Rotated one file after the other: a certificate whose key is not there yet must not be taken.
    certificate.write_text((TLS / "second.pem").read_text("ascii") + "\n", "ascii")
    credentials.look()
    assert client._ssl_context is former
    shutil.copy(TLS / "second.key", key)
    credentials.look()
    assert client._ssl_context is credentials.options["ssl_context"]
    assert client._ssl_context is not former


def test_what_cannot_be_used_at_the_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sasl_password_file"):
        Credentials(
            settings_of(
                security_protocol="SASL_PLAINTEXT",
                sasl_mechanism="PLAIN",
                sasl_username="u",
                sasl_password_file=str(tmp_path / "absent"),
            )
        )
