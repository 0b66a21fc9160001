"""A modpulse.toml that nobody named is believed only as far as another user cannot have planted it."""

import os
from pathlib import Path

import pytest

from schemas.errors import ConfigError
from topology.settings import Settings, load_settings

PLANTED = '[kafka]\n"bootstrap.servers" = "evil:9092"\n'
CREDENTIALS = {
    "MODPULSE_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "MODPULSE_KAFKA__SASL_MECHANISM": "PLAIN",
    "MODPULSE_KAFKA__SASL_USERNAME": "worker",
    "MODPULSE_KAFKA__SASL_PASSWORD": "hunter2",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "modpulse.toml"


def write(file: Path, text: str, mode: int = 0o644) -> None:
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)


def as_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of this test belong to another user than the one who runs the command, who is not root."""
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1_000)
    if owner == 0:  # files of root are trusted, so they must look like another's
        for name in ("lstat", "fstat"):
            real = getattr(os, name)
            monkeypatch.setattr(os, name, lambda file, real=real: _owned_by(real(file), 4_242))


def _owned_by(found: os.stat_result, owner: int) -> os.stat_result:
    fields = list(found)
    fields[4] = owner
    return os.stat_result(fields)


def refusal(environ: dict[str, str], config: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(config, environ=environ)
    return str(caught.value)


def warnings(settings: Settings) -> tuple[str, ...]:
    return settings.remarks.warnings


def test_a_file_of_ones_own_is_read_without_a_word(here: Path) -> None:
    write(here, PLANTED)
    settings = load_settings(environ=CREDENTIALS)
    assert (settings.kafka.servers, warnings(settings)) == (["evil:9092"], ())


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_may_write_is_named_in_a_warning(here: Path, mode: int) -> None:
    write(here, 'application_id = "mine"', mode)
    settings = load_settings(environ=CREDENTIALS)
    assert settings.application_id == "mine"
    (warning,) = warnings(settings)
    assert warning.startswith(
        "modpulse.toml of the working directory is read, though others than its owner may write it"
    )
    assert f"mode {mode:04o}" in warning
    assert "--config modpulse.toml" in warning


def test_a_file_of_another_user_is_named_in_a_warning(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here, PLANTED)
    as_somebody_else(monkeypatch)
    settings = load_settings(environ={})
    assert settings.kafka.servers == ["evil:9092"], "without credentials there is nothing to give away"
    assert "it belongs to user" in warnings(settings)[0]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (PLANTED, "kafka.bootstrap_servers"),
        ('[kafka]\n"ssl.ca.location" = "/dev/null"', "kafka.ssl_ca_location"),
        ('[kafka]\nbootstrap_servers = "evil:9092"\nclient_id = "x"', "kafka.bootstrap_servers"),
    ],
)
def test_a_file_that_may_be_planted_cannot_say_where_credentials_go(
    here: Path, monkeypatch: pytest.MonkeyPatch, text: str, named: str
) -> None:
    write(here, text)
    as_somebody_else(monkeypatch)
    message = refusal({**CREDENTIALS, "MODPULSE_KAFKA__SECURITY_PROTOCOL": "SASL_SSL"})
    assert f"sets {named}, and it belongs to user" in message
    assert "kafka.sasl_password (env) would go where it says" in message
    assert "hunter2" not in message


def test_nor_can_it_have_them_sent_in_the_clear(here: Path) -> None:
    write(here, '[kafka]\nsecurity.protocol = "SASL_PLAINTEXT"', 0o666)
    environ = {name: value for name, value in CREDENTIALS.items() if name != "MODPULSE_KAFKA__SECURITY_PROTOCOL"}
    assert "sets kafka.security_protocol, and others than its owner may write it" in refusal(environ)


def test_what_the_environment_overrides_does_not_count(here: Path) -> None:
    write(here, PLANTED, 0o666)
    settings = load_settings(environ={**CREDENTIALS, "MODPULSE_KAFKA__BOOTSTRAP_SERVERS": "good:9092"})
    assert settings.kafka.servers == ["good:9092"]
    assert warnings(settings)


def test_credentials_of_the_file_itself_are_the_files_own_affair(here: Path) -> None:
    lines = [f'{name.split("__")[1].lower()} = "{value}"' for name, value in CREDENTIALS.items()]
    write(here, PLANTED + "\n".join(lines), 0o666)
    assert load_settings(environ={}).kafka.sasl_secret() == "hunter2"


def test_a_file_that_was_asked_for_is_believed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here, PLANTED, 0o666)
    as_somebody_else(monkeypatch)
    for settings in (
        load_settings(Path("modpulse.toml"), environ=CREDENTIALS),
        load_settings(environ={**CREDENTIALS, "MODPULSE_CONFIG": str(here)}),
    ):
        assert (settings.kafka.servers, warnings(settings)) == (["evil:9092"], ())


def test_a_link_of_another_user_is_another_users_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = here.with_name("mine.toml")
    write(target, PLANTED)
    here.symlink_to(target)
    real = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path: _owned_by(real(path), 4_242))
    assert "it belongs to user 4242" in refusal(CREDENTIALS)
