"""The ONVIF port over onvif-zeep-async: which operation is asked, with which login, and what its reply says.

WSDL documents are parsed once per process and replies one after another on a worker thread, so that the event loop is
never held up for long. Media2 has no WSDL in the library; `media2.wsdl` beside this file has the two operations used.
Credentials are never guessed: at most the one login configured is tried, over HTTP (which sends none unless the camera
challenges with digest) and then as a UsernameToken; which of the two worked is remembered.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import onvif
from lxml import etree
from onvif.client import ZeepAsyncClient
from onvif.transport import AsyncSafeTransport
from zeep import Settings
from zeep.exceptions import Error as ZeepError
from zeep.wsdl import Document

from edged.base.clock import Clock
from edged.base.worker import Worker
from edged.discover import onvif_reply
from edged.discover.onvif_wire import Reply, Scheme, Wire, open_session
from edged.discover.port import (
    CameraRefusesLogin,
    CameraSpeaksOddly,
    CameraUnreachable,
    DeviceIdentity,
    Login,
    Profile,
)
from edged.discover.wsd import at_host, host_of

T = TypeVar("T")

DEVICE = "http://www.onvif.org/ver10/device/wsdl"
MEDIA = "http://www.onvif.org/ver10/media/wsdl"
MEDIA2 = "http://www.onvif.org/ver20/media/wsdl"
_LIBRARY = Path(onvif.__file__).parent / "wsdl"
_WSDLS = {
    DEVICE: (_LIBRARY / "devicemgmt.wsdl", f"{{{DEVICE}}}DeviceBinding"),
    MEDIA: (_LIBRARY / "media.wsdl", f"{{{MEDIA}}}MediaBinding"),
    MEDIA2: (Path(__file__).with_name("media2.wsdl"), f"{{{MEDIA2}}}Media2Binding"),
}
_SOAP_11 = b"http://schemas.xmlsoap.org/soap/envelope/"
_SOAP_12 = b"http://www.w3.org/2003/05/soap-envelope"
# What a camera's broken or hostile XML makes zeep and lxml raise.
_ODDITIES = (ZeepError, etree.LxmlError, LookupError, TypeError, ValueError, AttributeError, AssertionError)


class OnvifClients:
    """Makes one port per camera; holds what all share: the session, the parsed WSDLs, the parsing thread.

    An async context manager. `login_for` is asked at each `port` call for the login of a camera id, None for none.
    """

    def __init__(
        self, clock: Clock, login_for: Callable[[str], Login | None], *, tls: ssl.SSLContext | bool = True
    ) -> None:
        self._clock = clock
        self._login_for = login_for
        self._tls = tls
        self._documents: dict[str, Document] = {}
        self._loading = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._session = open_session(self._tls)
        self._worker = Worker("onvif")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()
        self._worker.shutdown(wait=False)

    def port(self, camera_id: str, xaddr: str) -> "OnvifClient":
        """A port to the device service at `xaddr`; `camera_id` names the camera in errors."""
        return OnvifClient(self, self._session, self._clock, camera_id, xaddr, self._login_for(camera_id))

    async def document(self, namespace: str) -> Document:
        """The parsed WSDL of one service."""
        async with self._loading:
            if namespace not in self._documents:
                self._documents[namespace] = await self._worker.run(_load, _WSDLS[namespace][0])
            return self._documents[namespace]

    async def apart(self, read: Callable[[], T]) -> T:
        """Run a reading of a reply on the parsing thread."""
        return await self._worker.run(read)


def _load(path: Path) -> Document:
    return Document(str(path), AsyncSafeTransport(), settings=_settings())


def _settings() -> Settings:
    """Lenient about what is missing, misplaced or badly closed; strict about document types and size."""
    return Settings(
        strict=False, raw_response=True, forbid_dtd=True, forbid_external=True, xsd_ignore_sequence_order=True
    )


class OnvifClient:
    """An `OnvifPort`. Not for concurrent use: one camera is asked one thing at a time."""

    def __init__(
        self,
        clients: OnvifClients,
        session: aiohttp.ClientSession,
        clock: Clock,
        camera_id: str,
        xaddr: str,
        login: Login | None,
    ) -> None:
        self._clients = clients
        self._clock = clock
        self._camera = camera_id
        self._xaddr = xaddr
        self._login = login
        self._wire = Wire(session, clock, camera_id, login)
        self._scheme: Scheme | None = None  # the one that worked with the login
        self._services: dict[str, str] | None = None
        self._media2_fails = False

    async def clock(self) -> int | None:
        before_us = self._clock.wall_us()
        asked = self._clock.monotonic_us()
        try:
            shown_us = await self._ask(DEVICE, "GetSystemDateAndTime", onvif_reply.utc_us, login=False)
        except CameraRefusesLogin:
            return None
        if shown_us is None:
            return None
        elapsed = self._clock.monotonic_us() - asked
        # Whole seconds are told: on average the camera's clock is half a second further.
        offset_us = shown_us + 500_000 - (before_us + elapsed // 2)
        self._wire.offset_us = offset_us
        return offset_us

    async def identity(self) -> DeviceIdentity:
        return await self._ask(DEVICE, "GetDeviceInformation", onvif_reply.identity)

    async def profiles(self) -> tuple[Profile, ...]:
        services = await self._get_services()
        if MEDIA2 in services:
            try:
                profiles = await self._ask(MEDIA2, "GetProfiles", onvif_reply.profiles2, Type=["VideoEncoder"])
                if any(profile.codec for profile in profiles):
                    return profiles
            except CameraSpeaksOddly:
                # Some list Media2 and answer 500 to it, while Media1 works.
                if MEDIA not in services:
                    raise
            self._media2_fails = True
        return await self._ask(MEDIA, "GetProfiles", onvif_reply.profiles1)

    async def stream_uri(self, profile: str) -> str:
        services = await self._get_services()
        if MEDIA2 in services and not self._media2_fails:
            # "RTSP" is RTP interleaved in the RTSP connection (Media2 5.3.2).
            try:
                uri = await self._ask(
                    MEDIA2, "GetStreamUri", onvif_reply.stream_uri2, Protocol="RTSP", ProfileToken=profile
                )
                return self._pinned_stream(uri)
            except CameraSpeaksOddly:
                if MEDIA not in services:
                    raise
        setup = {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}
        uri = await self._ask(MEDIA, "GetStreamUri", onvif_reply.stream_uri1, StreamSetup=setup, ProfileToken=profile)
        return self._pinned_stream(uri)

    async def _get_services(self) -> dict[str, str]:
        """Addresses by namespace, at the pinned host."""
        if self._services is None:
            try:
                told = await self._ask(DEVICE, "GetServices", onvif_reply.services, IncludeCapability=False)
            except CameraSpeaksOddly:
                told = await self._ask(DEVICE, "GetCapabilities", onvif_reply.capabilities, Category=["All"])
            self._services = {}
            for namespace, url in told:
                try:
                    self._services[namespace] = at_host(url, host_of(self._xaddr))
                except ValueError:
                    self._services[namespace] = self._xaddr
            if MEDIA not in self._services and MEDIA2 not in self._services:
                # Cheap devices serve everything at one address and list nothing.
                self._services[MEDIA] = self._xaddr
        return self._services

    def _pinned_stream(self, uri: str) -> str:
        """The stream at the host that answered, so that a camera cannot send the recorder to a third party."""
        try:
            # Some escape the ampersand once more than XML does.
            pinned = at_host(uri.replace("&amp;", "&"), host_of(self._xaddr))
        except ValueError as error:
            raise self._odd("GetStreamUri") from error
        if not pinned.startswith("rtsp://"):
            raise CameraSpeaksOddly(f"camera {self._camera}: its stream is not offered over rtsp")
        return pinned

    async def _ask(
        self, namespace: str, operation: str, read: Callable[[Any], T], *, login: bool = True, **params: Any
    ) -> T:
        """Call an operation, with the login where the camera wants it, and read the reply."""
        document = await self._clients.document(namespace)
        client = ZeepAsyncClient(wsdl=document, wsse=self._wire, transport=self._wire, settings=_settings())
        reply = await self._ladder(client, namespace, operation, login, params)
        if reply.status_code == 503:
            raise CameraUnreachable(f"camera {self._camera} is busy")
        binding: Any = document.bindings[_WSDLS[namespace][1]]

        def parse() -> T:
            if b"<!DOCTYPE" in reply.content[:4096]:
                raise ValueError("a document type")
            if f"{operation}Response".encode() not in reply.content:
                raise ValueError("neither the answer nor, leniently parsed, told from an empty one")
            # A SOAP 1.1 envelope around the answer to a SOAP 1.2 request is common, and read as if it were 1.2.
            content = reply.content.replace(_SOAP_11, _SOAP_12, 1)
            return read(binding.process_reply(client, binding.get(operation), replace(reply, content=content)))

        try:
            return await self._clients.apart(parse)
        except _ODDITIES as error:
            raise self._odd(operation) from error

    async def _ladder(
        self, client: ZeepAsyncClient, namespace: str, operation: str, login: bool, params: dict[str, Any]
    ) -> Reply:
        """Send until the camera takes it: without login, then with the scheme that worked, or each in turn."""
        steps: tuple[Scheme | None, ...] = (None,)
        if login and self._login is not None:
            steps = (self._scheme,) if self._scheme is not None else (Scheme.HTTP, Scheme.WSSE)
        for step in steps:
            self._wire.scheme = step
            reply = await self._send(client, namespace, operation, params)
            if not onvif_reply.refuses_login(reply.status_code, reply.content):
                if self._wire.login_sent:
                    self._scheme = step
                return reply
        if self._login is None or not login:
            raise CameraRefusesLogin(f"camera {self._camera} asks for a login to answer {operation}")
        raise CameraRefusesLogin(f"camera {self._camera} rejects the configured login")

    async def _send(self, client: ZeepAsyncClient, namespace: str, operation: str, params: dict[str, Any]) -> Reply:
        address = self._xaddr if namespace == DEVICE else (self._services or {}).get(namespace, self._xaddr)
        try:
            reply: Reply = await client.create_service(_WSDLS[namespace][1], address)[operation](**params)
            return reply
        except CameraUnreachable:
            # Behind a forwarded port a camera tells the port it knows, where nobody answers.
            fallback = onvif_reply.at_port_of(address, self._xaddr)
            if fallback == address or self._services is None:
                raise
            reply = await client.create_service(_WSDLS[namespace][1], fallback)[operation](**params)
            self._services[namespace] = fallback
            return reply

    def _odd(self, operation: str) -> CameraSpeaksOddly:
        return CameraSpeaksOddly(f"camera {self._camera} answers {operation} with something that is no answer to it")
