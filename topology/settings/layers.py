"""What flags, environment and file say, each as one flat table of dotted names to raw values.

Nothing is interpreted here but names: a name that is no setting is a problem, reported with the nearest one, and its
value is never repeated (it may be a misspelt password).
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.errors import ConfigError
from topology.settings.kafka import PROPERTIES
from topology.settings.model import Origin
from topology.settings.names import (
    CONFIG_VARIABLE,
    ENV_PREFIX,
    TEST_PREFIX,
    did_you_mean,
    environment_names,
    file_names,
    setting_names,
)
from topology.settings.service_links import is_service_link
from topology.settings.trust import distrust_of

DEFAULT_FILE = "modpulse.toml"


@dataclass(frozen=True, slots=True)
class Layer:
    """One source of settings.

    Attributes:
        origin: which of the sources.
        where: how to name it in a message, for example the file's path.
        values: dotted name -> raw value.
        problems: one line for each name that is no setting.
        ignored: names that were left out because others than us made them.
        distrust: why the source may be somebody else's, where nobody named it.
    """

    origin: Origin
    where: str
    values: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    distrust: str | None = None


def flag_layer(overrides: Mapping[str, object]) -> Layer:
    """The flags that were given; None means the flag was not."""
    layer = Layer("flag", "a flag")
    for name, value in overrides.items():
        if value is None:
            continue
        if name in setting_names():
            layer.values[name] = value
        else:
            layer.problems.append(f"{name} is no setting{did_you_mean(name, setting_names())}")
    return layer


def env_layer(environ: Mapping[str, str]) -> Layer:
    """Every MODPULSE_ variable but the one that names the file, those of the tests, and Kubernetes' service links."""
    layer = Layer("env", "the environment")
    known = environment_names()
    for variable, value in sorted(environ.items()):
        if not variable.startswith(ENV_PREFIX) or variable.startswith(TEST_PREFIX) or variable == CONFIG_VARIABLE:
            continue
        if name := known.get(variable):
            layer.values[name] = value
        elif is_service_link(variable):
            layer.ignored.append(variable)
        else:
            hint = did_you_mean(variable, [*known, CONFIG_VARIABLE])
            layer.problems.append(f"{variable} (environment) is no setting{hint}")
    return layer


def file_layer(config: Path | None, environ: Mapping[str, str]) -> Layer:
    """The file: the one given, else the one MODPULSE_CONFIG names, else `modpulse.toml` here, else nothing.

    Raises:
        ConfigError: the file is missing, unreadable or no TOML.
    """
    path, asked_by = config, "--config"
    if path is None and environ.get(CONFIG_VARIABLE):
        path, asked_by = Path(environ[CONFIG_VARIABLE]), CONFIG_VARIABLE
    if path is None:
        path, asked_by = Path(DEFAULT_FILE), ""
        if not path.exists():
            return Layer("file", "")
    distrust = None
    try:
        with path.open("rb") as file:
            if not asked_by:
                distrust = distrust_of(path, file.fileno())
            document = tomllib.loads(file.read().decode("utf-8"))
    except OSError as error:
        remedy = f"correct {asked_by}" if asked_by else "make it readable, or remove it"
        raise ConfigError(f"cannot read the configuration file {path} ({error.strerror}); {remedy}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration file {path} is not TOML: {error}; correct that line") from error
    layer = Layer("file", str(path), distrust=distrust)
    _read_table(document, "", layer)
    return layer


def _read_table(table: Mapping[str, Any], prefix: str, layer: Layer) -> None:
    """Flatten tables and dotted keys alike: `ssl.ca.location = x` and `"ssl.ca.location" = x` are one thing."""
    for key, value in table.items():
        written = f"{prefix}{key}"
        name = _setting_of(written)
        if isinstance(value, dict) and _is_section(written):
            _read_table(value, f"{written}.", layer)
        elif name in setting_names():
            if name in layer.values:
                layer.problems.append(f"{written} ({layer.where}) sets {name} a second time; keep one of the two")
            layer.values[name] = value
        elif _is_section(written) and not written.startswith("kafka."):
            layer.problems.append(f"{written} ({layer.where}) is a section; write [{written}] and its keys below")
        else:
            hint = did_you_mean(written, file_names(written.partition(".")[0]))
            layer.problems.append(f"{written} ({layer.where}) is no setting{hint}")


def _setting_of(written: str) -> str:
    section, _, key = written.partition(".")
    return f"kafka.{PROPERTIES.get(key, key)}" if section == "kafka" else written


def _is_section(written: str) -> bool:
    if written.startswith("kafka."):
        return any(name.startswith(f"{written}.") for name in file_names("kafka"))
    return any(name.startswith(f"{written}.") for name in setting_names())
