"""From a stream's URL to a playing session: connect, converse, hand over the socket. Non-blocking throughout."""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from edged.record.assignment import AssignedStream
from edged.record.errors import BadStream, Closed, Stalled, Unreachable
from edged.record.rtsp import Playing, RtspClient
from edged.record.rtsp_message import BODY_LIMIT, HEAD_LIMIT, Message, parse_message

CONNECT_SECONDS = 5.0
REPLY_SECONDS = 5.0
RECEIVE_BUFFER = 1024 * 1024  # holds two seconds of 4 Mbit/s while the loop is busy elsewhere
EARLY_LIMIT = 4 * 1024 * 1024  # frames sent before the reply to PLAY
_PORT = 554
_CHUNK = 64 * 1024

Resolve = Callable[[str, int], Awaitable[tuple[int, tuple[str | int, ...]]]]  # host, port -> (family, address)


@dataclass(slots=True)
class Connection:
    """A session that plays. The socket is the caller's to close."""

    sock: socket.socket
    client: RtspClient
    playing: Playing
    early: bytes  # what came behind the last reply, or between replies


async def connect(stream: AssignedStream, resolve: Resolve) -> Connection:
    """Open `stream`'s session. Raises a StreamFailed that names the cause."""
    loop = asyncio.get_running_loop()
    host, port = _host(stream.url)
    client = RtspClient(stream.url, stream.username, stream.password, lambda: secrets.token_hex(8))
    sock: socket.socket | None = None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            family, address = await resolve(host, port)
            sock = _new_socket(family)
            await loop.sock_connect(sock, address)
        playing, early = await _converse(sock, client)
        return Connection(sock, client, playing, early)
    except BaseException as error:
        if sock is not None:
            sock.close()
        # What the system calls the failure may quote the address: name its kind alone.
        if isinstance(error, TimeoutError):
            raise Unreachable(f"the camera did not answer within {CONNECT_SECONDS:g} s") from None
        if isinstance(error, OSError):
            raise Unreachable(f"the camera cannot be connected to ({error.strerror or type(error).__name__})") from None
        raise


async def say_teardown(connection: Connection) -> None:
    """Send TEARDOWN and go on listening: `RtspClient.on_message` raises Closed at its answer. Raises OSError."""
    await asyncio.get_running_loop().sock_sendall(connection.sock, connection.client.teardown())


async def say_goodbye(connection: Connection, seconds: float = 1.0) -> None:
    """Send TEARDOWN, give the camera a moment to read it, and close."""
    loop = asyncio.get_running_loop()
    sock = connection.sock
    try:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(seconds):
                await loop.sock_sendall(sock, connection.client.teardown())
                sock.shutdown(socket.SHUT_WR)
                # Closing with unread bytes resets the connection, and a reset overtakes what was just sent.
                while await loop.sock_recv(sock, _CHUNK):
                    pass
    finally:
        sock.close()


def _host(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme.lower() != "rtsp":
        raise BadStream("the stream's URL is not an rtsp:// URL", hint="correct it in the configuration")
    return host, port or _PORT


def _new_socket(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    sock.setblocking(False)
    try:
        # 33 is SO_RCVBUFFORCE: past net.core.rmem_max, where the process may.
        sock.setsockopt(socket.SOL_SOCKET, 33, RECEIVE_BUFFER)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


async def _converse(sock: socket.socket, client: RtspClient) -> tuple[Playing, bytes]:
    loop = asyncio.get_running_loop()
    reader = _Replies()
    conversation = client.open()
    send = next(conversation)
    while True:
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                if send:
                    await loop.sock_sendall(sock, send)
                while (message := reader.take()) is None:
                    received = await loop.sock_recv(sock, _CHUNK)
                    if not received:
                        raise Closed("the camera ended the connection before it played")
                    reader.feed(received)
        except TimeoutError:
            raise Stalled(f"the camera did not reply within {REPLY_SECONDS:g} s") from None
        except OSError as error:
            raise Closed(f"the connection broke before it played ({error.strerror})") from None
        try:
            send = conversation.send(message)
        except StopIteration as end:
            return end.value, reader.rest()


class _Replies:
    """Messages out of the received bytes; interleaved frames that come early are put aside, in order."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._early = bytearray()

    def feed(self, received: bytes) -> None:
        self._bytes += received
        if len(self._bytes) + len(self._early) > EARLY_LIMIT + HEAD_LIMIT + BODY_LIMIT:
            raise BadStream("the camera sends without replying")

    def take(self) -> Message | None:
        data = self._bytes
        while data[:1] == b"$":
            stop = 4 + int.from_bytes(data[2:4], "big")
            if len(data) < max(stop, 4):
                return None
            self._early += data[:stop]
            del data[:stop]
        if not data:
            return None
        parsed = parse_message(data, 0, len(data))
        if parsed is None:
            return None
        message, stop = parsed
        del data[:stop]
        return message

    def rest(self) -> bytes:
        return bytes(self._early + self._bytes)
