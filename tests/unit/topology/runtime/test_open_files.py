"""The limit of open files is raised as far as it goes, and named when it is reached."""

import errno
import logging
import resource
import time
from collections.abc import Iterator

import pytest
from aiokafka.errors import KafkaConnectionError

from schemas.errors import BrokerUnavailable, ModpulseError
from topology.kafka.client import as_modpulse_error
from topology.runtime import open_files
from topology.runtime.exit_codes import exit_code
from topology.settings import Settings

UNREACHABLE = KafkaConnectionError("Unable to bootstrap from [('127.0.0.1', 9092, 2)]")


@pytest.fixture(autouse=True)
def _nothing_noted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    fresh, client = open_files._Refusals(), logging.getLogger("aiokafka")
    own = open_files._refusals
    monkeypatch.setattr(open_files, "_refusals", fresh)
    client.removeFilter(own)  # what a test logs must not be noted for the tests after it
    client.addFilter(fresh)
    yield
    client.removeFilter(fresh)
    client.addFilter(own)


def refused(number: int) -> OSError:
    return OSError(number, "no more files")


def said(error: BaseException) -> str:
    found = as_modpulse_error(error, Settings())
    assert found is not None
    return str(found)


def test_a_process_without_a_file_left_says_so_and_how_many_it_may_have() -> None:
    text = said(refused(errno.EMFILE))
    assert f"may have {resource.getrlimit(resource.RLIMIT_NOFILE)[0]} files open" in text
    assert "LimitNOFILE" in text
    found = as_modpulse_error(refused(errno.EMFILE), Settings())
    assert isinstance(found, ModpulseError)
    assert not isinstance(found, BrokerUnavailable), "beginning again would not help"
    assert exit_code(found) == 1


def test_a_machine_without_a_file_left_is_waited_for() -> None:
    found = as_modpulse_error(refused(errno.ENFILE), Settings())
    assert isinstance(found, BrokerUnavailable)
    assert "fs.file-max" in str(found)


def test_a_broker_that_cannot_be_reached_for_want_of_a_file_is_not_called_absent() -> None:
    """aiokafka logs the cause and raises another error."""
    logging.getLogger("aiokafka").error('Unable connect to "%s:%s": %s', "127.0.0.1", 9092, refused(errno.EMFILE))
    assert "files open" in said(UNREACHABLE)
    assert "no broker at" not in said(UNREACHABLE)


def test_a_file_that_was_refused_long_ago_explains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logging.getLogger("aiokafka").error('Unable connect to "%s:%s": %s', "127.0.0.1", 9092, refused(errno.EMFILE))
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert "no broker at" in said(UNREACHABLE)


def test_other_errors_of_a_connection_mean_what_they_meant() -> None:
    logging.getLogger("aiokafka").error('Unable connect to "%s:%s": %s', "127.0.0.1", 9092, refused(errno.ECONNREFUSED))
    assert "no broker at" in said(UNREACHABLE)
    assert "no broker at" in said(ConnectionRefusedError(errno.ECONNREFUSED, "refused"))


def test_the_soft_limit_is_raised_to_the_hard_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4_096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    assert open_files.raise_open_files_limit() == 4_096
    assert asked == [(4_096, 4_096)]


def test_a_system_that_does_not_let_us_raise_it_keeps_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int, limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert open_files.raise_open_files_limit() == 256


def test_a_client_that_is_refused_again_and_again_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def refuse() -> ModpulseError | None:
        logging.getLogger("aiokafka").error("Unable connect to node with id %s: %s", 1, refused(errno.EMFILE))
        return open_files.lasting_shortage()

    assert refuse() is None, "a start may need more files than the work after it"
    for _ in range(15):
        now += 1
        assert refuse() is None
    now += 1
    assert "files open" in str(refuse())
    now += 6
    assert open_files.lasting_shortage() is None, "it got its files"
    assert refuse() is None
