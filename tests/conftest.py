"""What every test may ask for: one real broker for the whole run."""

import contextlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from pipeline.native import Native, load_native
from schemas.errors import ModpulseError
from tests.support.broker.names import delete_topics_of_tests, topics_of_tests
from tests.support.profiles import SAME
from topology.devbroker import Broker, dev_broker

# `make fuzz` asks for the other one, which is loaded after this.
settings.load_profile(SAME)


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """A real Kafka broker, shared by the run: use topic, group and application names of your own.

    Without one the tests that need it fail with the provider's message; they are never skipped. On a given broker everything that
    the tests made is deleted at the end.
    """
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(dev_broker())
        except ModpulseError as problem:
            raise pytest.fail.Exception(str(problem), pytrace=False) from None
        before = topics_of_tests(found.bootstrap_servers)
        yield found
        if found.provider == "address":
            delete_topics_of_tests(found.bootstrap_servers, before)


@pytest.fixture(autouse=True)
def level_of_client_log() -> Iterator[None]:
    """A command that silences the client library does so for its process; here the next test is in the same one."""
    client = logging.getLogger("aiokafka")
    level = client.level
    yield
    client.setLevel(level)


CARGO = shutil.which("cargo") or (Path.home() / ".cargo/bin/cargo").exists()


@pytest.fixture(scope="module", params=["native", "python"])
def both_ways(request: pytest.FixtureRequest) -> Iterator[None]:
    """Once with the compiled part (where it was built) and once without: the Python path stays complete."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "python":
            patch.setattr("pipeline.ingest.plain.load_native", lambda: None)
        yield


@pytest.fixture(scope="module")
def native() -> Native:
    """The compiled part."""
    found = load_native()
    if found is None:
        if CARGO:
            pytest.fail("cargo is here, but the compiled part was not built: run `make env`", pytrace=False)
        pytest.skip("no Rust on this machine: nothing to compare")
    return found
