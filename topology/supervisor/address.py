"""How a worker tells its supervisor where its probes listen: a file that the environment names.

A worker that begins again (`topology.runtime.fail_stop`) listens on another port and says so anew.
"""

import os
from collections.abc import Sequence
from pathlib import Path

# Not a setting: one process tells another.
VARIABLE = "_PROBES_OF_MODPULSE"


def announce(addresses: Sequence[str]) -> None:
    """Tell the supervisor, if there is one, the first of these addresses."""
    name = os.environ.get(VARIABLE)
    if name and addresses:
        # Renamed into place: who reads it finds the whole address or none.
        made = Path(f"{name}.new")
        made.write_text(addresses[0], encoding="ascii")
        made.replace(name)


def announced(file: Path) -> str | None:
    """The address that stands in such a file; None as long as there is none."""
    try:
        return file.read_text(encoding="ascii")
    except OSError:
        return None
