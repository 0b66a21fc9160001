"""The names of all settings, and the nearest one to a name that does not exist."""

import difflib
from collections.abc import Iterable
from functools import cache

from pydantic import BaseModel, SecretStr

from topology.settings.kafka import PROPERTIES
from topology.settings.model import Settings

ENV_PREFIX = "MODPULSE_"
# Says where the file is, so it is no setting itself.
CONFIG_VARIABLE = "MODPULSE_CONFIG"
# What is said to the tests in the same shell is no setting of a worker.
TEST_PREFIX = "MODPULSE_TEST_"

_SECRET_FIELDS = ("sasl_password", "ssl_key_password")
# A secret and its file stand for the same thing: a layer that gives one replaces the other of the layers below.
ALTERNATIVES = {
    **{f"kafka.{field}": f"kafka.{field}_file" for field in _SECRET_FIELDS},
    **{f"kafka.{field}_file": f"kafka.{field}" for field in _SECRET_FIELDS},
}


@cache
def setting_names() -> tuple[str, ...]:
    """The dotted name of every setting, in the order of the model."""
    return tuple(_names(Settings, ""))


@cache
def environment_names() -> dict[str, str]:
    """Environment name -> dotted name of every setting."""
    return {env_name(name): name for name in setting_names()}


def env_name(name: str) -> str:
    """The environment name of a setting: `windows.grace` is MODPULSE_WINDOWS__GRACE."""
    return ENV_PREFIX + name.replace(".", "__").upper()


def is_secret(name: str) -> bool:
    """Whether the value of this setting must never be shown."""
    return name.removeprefix("kafka.") in _SECRET_FIELDS


def file_names(section: str) -> list[str]:
    """What a key of this section of the file may be called, with the section."""
    if section == "kafka":
        return [f"kafka.{name}" for name in PROPERTIES]
    return list(setting_names())


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """`; did you mean x?` with the nearest candidate, or advice where nothing is near."""
    nearest = difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.75)
    return f"; did you mean {nearest[0]}?" if nearest else "; remove it (`modpulse config show` lists all names)"


def shown(value: object) -> object:
    """A value as it may be shown: secrets masked, everything else itself."""
    return "********" if isinstance(value, SecretStr) else value


def _names(model: type[BaseModel], prefix: str) -> Iterable[str]:
    for field, info in model.model_fields.items():
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _names(annotation, f"{prefix}{field}.")
        else:
            yield prefix + field
