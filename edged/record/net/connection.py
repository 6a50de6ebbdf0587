"""From a stream's URL to a playing session, and out of it again: connect, converse, hang up. Non-blocking throughout.

Cameras have few session slots, often one or two, and keep a session that nobody ended for a minute or more. So once a
SETUP was answered, TEARDOWN is sent whatever happens; and where no answer to it came, because the network was gone,
it is sent again over the next connection.

A camera may redirect its viewers (RFC 2326, 11.3) at most three times, to a port or path of the host that was
configured or of a host that the owner listed, and never out of TLS: who can answer a request must not be able to send
the recorder, with its credentials, anywhere else.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from edged.record.assignment import AssignedStream
from edged.record.errors import BadStream, Closed, Stalled, Unreachable
from edged.record.net.replies import Replies, find_reply
from edged.record.net.rtsp import Conversation, LeftSession, Playing, Redirected, RtspClient
from edged.record.net.tls import Trust
from edged.record.net.udp import PortPair
from edged.record.net.wire import CONNECT_SECONDS, ControlSocket, names, open_wire, receive, send

REPLY_SECONDS = 5.0
OPENING_SECONDS = 20.0  # for the whole conversation, however many replies keep it going
GOODBYE_SECONDS = 1.0
REDIRECTIONS = 3
MESSAGE_LIMIT = 60  # of one conversation, or goodbye; a straight one takes four, with logins and odd requests a dozen
LEFT_TRIES = 3  # how often an unconfirmed TEARDOWN is sent again
_PORTS = {"rtsp": 554, "rtsps": 322}

Resolve = Callable[[str, int], Awaitable[tuple[int, tuple[str | int, ...]]]]  # host, port -> (family, address)


@dataclass(slots=True)
class Connection:
    """A session that plays. To be ended with `Caller.hang_up`, or closed where it was torn down already."""

    sock: ControlSocket
    client: RtspClient
    playing: Playing
    early: bytes  # what came behind the last reply, or between replies
    ports: tuple[PortPair, ...]  # one a track where the media comes over UDP, else none
    peer: str  # the camera's address

    def close(self) -> None:
        """Give sockets and ports back."""
        _close(self.sock, self.ports)


@dataclass(frozen=True, slots=True)
class _Target:
    """Where to connect to, and what to ask for there."""

    url: str
    host: str
    port: int
    tls: bool


class Caller:
    """One stream's way to its camera, connection after connection."""

    def __init__(self, stream: AssignedStream, resolve: Resolve, trust: Trust) -> None:
        self._stream = stream
        self._resolve = resolve
        self._trust = trust
        self._left: LeftSession | None = None
        self._left_tries = 0

    async def call(self) -> Connection:
        """Open a session. Raises a StreamFailed that names the cause."""
        target = _target(self._stream.url)
        if target.tls and self._stream.transport != "tcp":
            raise BadStream(
                "media over UDP would leave the TLS connection unprotected", hint="set the stream's transport to tcp"
            )
        for _ in range(REDIRECTIONS + 1):
            try:
                return await self._call(target)
            except Redirected as elsewhere:
                target = await self._follow(target, elsewhere)
        raise BadStream(f"the camera sends its viewers on more than {REDIRECTIONS} times", hint="correct its URL")

    async def hang_up(self, connection: Connection, seconds: float = GOODBYE_SECONDS) -> None:
        """Send TEARDOWN, give the camera a moment to answer it, and close."""
        await self._leave(connection.sock, connection.client, connection.ports, seconds)

    async def _call(self, target: _Target) -> Connection:
        stream = self._stream
        client = RtspClient(
            target.url, stream.username, stream.password, lambda: secrets.token_hex(8), audio=stream.audio
        )
        ports: list[PortPair] = []
        family, address = await self._find(target.host, target.port)
        sock = await open_wire(family, address, target.host if target.tls else None, self._stream, self._trust)
        try:
            peer, own = names(sock)

            def new_ports() -> tuple[int, int]:
                ports.append(PortPair(own[0], own[1], scope=own[2]))
                return ports[-1].ports

            left, self._left = self._left, None
            conversation = client.open(new_ports if self._stream.transport == "udp" else None, left)
            try:
                playing, early = await _converse(sock, client, conversation)
            except BaseException as error:
                # A camera that ends the connection over a session it forgot is not asked again.
                if left is not None and not isinstance(error, Closed) and self._left_tries < LEFT_TRIES:
                    self._left, self._left_tries = left, self._left_tries + 1
                raise
            self._left_tries = 0
            return Connection(sock, client, playing, early, tuple(ports), peer)
        except BaseException:
            # PLAY refused, a second track refused, a reply that makes no sense: the camera holds a slot all the same.
            await self._leave(sock, client, tuple(ports), GOODBYE_SECONDS)
            raise

    async def _follow(self, target: _Target, elsewhere: Redirected) -> _Target:
        """Where the camera sends its viewers. Raises BadStream where they may not go there."""
        there = _target(elsewhere.location)
        if target.tls and not there.tls:
            raise BadStream("the camera sends its viewers out of TLS", hint="set the URL it should be recorded from")
        allowed = {target.host.lower(), *(host.lower() for host in self._stream.redirect_hosts)}
        if there.host.lower() not in allowed:
            # A camera that is configured by name may well call itself by its address.
            addresses = [(await self._find(host, 0))[1][0] for host in (target.host, there.host)]
            if addresses[0] != addresses[1]:
                raise BadStream(
                    "the camera sends its viewers to another host", hint="list that host in redirect_hosts if it may"
                )
        url = target.url if elsewhere.proxy else there.url
        return _Target(url, there.host, there.port, there.tls)

    async def _find(self, host: str, port: int) -> tuple[int, tuple[str | int, ...]]:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await self._resolve(host, port)
        except TimeoutError:
            raise Unreachable(f"the camera's name was not resolved within {CONNECT_SECONDS:g} s") from None

    async def _leave(
        self, sock: ControlSocket, client: RtspClient, ports: tuple[PortPair, ...], seconds: float
    ) -> None:
        session = client.left()
        try:
            if session is not None and not await _say_goodbye(sock, client, seconds):
                self._left = session
        finally:
            _close(sock, ports)


