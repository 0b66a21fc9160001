"""Settings as they are printed: as one would write them, with their origins, and no secret."""

from collections.abc import Callable, Iterator

import pytest
from pydantic import BaseModel

from topology.settings import Settings, environment_names, load_settings, setting_names
from topology.settings.show import show_settings
from topology.settings.units import parse_duration, parse_size


def shown(settings: Settings) -> dict[str, object]:
    return {row.name: row.value for row in show_settings(settings)}


def test_what_is_shown_reads_back_as_the_same_settings() -> None:
    environ = {"MODPULSE_WINDOWS__SIZES": "10s,1m", "MODPULSE_LIMITS__MAX_RECORD_BYTES": "128KiB"}
    settings = load_settings(environ=environ)
    flags = {row.name: row.value for row in show_settings(settings)}
    assert load_settings(overrides=flags, environ={}).model_dump() == settings.model_dump()
    assert set(environment_names().values()) == set(flags)


def test_every_setting_is_a_row_in_the_order_of_the_model() -> None:
    assert tuple(row.name for row in show_settings(Settings())) == setting_names()


def test_durations_and_sizes_are_written_with_the_largest_unit_that_is_exact() -> None:
    flags = {"windows.grace": "90000", "flush_interval": 1_500, "limits.max_batch_bytes": 3 << 20}
    rows = shown(load_settings(overrides={**flags, "limits.max_record_bytes": 1_000}, environ={}))
    assert (rows["windows.grace"], rows["flush_interval"]) == ("90s", "1500ms")
    assert (rows["limits.max_batch_bytes"], rows["limits.max_record_bytes"]) == ("3MiB", "1000")


def test_an_override_is_shown_with_the_keys_that_were_given_alone() -> None:
    change = {"glob": "a*", "p95": {"degraded": None}}
    rows = shown(load_settings(overrides={"health.overrides": [change]}, environ={}))
    assert rows["health.overrides"] == [change]
    assert shown(Settings())["health.overrides"] == []


def test_a_secret_is_masked_and_an_unset_one_is_empty() -> None:
    environ = {
        "MODPULSE_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "MODPULSE_KAFKA__SASL_MECHANISM": "PLAIN",
        "MODPULSE_KAFKA__SASL_USERNAME": "worker",
        "MODPULSE_KAFKA__SASL_PASSWORD": "hunter2",
    }
    rows = show_settings(load_settings(environ=environ))
    assert "hunter2" not in repr(rows)
    (secret,) = [row for row in rows if row.name == "kafka.sasl_password"]
    assert (secret.value, secret.origin) == ("********", "env")
    assert {row.name: row.value for row in rows}["kafka.ssl_key_password"] == ""


def written_by(parser: object, model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """The settings whose texts this parser reads."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from written_by(parser, info.annotation, f"{prefix}{name}.")
        elif any(getattr(one, "func", None) is parser for one in info.metadata):
            yield prefix + name


@pytest.mark.parametrize("parser", [parse_duration, parse_size])
def test_no_duration_and_no_size_is_shown_as_a_bare_number(parser: Callable[[object], int]) -> None:
    names = list(written_by(parser))
    assert len(names) >= 5
    rows = shown(Settings())
    assert [name for name in names if not isinstance(rows[name], str)] == []
