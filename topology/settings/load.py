"""Flags over environment over file over defaults, and every mistake at once.

The order of precedence is the contract's. A value is known by the layer it came from, so `config show --origin` and
every error can name the place to change.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.errors import ConfigError
from topology.settings.health import HealthChange, ThresholdChange
from topology.settings.layers import Layer, env_layer, file_layer, flag_layer
from topology.settings.model import Origin, Remarks, Settings
from topology.settings.names import ALTERNATIVES, CONFIG_VARIABLE, did_you_mean, env_name, is_secret, setting_names
from topology.settings.trust import betrayed

_ADVICE = {
    "literal_error": "is not one of {expected}; choose one of them",
    "int_parsing": "is not a whole number; write one",
    "int_type": "is not a whole number; write one",
    "int_from_float": "is not a whole number; write one",
    "float_parsing": "is not a number; write one",
    "float_type": "is not a number; write one",
    "finite_number": "is not finite; write an ordinary number",
    "greater_than_equal": "is too small; make it at least {ge}",
    "less_than_equal": "is too large; make it at most {le}",
    "string_type": "is not text; put it in quotes",
    "string_too_short": "is empty; write something",
    "missing": "is missing; add it",
    "path_type": "is not a path; write it in quotes",
    "tuple_type": "is not a list; write a list",
    "model_type": "is not a table; write its keys",
}


def load_settings(
    config: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of this process.

    Args:
        config: the file; None means the one MODPULSE_CONFIG names, else `modpulse.toml` here if it exists.
        overrides: flags by dotted name (`windows.grace`); None as a value means the flag was not given.
        environ: the environment; the process's own where it is not given.

    Raises:
        ConfigError: something is wrong; the message lists every bad setting with its value and the remedy.
    """
    environ = os.environ if environ is None else environ
    layers = (file_layer(config, environ), env_layer(environ), flag_layer(overrides or {}))
    values, sources = _merge(layers)
    problems = [problem for layer in reversed(layers) for problem in layer.problems]
    origins = {name: layer.origin for name, layer in sources.items()}
    problems += [_betrayal(layer, origins) for layer in layers if layer.distrust and all(betrayed(origins))]
    settings = None
    try:
        settings = Settings.from_layers(_nested(values), origins, _remarks(layers))
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            problems += _describe(detail, values, sources)
    if settings is None or problems:
        # Outside the except block: the validation error it came from holds the raw values, secrets included.
        raise ConfigError(_as_text(problems))
    return settings


def _betrayal(layer: Layer, origins: Mapping[str, Origin]) -> str:
    """Why a file that may be somebody else's is refused."""
    secrets, destinations = betrayed(origins)
    return (
        f"{layer.where} of the working directory sets {', '.join(destinations)}, and {layer.distrust}; {', '.join(secrets)}"
        f" ({origins[secrets[0]]}) would go where it says. {_way_out(layer)}"
    )


def _way_out(layer: Layer) -> str:
    return (
        f"If it is yours, name it (--config {layer.where}, or {CONFIG_VARIABLE}) or take it over (chown, chmod go-w);"
        " else remove it"
    )


def _remarks(layers: tuple[Layer, ...]) -> Remarks:
    """What is no mistake and should be known."""
    return Remarks(
        ignored_variables=tuple(name for layer in layers for name in layer.ignored),
        warnings=tuple(
            f"{layer.where} of the working directory is read, though {layer.distrust}. {_way_out(layer)}"
            for layer in layers
            if layer.distrust
        ),
    )


def _merge(layers: tuple[Layer, ...]) -> tuple[dict[str, Any], dict[str, Layer]]:
    values: dict[str, Any] = {}
    sources: dict[str, Layer] = {}
    for layer in layers:
        for name, value in layer.values.items():
            other = ALTERNATIVES.get(name)
            if other is not None and other not in layer.values:
                values.pop(other, None)
                sources.pop(other, None)
            values[name] = value
            sources[name] = layer
    return values, sources


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *sections, key = name.split(".")
        table = tree
        for section in sections:
            table = table.setdefault(section, {})
        table[key] = value
    return tree


def _describe(detail: ErrorDetails, values: Mapping[str, Any], sources: Mapping[str, Layer]) -> list[str]:
    """One validation error as lines for people: setting, value, place, what is wrong, remedy."""
    setting, inner = _locate(detail["loc"])
    context = detail.get("ctx", {})
    if setting not in setting_names():  # a rule about several settings: its text names them itself
        return str(context.get("error", detail["msg"])).splitlines()
    if detail["type"] == "extra_forbidden":
        keys = ThresholdChange.model_fields if inner.count(".") > 1 else HealthChange.model_fields
        return [f"{setting}{inner} is no setting{did_you_mean(str(detail['loc'][-1]), keys)}"]
    advice = str(context.get("error") or _ADVICE.get(detail["type"], detail["msg"]).format_map(context))
    value = "********" if is_secret(setting) else repr(detail["input"] if inner else values.get(setting))
    return [f"{setting}{inner} = {value} ({_place(setting, sources.get(setting))}) {advice}"]


def _locate(loc: tuple[int | str, ...]) -> tuple[str, str]:
    """The setting a location points into, and the way on inside it: `health.overrides` and `[0].glob`."""
    for end in range(len(loc), 0, -1):
        name = ".".join(str(part) for part in loc[:end])
        if name in setting_names():
            return name, "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc[end:])
    return ".".join(str(part) for part in loc), ""


def _place(name: str, layer: Layer | None) -> str:
    if layer is None:
        return "default"
    return env_name(name) if layer.origin == "env" else layer.where


def _as_text(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return f"{len(problems)} settings are wrong:\n" + "\n".join(f"  {problem}" for problem in problems)