async def say_teardown(connection: Connection) -> None:
    """Send TEARDOWN and go on listening: `RtspClient.on_message` raises Closed at its answer. Raises OSError."""
    await send(connection.sock, connection.client.teardown())


async def _say_goodbye(sock: ControlSocket, client: RtspClient, seconds: float) -> bool:
    """Whether the camera answered that the session has ended. The end of the connection alone says nothing."""
    received = bytearray()
    heard = 0
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(seconds):
            await send(sock, client.teardown())
            while heard < MESSAGE_LIMIT and (chunk := await receive(sock)):
                received += chunk
                while heard < MESSAGE_LIMIT and (message := find_reply(received)) is not None:
                    heard += 1
                    try:
                        await send(sock, client.on_message(message))  # more only where the nonce had grown old
                    except Closed:
                        return True
    return False


async def _converse(sock: ControlSocket, client: RtspClient, conversation: Conversation) -> tuple[Playing, bytes]:
    replies = Replies()
    request = next(conversation)
    try:
        async with asyncio.timeout(OPENING_SECONDS):
            for _ in range(MESSAGE_LIMIT):
                try:
                    async with asyncio.timeout(REPLY_SECONDS):
                        if request:
                            await send(sock, request)
                        while (message := replies.take()) is None:
                            received = await receive(sock)
                            if not received:
                                raise Closed("the camera ended the connection before it played")
                            replies.feed(received)
                except TimeoutError:
                    raise Stalled(f"the camera did not reply within {REPLY_SECONDS:g} s") from None
                except OSError as error:
                    raise Closed(f"the connection broke before it played ({error.strerror})") from None
                try:
                    request = conversation.send(message)
                except StopIteration as end:
                    return end.value, replies.rest()
    except TimeoutError:
        raise Stalled(f"the camera did not come to play within {OPENING_SECONDS:g} s") from None
    raise BadStream(f"the camera says more than {MESSAGE_LIMIT} things before it plays")


def _close(sock: ControlSocket, ports: tuple[PortPair, ...]) -> None:
    sock.close()
    for pair in ports:
        pair.close()


def _target(url: str) -> _Target:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme.lower() not in _PORTS:
        raise BadStream("the stream's URL is no rtsp:// or rtsps:// URL", hint="correct it in the configuration")
    return _Target(url, host, port or _PORTS[parts.scheme.lower()], parts.scheme.lower() == "rtsps")
