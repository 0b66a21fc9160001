"""Become another program that is killed when the process that started it dies.

Run as `python parent_death.py <parent pid> <program> <arguments...>`: a demo ended by SIGKILL leaves no broker behind.
Linux only; elsewhere the program simply starts. It does not guard against anything the program itself starts.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel for SIGKILL at the parent's death, then replace this process by the program."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - an argument list, as everywhere here


if __name__ == "__main__":
    main()
