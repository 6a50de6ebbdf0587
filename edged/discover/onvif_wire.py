"""Carries SOAP between zeep and one camera: the transport seam of onvif-zeep-async, with what a camera network needs.

Added here: HTTP digest (aiohttp's middleware, one per camera), WS-Security signed with the camera's own clock, TLS
verification, a limit on replies, short time limits, no redirects (they would lead off the pinned host), no proxies and
no cookies. The library's ONVIFService and ONVIFCamera are not used: each builds sessions of its own with TLS
verification off and 90 s limits, parses on the event loop, and ONVIFCamera removes the proxy variables of the whole
process. Its client, WSDL documents and message building are.
"""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
from zeep.wsdl.utils import etree_to_string
from zeep.wsse.username import UsernameToken

from edged.base.clock import Clock
from edged.discover.port import CameraSpeaksOddly, CameraUnreachable, Login

LARGEST_REPLY = 1 << 20  # bytes; the largest honest reply seen, 64 profiles, is a quarter of it
CONNECT_SECONDS, TOTAL_SECONDS = 5.0, 10.0
_PER_CAMERA = 2  # connections; some cameras serve no more
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Scheme(StrEnum):
    """How a camera takes its login: over HTTP (none needed, or digest), or as a WS-Security UsernameToken."""

    HTTP = "http"
    WSSE = "wsse"


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP reply, with the attribute names zeep reads from it."""

    status_code: int
    headers: CIMultiDictProxy[str]
    content: bytes
    encoding: str | None


def open_session(tls: ssl.SSLContext | bool) -> aiohttp.ClientSession:
    """The one session all cameras share. `tls` as aiohttp takes it: True verifies, a context says how, False does not.

    The caller closes it.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=64, limit_per_host=_PER_CAMERA, ssl=tls),
        timeout=aiohttp.ClientTimeout(total=TOTAL_SECONDS, sock_connect=CONNECT_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},  # no decompression: a small reply stays small
        trust_env=False,
    )


class Wire:
    """One camera's transport and signer, as zeep's client takes them."""

    def __init__(self, session: aiohttp.ClientSession, clock: Clock, camera_id: str, login: Login | None) -> None:
        self._session = session
        self._clock = clock
        self._camera = camera_id
        self._login = login
        self._digest = aiohttp.DigestAuthMiddleware(login.username, login.password) if login is not None else None
        self.scheme: Scheme | None = None  # of the request being made; None sends no login at all
        self.offset_us = 0  # of the camera's clock; UsernameTokens are dated with it
        self.login_sent = False  # whether the last request carried a login

    async def post_xml(self, address: str, envelope: Any, headers: dict[str, str]) -> Reply:
        """Post and read the whole reply, whatever its status. Raises CameraUnreachable, CameraSpeaksOddly."""
        message: bytes = etree_to_string(envelope)  # type: ignore[no-untyped-call]
        try:
            try:
                return await self._post(address, message, headers)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientConnectionResetError):
                # The camera may close a kept-alive connection at any time (RFC 9112 section 9.5).
                return await self._post(address, message, headers)
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise CameraSpeaksOddly(
                f"camera {self._camera}: its TLS certificate is not trusted",
                hint="give it a certificate this box trusts, or let it serve ONVIF over http",
            ) from error
        except TimeoutError as error:
            raise CameraUnreachable(f"camera {self._camera} did not answer within {TOTAL_SECONDS:g} s") from error
        except (aiohttp.ClientConnectionError, OSError) as error:
            raise CameraUnreachable(f"camera {self._camera}: no connection") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise CameraSpeaksOddly(f"camera {self._camera} does not speak HTTP ({type(error).__name__})") from error

    async def _post(self, address: str, message: bytes, headers: dict[str, str]) -> Reply:
        self.login_sent = self.scheme is Scheme.WSSE
        middlewares: tuple[aiohttp.ClientMiddlewareType, ...] = ()
        if self._digest is not None and self.scheme is Scheme.HTTP:
            middlewares = (self._digest, self._notice_login)
        async with self._session.post(
            address, data=message, headers=headers, allow_redirects=False, middlewares=middlewares
        ) as response:
            content = bytearray()
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > LARGEST_REPLY:
                    response.close()
                    raise CameraSpeaksOddly(f"camera {self._camera} sent a reply of more than {LARGEST_REPLY} bytes")
            return Reply(response.status, response.headers, bytes(content), response.charset)

    async def _notice_login(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        self.login_sent = "Authorization" in request.headers
        return await handler(request)

    def apply(self, envelope: Any, headers: dict[str, str]) -> tuple[Any, dict[str, str]]:
        """Sign a request where the scheme is WSSE (zeep's signer interface; WS-Security UsernameToken profile 1.0)."""
        if self.scheme is Scheme.WSSE and self._login is not None:
            created = _EPOCH + timedelta(microseconds=self._clock.wall_us() + self.offset_us)
            token: Any = UsernameToken(  # type: ignore[no-untyped-call]
                self._login.username,
                self._login.password,
                use_digest=True,
                created=created,
                zulu_timestamp=True,  # some firmware takes no +00:00
            )
            token.apply(envelope, headers)
        return envelope, headers

    def verify(self, envelope: Any) -> None:
        """Replies are not signed (zeep's signer interface)."""

    def load(self, url: str) -> bytes:
        """Refuse: a reply must not make this box fetch anything (zeep's transport interface)."""
        raise CameraSpeaksOddly(f"camera {self._camera} sent a reply that refers to another document")
