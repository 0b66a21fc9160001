"""Asks the probes of all workers at once, each for no longer than a short while."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp

from topology.supervisor.child import Child

# Shorter than the 5 s of the image's health check and the 10 s of Prometheus, long enough for a worker in a long computation.
DEADLINE_S = 2.5
_MOST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What a probe of a worker said; without a status none did, and the text says why."""

    status: int | None
    text: str

    @property
    def good(self) -> bool:
        """Whether it said yes."""
        return self.status == HTTPStatus.OK


_NO_ADDRESS = Answer(None, "starting")
_SILENT = Answer(None, "its probes do not answer")


class Scraper:
    """A client for the probes of workers. Use it as a context."""

    def __init__(self, deadline_s: float) -> None:
        self._timeout = aiohttp.ClientTimeout(total=deadline_s)
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Make the client; needs a running loop."""
        # A new connection for each question: a worker that begins again drops those it had.
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)

    async def stop(self) -> None:
        """Close the client."""
        if self._session is not None:
            await self._session.close()

    async def ask(self, children: Iterable[Child], path: str) -> dict[int, Answer]:
        """The answer of each worker by its number."""
        asked = list(children)
        answers = await asyncio.gather(*(self._ask(child, path) for child in asked))
        return {child.number: answer for child, answer in zip(asked, answers, strict=True)}

    async def _ask(self, child: Child, path: str) -> Answer:
        assert self._session is not None
        if (address := child.address) is None:
            return _NO_ADDRESS
        try:
            async with self._session.get(f"http://{address}{path}", allow_redirects=False) as response:
                body = await response.content.read(_MOST_BYTES)
                while len(body) < _MOST_BYTES and (more := await response.content.read(_MOST_BYTES - len(body))):
                    body += more
                return Answer(response.status, body.decode("utf-8", "replace"))
        except (aiohttp.ClientError, TimeoutError, OSError):
            return _SILENT
