"""The camera's ONVIF endpoint over HTTP: aiohttp around `simulators.onvif`, with both kinds of authentication."""

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from simulators.auth import DigestGate, TokenGate, Verdict
from simulators.onvif import PATHS, PRE_AUTH, Facts, answer
from simulators.rtsp import arm_reset
from simulators.soap import SoapFault, fault_reply, find_username_token, parse, split_tag

AUTH_KINDS = ("wsse", "digest", "both")
_CONTENT_TYPE = "application/soap+xml"
_LARGEST_REQUEST = 256 * 1024


@dataclass(slots=True)
class OnvifEndpoint:
    """Answers SOAP requests for one camera. `kind` is one of AUTH_KINDS; either is accepted where it is `both`."""

    digest: DigestGate
    tokens: TokenGate
    kind: str
    facts: Callable[[], Facts]
    now_us: Callable[[], int]
    refusing: bool = False
    _runner: web.AppRunner | None = None

    async def start(self, sock: socket.socket) -> None:
        """Serve on this listening socket."""
        app = web.Application(client_max_size=_LARGEST_REQUEST)
        for namespace, path in PATHS.items():
            app.router.add_post(path, self._handler(namespace))
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.SockSite(self._runner, sock).start()

    async def stop(self) -> None:
        """Stop listening and reset what is connected."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        for connection in runner.server.connections if runner.server is not None else ():
            if connection.transport is not None:
                arm_reset(connection.transport)
                connection.transport.abort()
        await runner.cleanup()

    def _handler(self, service: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            try:
                return await self._answer(service, request)
            except SoapFault as fault:
                return web.Response(
                    status=fault.status, body=fault_reply(fault), content_type=_CONTENT_TYPE, charset="utf-8"
                )

        return handle

    async def _answer(self, service: str, request: web.Request) -> web.Response:
        if self.refusing:
            raise SoapFault("Receiver", ("Action", "DeviceBusy"), "the camera is busy; try again later", 503)
        envelope = parse(await request.read())
        if envelope.body is None:
            raise SoapFault("Sender", ("WellFormed",), "the body is empty")
        if split_tag(envelope.body)[1] not in PRE_AUTH:
            token = find_username_token(envelope)
            header = request.headers.get("Authorization")
            verdict = Verdict.MISSING
            if self.kind != "digest" and token is not None:
                verdict = self.tokens.check(token, self.facts().camera_now_us)
                if verdict is not Verdict.OK:
                    raise SoapFault("Sender", ("NotAuthorized",), "sender not authorized")
            elif self.kind != "wsse":
                verdict = self.digest.check(header, request.method, request.path_qs, self.now_us())
            else:
                verdict = self.tokens.check(None, self.facts().camera_now_us)
            if verdict is not Verdict.OK:
                return self._refusal(stale=verdict is Verdict.STALE)
        return web.Response(
            body=answer(service, envelope.body, self.facts()), content_type=_CONTENT_TYPE, charset="utf-8"
        )

    def _refusal(self, *, stale: bool) -> web.Response:
        """No or wrong credentials: a challenge where digest is spoken, else the fault alone (ONVIF Core 5.9.1)."""
        fault = SoapFault("Sender", ("NotAuthorized",), "sender not authorized")
        if self.kind == "wsse":
            raise fault
        return web.Response(
            status=401,
            body=fault_reply(fault),
            content_type=_CONTENT_TYPE,
            charset="utf-8",
            headers={"WWW-Authenticate": self.digest.challenge(self.now_us(), stale=stale)},
        )
