"""Settings as rows to print: name, value as one would write it, origin. Secrets are masked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from topology.settings.model import Origin, Settings
from topology.settings.names import setting_names, shown
from topology.settings.sections import LimitSettings
from topology.settings.units import format_duration, format_moment, format_size

# Settings whose whole number is a duration or a size, by their last word.
_DURATIONS = {
    *("flush_interval", "session_timeout", "request_timeout", "transaction_timeout", "fetch_max_wait"),
    *("grace", "corrections", "idle_timeout", "max_future", "emit_interval", "module_expiry"),
    "dead_letter_window",
}
_SIZES = {
    "fetch_max_bytes",
    "max_partition_fetch_bytes",
    *(n for n in LimitSettings.model_fields if n.endswith("_bytes")),
}


@dataclass(frozen=True, slots=True)
class ShownSetting:
    """One setting to print.

    Attributes:
        name: dotted name.
        value: what one would write to get it; secrets masked.
        origin: which layer gave it.
    """

    name: str
    value: Any
    origin: Origin


def show_settings(settings: Settings) -> list[ShownSetting]:
    """Every setting in the order of the model."""
    return [ShownSetting(name, _written(name, _get(settings, name)), settings.origin(name)) for name in setting_names()]


def _get(settings: Settings, name: str) -> object:
    value: object = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _written(name: str, value: object) -> object:
    last = name.rpartition(".")[2]
    if last in _DURATIONS and isinstance(value, int):
        return format_duration(value)
    if last in _SIZES and isinstance(value, int):
        return format_size(value)
    if last == "min_timestamp" and isinstance(value, int):
        return format_moment(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        if all(isinstance(item, BaseModel) for item in value):
            return [item.model_dump(exclude_unset=True) for item in value]
        return ",".join(size for size, _ in value)
    return "" if value is None else shown(value)
