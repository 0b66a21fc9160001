"""The HTTP server of `/metrics`, `/livez` and `/readyz`; a worker and a supervisor each say what they answer."""

from abc import ABC, abstractmethod

from aiohttp import web

from schemas.errors import ConfigError


class ProbeServer(ABC):
    """Listens where it is told.

    Attributes:
        remedy: what to do where the address cannot be bound.
    """

    remedy = "choose another port, or port 0 for any free one"

    def __init__(self) -> None:
        self._runner: web.AppRunner | None = None

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
                f"metrics.bind = {host}:{port} cannot be bound ({error.strerror}); {self.remedy}"
            ) from error

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def addresses(self) -> list[str]:
        """Where it listens."""
        return [f"{host}:{port}" for host, port, *_ in (self._runner.addresses if self._runner else [])]

    @abstractmethod
    async def _metrics(self, request: web.Request) -> web.Response:
        """The page for Prometheus."""

    @abstractmethod
    async def _livez(self, request: web.Request) -> web.Response:
        """503 where only a new process would help."""

    @abstractmethod
    async def _readyz(self, request: web.Request) -> web.Response:
        """503 while no work is done."""
