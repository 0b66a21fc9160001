"""One worker of a supervisor: a place that is filled again, with a process that knows where to leave its address."""

import asyncio
import io
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from topology.supervisor.address import VARIABLE
from topology.supervisor.child import Child, end_in_words

pytestmark = pytest.mark.usefixtures("said")


def go(command: list[str], directory: Path, starts: int = 1) -> Child:
    """A worker after so many starts and ends."""

    async def scenario() -> Child:
        with tempfile.TemporaryFile() as log:
            child = Child(3, command, directory, {"GIVEN": "x"}, log)
            assert (child.running, child.restarts, child.address) == (False, 0, None)
            for _ in range(starts):
                await child.start()
                await child.ended()
        return child

    return asyncio.run(scenario())


def test_what_was_accepted_for_one_start_is_not_passed_on_to_the_next(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    note = f"import sys; open({str(seen)!r}, 'a').write(' '.join(sys.argv[1:]) + chr(10))"
    command = [sys.executable, "-c", note, "run", "--accept-state-loss", "3", "--strict"]

    async def scenario() -> None:
        with (tmp_path / "log").open("wb") as log:
            child = Child(0, command, tmp_path, {}, log)
            for _ in range(2):
                await child.start()
                assert await child.ended() == 0

    asyncio.run(scenario())
    assert seen.read_text("utf-8").splitlines() == ["run --accept-state-loss 3 --strict", "run --strict"]


def test_a_process_has_the_environment_that_was_given_and_a_file_of_its_own_for_its_address(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    note = f"import os; open({str(seen)!r}, 'w').write(repr((os.environ['GIVEN'], os.environ[{VARIABLE!r}])))"
    go([sys.executable, "-I", "-S", "-c", note], tmp_path)
    assert seen.read_text("utf-8") == repr(("x", str(tmp_path / "worker-3.address")))


def test_an_address_counts_as_long_as_its_process_runs_and_not_for_the_next(tmp_path: Path) -> None:
    file = tmp_path / "worker-3.address"

    async def scenario() -> None:
        with tempfile.TemporaryFile() as log:
            child = Child(3, ["sleep", "600"], tmp_path, {}, log)
            file.write_text("127.0.0.1:1", encoding="ascii")
            await child.start()
            seen = [child.address]  # not what the one before it said
            file.write_text("127.0.0.1:2", encoding="ascii")
            seen.append(child.address)
            child.ask_to_end()
            assert await child.ended() == -signal.SIGTERM
            assert [*seen, child.address] == [None, "127.0.0.1:2", None]
            assert child.asked_to_end

    asyncio.run(scenario())


def test_a_program_that_is_not_there_counts_as_a_start(tmp_path: Path) -> None:
    child = Child(0, [str(tmp_path / "absent")], tmp_path, {}, io.BytesIO())
    for starts in (1, 2):
        with pytest.raises(FileNotFoundError):
            asyncio.run(child.start())
        assert (child.starts, child.restarts, child.running) == (starts, starts - 1, False)
    child.ask_to_end()
    assert not child.asked_to_end


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, {"exit_code": 0}),
        (2, {"exit_code": 2}),
        (-signal.SIGSEGV, {"signal": "SIGSEGV"}),
        (-63, {"signal": "signal 63"}),
    ],
)
def test_an_end_is_said_by_its_exit_code_or_the_name_of_its_signal(code: int, words: dict[str, object]) -> None:
    assert end_in_words(code) == words


def test_a_kill_that_was_not_ours_comes_with_a_hint() -> None:
    assert "memory is short" in str(end_in_words(-signal.SIGKILL)["hint"])
    assert end_in_words(-signal.SIGKILL, killed_here=True) == {"signal": "SIGKILL"}
