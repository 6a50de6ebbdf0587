"""The HTTP API on a Unix socket, which the CLI uses, and the page that Prometheus scrapes.

Whoever may open the socket may ask: its file mode is the authorisation. Footage never leaves here (I8).
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from edged.base.errors import Fatal
from edged.base.files import replace_file
from edged.base.worker import Worker
from edged.discover.found import Found
from edged.report import (
    api_cameras,
    api_explain,
    api_holds,
    api_law,
    api_ledger,
    api_outages,
    api_plan,
    api_retention,
    api_scrub,
)
from edged.report.metrics import CONTENT_TYPE, Metrics
from edged.report.requests import answer_refusals
from edged.report.rooms import Rooms


class CannotListen(Fatal):
    """An address of the API or of the metrics cannot be had."""

    code = "API-900"


class Api:
    """An async context manager: inside it, both addresses answer."""

    def __init__(self, rooms: Rooms, look_around: Callable[[], Awaitable[list[Found]]] | None) -> None:
        """`look_around` does one round of discovery at once; None where discovery is switched off."""
        self._rooms = rooms
        self._look_around = look_around
        self._runners: list[web.AppRunner] = []
        self._metrics = Metrics(rooms.snapshot)
        self._painter = Worker("metrics")

    async def __aenter__(self) -> Self:
        api = self._rooms.config.api
        path = api.socket or self._rooms.config.recorder.runtime_dir / "api.sock"
        try:
            await self._serve_socket(path)
            if self._rooms.config.metrics is not None:
                await self._serve_metrics(self._rooms.config.metrics.host, self._rooms.config.metrics.port)
        except OSError as error:
            await self.__aexit__()
            raise CannotListen(f"cannot listen ({error.strerror or error})", hint="see [api] and [metrics]") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        for runner in self._runners:
            await runner.cleanup()
        self._painter.shutdown(wait=False)

    async def _serve_socket(self, path: Path) -> None:
        app = web.Application(middlewares=[answer_refusals])
        rooms = self._rooms
        api_cameras.add_routes(app, rooms, self._look_around)
        api_outages.add_routes(app, rooms)
        api_holds.add_routes(app, rooms)
        api_retention.add_routes(app, rooms)
        api_ledger.add_routes(app, rooms)
        api_explain.add_routes(app, rooms)
        api_law.add_routes(app, rooms)
        api_plan.add_routes(app, rooms)
        api_scrub.add_routes(app, rooms)
        runner = await self._runner(app)
        # The state folder's lock says that no other controller runs, so what lies there is a leftover.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        # Bound with the mask of nobody, so that there is no instant at which others may connect.
        mask = os.umask(0o117)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        await web.SockSite(runner, listener).start()

    async def _serve_metrics(self, host: str, port: int) -> None:
        app = web.Application()
        app.router.add_get("/metrics", self._page)
        runner = await self._runner(app)
        await web.TCPSite(runner, host, port).start()
        used = runner.addresses[0][1]
        await asyncio.to_thread(
            replace_file, self._rooms.config.recorder.runtime_dir / "metrics.port", f"{used}\n".encode()
        )

    async def _runner(self, app: web.Application) -> web.AppRunner:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
        await runner.setup()
        self._runners.append(runner)
        return runner

    async def _page(self, _: web.Request) -> web.Response:
        page: Any = await self._painter.run(self._metrics.render)
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE})
