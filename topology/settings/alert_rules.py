"""The alert rules the settings ask for: the core compiles them, the shell reads the file."""

from importlib import resources
from pathlib import Path

from pipeline.alerts.rules import Rule, load_rules
from schemas.errors import ConfigError
from topology.settings import Settings

SHIPPED = "default_rules.toml"


def configured_rules(settings: Settings) -> tuple[Rule, ...]:
    """The compiled rules: none when alerts are off, the shipped ones where no file is named.

    A shipped rule about a window size that is not configured is left out; in a file of one's own it is an error.

    Raises:
        ConfigError: the file cannot be read, or a rule in it is bad.
    """
    if not settings.alerts.enabled:
        return ()
    if settings.alerts.rules_file is not None:
        return read_rules(settings.alerts.rules_file, settings)
    text = (resources.files("topology.settings") / SHIPPED).read_text(encoding="utf-8")
    return load_rules(text, SHIPPED, _windows(settings), skip_unknown_windows=True)


def read_rules(file: Path, settings: Settings) -> tuple[Rule, ...]:
    """The compiled rules of one file, for the configured window sizes.

    Raises:
        ConfigError: the file cannot be read, or a rule in it is bad.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the rule file {file} ({error}); name a readable TOML file") from error
    return load_rules(text, str(file), _windows(settings))


def _windows(settings: Settings) -> tuple[str, ...]:
    return tuple(name for name, _ in settings.windows.sizes)
