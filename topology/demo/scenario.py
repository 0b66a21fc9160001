"""What the demo is made of, as data: the worker's configuration, the generator's flags, the two incidents."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import ConfigError
from topology.settings import Settings, load_settings
from topology.settings.sections import TOPIC_FIELDS

RULES_FILE = Path(__file__).with_name("rules.toml")
# Both incidents must span whole 5 s windows and end before the traffic does.
LEAST_SECONDS = 30
_SCALE_WITHOUT_END = 60.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """How much traffic for how long; `seconds` of None means until stopped."""

    seconds: int | None
    rate: float
    modules: int
    seed: int

    def __post_init__(self) -> None:
        if self.seconds is not None and self.seconds < LEAST_SECONDS:
            raise ConfigError(
                f"--seconds {self.seconds} leaves no time for two alerts to fire and to resolve; make it at least"
                f" {LEAST_SECONDS}"
            )
        if self.rate < self.modules or self.rate < 100:
            raise ConfigError(
                f"--rate {self.rate:g} is too little traffic to alert on; make it at least 100 and 1 a module"
            )

    def generator_arguments(self) -> list[str]:
        """The flags of `modpulse generate`: a fifth of the time things fail, later a fifth of the time some are slow."""
        whole = float(self.seconds or _SCALE_WITHOUT_END)
        lasting = max(8.0, 0.2 * whole)
        return [
            *(
                "generate",
                "--json",
                "--rate",
                f"{self.rate:g}",
                "--modules",
                str(self.modules),
                "--seed",
                str(self.seed),
            ),
            *(() if self.seconds is None else ("--seconds", str(self.seconds))),
            *("--error-burst", f"{0.15 * whole:g},{lasting:g},0.2,0.6"),
            *("--latency-shift", f"{0.5 * whole:g},{lasting:g},30,0.2"),
            *("--disorder", "500ms", "--duplicates", "0.005", "--bad-ratio", "0.001"),
        ]


def demo_settings(directory: Path, bootstrap_servers: str, metrics_bind: str, prefix: str) -> Settings:
    """Write the demo's configuration file into a directory and load it. `prefix` goes before every topic's name.

    Raises:
        ConfigError: the connection settings in the environment are wrong.
    """
    lines = [
        f'application_id = "{prefix}modpulse-demo"',
        "[windows]",
        *('sizes = "5s,15s,1m"', 'grace = "2s"', 'corrections = "20s"', 'idle_timeout = "2s"', 'emit_interval = "2s"'),
        "[alerts]",
        f"rules_file = '{RULES_FILE}'",
        "[metrics]",
        f'bind = "{metrics_bind}"',
        "[kafka]",
        f'"bootstrap.servers" = "{bootstrap_servers}"',
        "[topics]",
        *(f'{field} = "{prefix}{default}"' for field, default in _topic_names().items()),
    ]
    config_file(directory).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_settings(config_file(directory), environ=demo_environ())


def config_file(directory: Path) -> Path:
    """Where the configuration of a demo stands."""
    return directory / "modpulse.toml"


def demo_environ() -> Mapping[str, str]:
    """The environment without our settings, except how to reach a broker that was given."""
    return {k: v for k, v in os.environ.items() if not k.startswith("MODPULSE_") or k.startswith("MODPULSE_KAFKA__")}


def _topic_names() -> dict[str, str]:
    defaults = Settings().topics
    return {field: getattr(defaults, field) for field in TOPIC_FIELDS}
