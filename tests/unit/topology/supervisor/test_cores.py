"""`--workers auto`: as many as the scheduler and the quotas of the cgroups allow."""

import os
from pathlib import Path

import pytest

from topology.supervisor.cores import usable_cores


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def cores(directory: Path, membership: str, files: dict[str, str]) -> int:
    root = directory / "cgroup"
    root.mkdir()
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    member = directory / "membership"
    member.write_text(membership)
    return usable_cores(member, root)


V2 = "0::/pods/mine\n"
V1 = "4:memory:/pods/mine\n3:cpu,cpuacct:/pods/mine\n1:name=systemd:/x\n"


@pytest.mark.parametrize(
    ("membership", "files", "wanted"),
    [
        ("", {}, 8),
        (V2, {"pods/mine/cpu.max": "max 100000\n"}, 8),
        (V2, {"pods/mine/cpu.max": "250000 100000\n"}, 2),
        (V2, {"pods/mine/cpu.max": "max 100000\n", "pods/cpu.max": "300000 100000\n"}, 3),
        (V2, {"pods/mine/cpu.max": "50000 100000\n"}, 1),
        (V2, {"pods/mine/cpu.max": "6400000 100000\n"}, 8),
        # Within a container the path is the host's: only the mount itself is there.
        (V2, {"cpu.max": "400000 100000\n"}, 4),
        (V2, {"pods/mine/cpu.max": "nonsense\n"}, 8),
        (V1, {"cpu/pods/mine/cpu.cfs_quota_us": "-1\n", "cpu/pods/mine/cpu.cfs_period_us": "100000\n"}, 8),
        (V1, {"cpu/pods/mine/cpu.cfs_quota_us": "200000\n", "cpu/pods/mine/cpu.cfs_period_us": "100000\n"}, 2),
        (V1, {"cpu,cpuacct/cpu.cfs_quota_us": "500000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, 5),
    ],
)
def test_a_quota_bounds_the_cores(tmp_path: Path, membership: str, files: dict[str, str], wanted: int) -> None:
    assert cores(tmp_path, membership, files) == wanted


def test_cores_a_process_may_not_run_on_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 5}, raising=False)
    assert cores(tmp_path, V2, {"cpu.max": "400000 100000\n"}) == 2
