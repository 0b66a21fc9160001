"""What flags, environment and file say: names alone are judged, each with the nearest one, and no value is repeated."""

from pathlib import Path

import pytest

from schemas.errors import ConfigError
from topology.settings.layers import env_layer, file_layer, flag_layer


def of_file(folder: Path, text: str) -> tuple[dict[str, object], str]:
    """The values of a file, and its problems as one text."""
    file = folder / "modpulse.toml"
    file.write_text(text, encoding="utf-8")
    layer = file_layer(file, {})
    return layer.values, "\n".join(layer.problems)


def test_a_flag_that_was_not_given_says_nothing_and_one_that_is_off_says_so() -> None:
    assert flag_layer({"windows.grace": None, "dedup.enabled": False, "kafka.client_rack": ""}).values == {
        "dedup.enabled": False,
        "kafka.client_rack": "",
    }


def test_only_variables_of_ours_are_looked_at_and_service_links_are_set_aside() -> None:
    layer = env_layer(
        {
            "WINDOWS__GRACE": "1s",
            "MODPULSE_CONFIG": "elsewhere.toml",
            "MODPULSE_WINDOWS__GRACE": "2s",
            "MODPULSE_PORT": "tcp://10.0.0.1:80",
            "MODPULSE_SERVICE_HOST": "10.0.0.1",
            "modpulse_windows__grace": "3s",
        }
    )
    assert (layer.values, layer.problems) == ({"windows.grace": "2s"}, [])
    assert layer.ignored == ["MODPULSE_PORT", "MODPULSE_SERVICE_HOST"]


def test_a_misspelt_name_is_reported_without_its_value() -> None:
    assert flag_layer({"kafka.sasl_pasword": "hunter2"}).problems == [
        "kafka.sasl_pasword is no setting; did you mean kafka.sasl_password?"
    ]
    (problem,) = env_layer({"MODPULSE_KAFKA__SASL_PASWORD": "hunter2"}).problems
    assert problem.endswith("(environment) is no setting; did you mean MODPULSE_KAFKA__SASL_PASSWORD?")
    assert "hunter2" not in problem


def test_dotted_keys_quoted_keys_and_tables_are_one_thing(tmp_path: Path) -> None:
    wanted = {"kafka.ssl_ca_location": "x", "kafka.bootstrap_servers": "a:1", "kafka.session_timeout": 5}
    for text in (
        '[kafka]\nssl.ca.location = "x"\nbootstrap.servers = "a:1"\nsession.timeout.ms = 5',
        '[kafka]\n"ssl.ca.location" = "x"\n"bootstrap.servers" = "a:1"\n"session.timeout.ms" = 5',
        '[kafka.ssl]\nca.location = "x"\n[kafka.bootstrap]\nservers = "a:1"\n[kafka.session]\ntimeout.ms = 5',
        '[kafka]\nssl_ca_location = "x"\nbootstrap_servers = "a:1"\nsession_timeout = 5',
    ):
        assert of_file(tmp_path, text) == (wanted, "")


def test_one_field_by_two_spellings_is_refused(tmp_path: Path) -> None:
    text = '[kafka]\n"bootstrap.servers" = "a:1"\nbootstrap_servers = "b:2"'
    assert of_file(tmp_path, text)[1].endswith("sets kafka.bootstrap_servers a second time; keep one of the two")


def test_a_name_the_file_may_not_hold_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    assert "did you mean windows.grace?" in of_file(tmp_path, '[windows]\ngrase = "1s"')[1]
    assert "did you mean kafka.bootstrap.servers?" in of_file(tmp_path, '[kafka]\n"bootstrap.server" = "a:1"')[1]
    assert "remove it" in of_file(tmp_path, "xyzzy = 1")[1]
    assert "windows (" in of_file(tmp_path, "windows = 5")[1]
    assert "is a section; write [windows] and its keys below" in of_file(tmp_path, "windows = 5")[1]


def test_a_file_that_was_asked_for_must_be_there_and_any_file_must_be_toml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (file_layer(None, {"MODPULSE_CONFIG": ""}).values, file_layer(None, {}).where) == ({}, "")
    with pytest.raises(ConfigError, match=r"absent\.toml \(No such file or directory\); correct --config"):
        file_layer(Path("absent.toml"), {"MODPULSE_CONFIG": "other.toml"})
    with pytest.raises(ConfigError, match="correct MODPULSE_CONFIG"):
        file_layer(None, {"MODPULSE_CONFIG": "absent.toml"})
    Path("modpulse.toml").mkdir()
    with pytest.raises(ConfigError, match="make it readable, or remove it"):
        file_layer(None, {})
    for text in (b"application_id = ", b'application_id = "\xff"'):
        Path("bad.toml").write_bytes(text)
        with pytest.raises(ConfigError, match=r"bad\.toml is not TOML: .+; correct that line"):
            file_layer(Path("bad.toml"), {})
