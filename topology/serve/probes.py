"""`/metrics`, `/livez` and `/readyz` of the worker."""

import time
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from topology.serve.probe_server import ProbeServer

# The main loop turns at least twice a second; one that has not turned for this long is stuck.
STUCK_AFTER_S = 60.0


class Probes(ProbeServer):
    """What a worker answers. Alive never depends on the broker: restarting all workers does not mend a broker."""

    remedy = "another worker may have it: give each its own port, or port 0 for any free one"

    def __init__(
        self, registry: CollectorRegistry, not_ready: Callable[[], str | None], warnings: Callable[[], list[str]]
    ) -> None:
        self._registry = registry
        self._not_ready = not_ready
        self._warnings = warnings
        self._turned = time.monotonic()
        super().__init__()

    def turned(self) -> None:
        """The main loop is going round."""
        self._turned = time.monotonic()

    async def _metrics(self, request: web.Request) -> web.Response:
        # OpenMetrics for a server that asks for it, else the text format that every one reads.
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _livez(self, request: web.Request) -> web.Response:
        still = time.monotonic() - self._turned
        if still > STUCK_AFTER_S:
            return web.Response(status=503, text=f"the main loop has not turned for {still:.0f} s\n")
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        reason = self._not_ready()
        if reason is not None:
            return web.Response(status=503, text=reason + "\n")
        # Said, but still ready: taking a worker away does not mend what senders send.
        return web.Response(text="".join(f"{line}\n" for line in ("ok", *self._warnings())))
