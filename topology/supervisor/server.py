"""`/metrics`, `/livez` and `/readyz` of a supervisor, on the address its workers would have had."""

import time
from collections.abc import Callable, Sequence

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from topology.serve.probe_server import ProbeServer
from topology.supervisor.child import Child, end_in_words
from topology.supervisor.metrics import SupervisorMetrics
from topology.supervisor.pages import merged_metrics, readiness
from topology.supervisor.scrape import Answer, Scraper

# A worker that has answered nothing for so long is stuck: it says so itself after a minute, if it can still say anything.
STUCK_AFTER_S = 60.0


class SupervisorServer(ProbeServer):
    """Speaks for all workers. It answers as long as the supervisor's loop turns, whatever the workers do."""

    def __init__(self, children: Sequence[Child], scraper: Scraper, stopping: Callable[[], bool]) -> None:
        self._children = children
        self._scraper = scraper
        self._stopping = stopping
        self._own = SupervisorMetrics(len(children))
        super().__init__()

    async def _metrics(self, request: web.Request) -> web.Response:
        answers = await self._scraper.ask(self._children, "/metrics")
        pages = {number: answer.text for number, answer in answers.items() if answer.good}
        text = self._own.page(self._children, set(pages)) + merged_metrics(pages)
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _readyz(self, request: web.Request) -> web.Response:
        answers = await self._scraper.ask(self._children, "/readyz")
        ready, text = readiness({child.number: _said(child, answers[child.number]) for child in self._children})
        if self._stopping():
            return web.Response(status=503, text="stopping\n" + text)
        return web.Response(status=200 if ready else 503, text=text)

    async def _livez(self, request: web.Request) -> web.Response:
        stuck = [(child.number, reason) for child in self._children if (reason := why_stuck(child)) is not None]
        if stuck:
            return web.Response(status=503, text="".join(f"worker {number}: {reason}\n" for number, reason in stuck))
        return web.Response(text="ok\n")


def why_stuck(child: Child) -> str | None:
    """Why a worker that runs is beyond hope, by what it said itself or by its silence; None as long as it is not."""
    if not child.running:
        return None
    if child.stuck is not None:
        return child.stuck
    silent_s = time.monotonic() - child.answered_at
    return f"its probes have not answered for {silent_s:.0f} s" if silent_s > STUCK_AFTER_S else None


def _said(child: Child, answer: Answer) -> tuple[bool, str]:
    """Whether a worker is ready, and what is to be said of it."""
    if answer.status is not None or child.running:
        return answer.good, answer.text
    if child.code is None:
        return False, "not started"
    end = end_in_words(child.code)
    how = f"ended by {end['signal']}" if "signal" in end else f"ended with exit code {end['exit_code']}"
    if child.due is None:
        return False, how
    return False, f"{how}; it is started again in {max(child.due - time.monotonic(), 0):.0f} s"
