"""Whether the compiled part is there, and what to do when it is not."""

from pipeline.native import LIBRARY, load_native
from schemas.errors import ConfigError
from topology.settings import Settings

REMEDY = "install Rust (cargo) and run `make env`"


def check_native(settings: Settings) -> bool:
    """Whether the worker of these settings uses the compiled part.

    Raises:
        ConfigError: it is required and was not built.
    """
    if settings.native == "off":
        return False
    built = load_native() is not None
    if settings.native == "require" and not built:
        raise ConfigError(f'native = "require", but {LIBRARY.name} was not built: {REMEDY}, or set native = "auto"')
    return built
