"""How many cores this process may use: what the scheduler allows, and no more than the CPU quota of its cgroups."""

import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cores(membership: Path = _MEMBERSHIP, root: Path = _ROOT) -> int:
    """Whole cores, at least 1.

    A container that may use 2 of 64 cores sees all 64 otherwise; its limit is a quota of CPU time, of its own cgroup or of one
    above it. A part of a core counts as none.

    Args:
        membership: the file that names the cgroups of this process.
        root: where cgroups are mounted.
    """
    cores = float(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else float(os.cpu_count() or 1)
    return max(int(min([cores, *_quotas(membership, root)])), 1)


def _quotas(membership: Path, root: Path) -> Iterator[float]:
    """The quota of every cgroup this process is in, in cores; both versions of cgroups."""
    for line in _text(membership).splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            for directory in _upwards(root, path):
                quota, _, period = _text(directory / "cpu.max").strip().partition(" ")
                yield from _share(quota, period)
        elif "cpu" in controllers.split(","):
            for mount in (root / "cpu", root / controllers):
                for directory in _upwards(mount, path):
                    yield from _share(
                        _text(directory / "cpu.cfs_quota_us").strip(), _text(directory / "cpu.cfs_period_us").strip()
                    )


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """A cgroup's directory and those above it. Within a container the path may be the host's; only the mount is there then."""
    directory = mount / path.lstrip("/")
    while directory != mount:
        yield directory
        directory = directory.parent
    yield mount


def _share(quota: str, period: str) -> Iterator[float]:
    """`max` and -1 are no quota."""
    if quota.isdecimal() and period.isdecimal() and int(period):
        yield int(quota) / int(period)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
