"""`/metrics`, `/livez` and `/readyz` of the worker."""

import time
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from schemas.errors import ConfigError

# The main loop turns at least twice a second; one that has not turned for this long is stuck.
STUCK_AFTER_S = 60.0


class Probes:
    """A small HTTP server. Alive never depends on the broker: restarting all workers does not mend a broker."""

    def __init__(
        self, registry: CollectorRegistry, not_ready: Callable[[], str | None], warnings: Callable[[], list[str]]
    ) -> None:
        self._registry = registry
        self._not_ready = not_ready
        self._warnings = warnings
        self._turned = time.monotonic()
        self._runner: web.AppRunner | None = None

    def turned(self) -> None:
        """The main loop is going round."""
        self._turned = time.monotonic()

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            ConfigError: the address cannot be bound.
        """
        app = web.Application()
        app.add_routes(
            [web.get("/metrics", self._metrics), web.get("/livez", self._livez), web.get("/readyz", self._readyz)]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(
                f"metrics.bind = {host}:{port} cannot be bound ({error.strerror}); another worker may have it: give each its"
                " own port, or port 0 for any free one"
            ) from error

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def addresses(self) -> list[str]:
        """Where it listens."""
        return [f"{host}:{port}" for host, port, *_ in (self._runner.addresses if self._runner else [])]

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

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
