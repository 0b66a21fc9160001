"""The configuration: one frozen `Settings`, built once from flags, environment, file and defaults; the rule file.

May touch: files and the environment, at the start.
In: text. Out: checked values with their origins, or every error at once.

`units` parses values, `kafka`, `health` and `sections` hold the settings with the reason of each default, `model` puts
them together and maps them to what the core is told, `layers` and `load` read the sources, `show` prints them.
"""

from topology.settings.load import load_settings
from topology.settings.model import Origin, Settings
from topology.settings.names import environment_names, setting_names
from topology.settings.units import split_host_port

__all__ = ["Origin", "Settings", "environment_names", "load_settings", "setting_names", "split_host_port"]
