"""What a process and all its children cost, from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds (user and system) so far, and the sum of the peak resident sizes, MiB."""

    cpu_s: float
    peak_mib: float


def usage(root: int) -> Usage:
    """Of a process and its living descendants, and of the children they have waited for."""
    ticks, peak_kib = 0, 0
    for pid in _tree(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(map(int, fields[11:15]))
        peak_kib += next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)
    return Usage(ticks / _TICKS, peak_kib / 1024)


def _tree(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names are all that is wanted
        if entry.isdecimal():
            try:
                text = Path(f"/proc/{entry}/stat").read_text(encoding="utf-8")
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry)] = int(text.rpartition(")")[2].split()[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found
