"""A child of the demo: its words are kept, its end is judged, and its story is told with the end of its log."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from topology.demo.processes import Child, DemoFailed

Start = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a command in the test's directory; gone at its end."""
    children: list[Child] = []

    def begin(*arguments: str) -> Child:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MODPULSE_")}
        children.append(Child("part", arguments, tmp_path, environ))
        return children[-1]

    yield begin
    for child in children:
        child.kill()


@pytest.fixture
def endless(start: Start, tmp_path: Path) -> Child:
    """A command that waits for somebody to write."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    return start("schema", "validate", "module-log-events", str(pipe))


def test_an_answer_and_a_log_go_to_files_of_their_own(start: Start, tmp_path: Path) -> None:
    child = start("schema", "show", "module-log-events")
    asyncio.run(child.ended(20))
    assert child.out_file.read_bytes().startswith(b"{")
    assert child.log_file.read_bytes() == b""
    assert {file.name for file in tmp_path.iterdir()} == {"part.log", "part.out"}
    with pytest.raises(DemoFailed, match="the part ended with exit code 0"):
        child.expect_running()
    child.log_file.write_bytes(b"".join(b"line %d \xff\n" % number for number in range(100)))
    _, *lines = child.story("did this").splitlines()
    assert lines == [f"line {number} \ufffd" for number in range(85, 100)], "only the end, whatever it holds"


def test_an_end_with_another_code_is_told_with_the_end_of_the_log(start: Start) -> None:
    child = start("--set", "a=1", "config", "show")
    with pytest.raises(DemoFailed) as failed:
        asyncio.run(child.ended(20))
    first, *log = str(failed.value).splitlines()
    assert first == f"the part ended with exit code 2; the end of its log {child.log_file}:"
    assert log[0].startswith("modpulse: a is no setting")
    asyncio.run(child.ended(20, also=2))


def test_one_that_does_not_end_is_told_and_ends_when_it_is_asked_to(endless: Child) -> None:
    endless.expect_running()
    with pytest.raises(DemoFailed, match=r"the part did not end within 0\.01 s"):
        asyncio.run(endless.ended(0.01))
    endless.terminate()
    asyncio.run(endless.ended(20, also=-signal.SIGTERM))
    assert not endless.running
    endless.terminate()
    endless.kill()
