"""A small file system of our own that can be filled up: a tmpfs in a mount namespace that ends with us.

Root makes the namespace as it is, others need user namespaces (`unshare --user --map-root-user`), which some containers and
distributions forbid. A process holds the namespace; whoever may look at that process reaches the file system by its path under
/proc, the broker too, so nothing else runs inside and nothing is left mounted.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
_POINT = "/mnt"
_HOLD = f'mount -t tmpfs -o "size=$1m,mode=0700" tmpfs {_POINT} && echo ready && exec cat'


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A directory with little room."""

    directory: Path

    @property
    def free_bytes(self) -> int:
        """How much room there is."""
        found = os.statvfs(self.directory)
        return found.f_bavail * found.f_frsize

    @property
    def _ballast(self) -> Path:
        return self.directory / "ballast"

    def fill(self, leave_bytes: int) -> None:
        """Take all room but so much."""
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, self.free_bytes - leave_bytes)

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink()


@contextmanager
def small_disk(mib: int) -> Iterator[SmallDisk]:
    """One of this size for as long as the context lasts.

    Raises:
        RuntimeError: it cannot be made here.
    """
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *own, "--mount", "sh", "-c", _HOLD, "sh", str(mib)]
    if shutil.which("unshare") is None:
        raise RuntimeError("no small file system can be made here: there is no `unshare`")
    # It ends when its standard input does: at the latest with this process, whatever ends that.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        said = holder.stdout.readline().strip()
        try:
            if said != b"ready":
                raise RuntimeError(
                    f"no small file system can be made here, root or user namespaces are needed: {said!r}"
                )
            yield SmallDisk(Path(f"/proc/{holder.pid}/root{_POINT}"))
        finally:
            holder.stdin.close()
