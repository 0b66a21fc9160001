"""All threads allocate from one heap, where the C library can."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from topology.runtime.heap import share_one_heap

SCRIPT = """
import ctypes, sys, threading
from topology.runtime.heap import share_one_heap

if sys.argv[2] == "shared":
    print(share_one_heap())
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
both = threading.Barrier(4)
threads = [threading.Thread(target=lambda: (both.wait(), libc.malloc(100_000), both.wait())) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.parametrize("how", ["shared", "own"])
def test_threads_share_a_heap(how: str, tmp_path: Path) -> None:
    report = tmp_path / "heaps.xml"
    if platform.libc_ver()[0] != "glibc":
        assert not share_one_heap()
        return
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(report), how], capture_output=True, text=True, check=True)
    heaps = report.read_text(encoding="utf-8").count("<heap nr=")
    assert (heaps == 1, done.stdout.strip()) == ((True, "True") if how == "shared" else (False, ""))
