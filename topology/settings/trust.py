"""Whether a configuration file that nobody named may be believed: the `modpulse.toml` of the directory one happens to be in.

Somebody who can put a file there can send a password from the environment to a server of their own (docs/adr/0032).
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from topology.settings.model import Origin

# What would be given away ...
_CREDENTIALS = (
    "kafka.sasl_password",
    "kafka.sasl_password_file",
    "kafka.ssl_key_location",
    "kafka.ssl_key_password",
    "kafka.ssl_key_password_file",
)
# ... and what decides to whom, and how well guarded on the way.
_DESTINATIONS = (
    "kafka.bootstrap_servers",
    "kafka.security_protocol",
    "kafka.sasl_mechanism",
    "kafka.ssl_ca_location",
)


def distrust_of(path: Path, opened: int) -> str | None:
    """Why another user may have written a file, in words; None where only this user or root can have.

    Args:
        path: its name, which may be a link.
        opened: a descriptor of the file that is read.
    """
    trusted = (os.geteuid(), 0)
    for found in (os.lstat(path), os.fstat(opened)):
        if found.st_uid not in trusted:
            return f"it belongs to user {found.st_uid}"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others than its owner may write it (mode {stat.S_IMODE(found.st_mode):04o})"
    return None


def betrayed(origins: Mapping[str, Origin]) -> tuple[list[str], list[str]]:
    """The credentials that are not from the file, and the settings from the file that say where they would go.

    Args:
        origins: by dotted name, the layer each given setting was taken from.
    """
    secrets = [name for name in _CREDENTIALS if origins.get(name, "file") != "file"]
    return secrets, [name for name in _DESTINATIONS if origins.get(name) == "file"] if secrets else []
