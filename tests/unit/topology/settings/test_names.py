"""The names of settings: one for each place it can be written, secrets known by name, and help with a misspelt one."""

import pytest
from pydantic import SecretStr

from topology.settings.names import (
    ALTERNATIVES,
    CONFIG_VARIABLE,
    did_you_mean,
    env_name,
    environment_names,
    file_names,
    is_secret,
    setting_names,
    shown,
)


def test_a_dotted_name_and_its_variable_stand_for_each_other() -> None:
    assert env_name("windows.grace") == "MODPULSE_WINDOWS__GRACE"
    assert env_name("health.p95.degraded") == "MODPULSE_HEALTH__P95__DEGRADED"
    found = environment_names()
    assert tuple(found.values()) == setting_names(), "no two settings share a variable"
    assert all(env_name(name) == variable for variable, name in found.items())
    assert CONFIG_VARIABLE not in found


def test_every_setting_that_holds_a_secret_is_known_by_its_name() -> None:
    secret = {name for name in setting_names() if is_secret(name)}
    assert secret == {"kafka.sasl_password", "kafka.ssl_key_password"}
    assert {f"{name}_file" for name in secret} <= set(setting_names())
    assert {ALTERNATIVES[ALTERNATIVES[name]] for name in secret} == secret


def test_the_file_may_name_the_broker_by_the_properties_people_know() -> None:
    assert {"kafka.bootstrap.servers", "kafka.sasl.mechanisms"} <= set(file_names("kafka"))
    assert "windows.grace" in file_names("windows")


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("windows.grase", "; did you mean windows.grace?"),
        ("window.grace", "; did you mean windows.grace?"),
        ("xyzzy", "; remove it (`modpulse config show` lists all names)"),
        ("", "; remove it (`modpulse config show` lists all names)"),
    ],
)
def test_a_misspelt_name_gets_the_nearest_one_or_the_way_to_all_of_them(written: str, hint: str) -> None:
    assert did_you_mean(written, setting_names()) == hint


def test_a_secret_is_shown_as_stars_however_long_it_is() -> None:
    assert {shown(SecretStr(text)) for text in ("x", "x" * 90)} == {"********"}
    assert shown("x") == "x"
