"""The connection that a session's conversation runs over: TCP, or TLS inside it, opened and used without blocking."""

import asyncio
import os
import socket
import ssl

from edged.record.assignment import AssignedStream
from edged.record.errors import BadStream, Closed, Unreachable
from edged.record.net.tls import TlsSocket, Trust, check_pin

CONNECT_SECONDS = 5.0
RECEIVE_BUFFER = 1024 * 1024  # holds two seconds of 4 Mbit/s while the loop is busy elsewhere
_CHUNK = 64 * 1024

ControlSocket = socket.socket | TlsSocket


async def open_wire(
    family: int, address: tuple[str | int, ...], host: str | None, stream: AssignedStream, trust: Trust
) -> ControlSocket:
    """Connect to `address`, inside TLS where `host` says whose certificate to expect, checked as `stream` demands.

    Raises Unreachable, UntrustedCamera, BadStream.
    """
    sock: ControlSocket | None = None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            plain = sock = _new_socket(family)
            await asyncio.get_running_loop().sock_connect(plain, address)
            if host is not None:
                sock = await _secure(plain, host, stream, trust)
            return sock
    except BaseException as error:
        if sock is not None:
            sock.close()
        if isinstance(error, TimeoutError):
            raise Unreachable(f"the camera did not answer within {CONNECT_SECONDS:g} s") from None
        if isinstance(error, OSError):
            raise Unreachable(f"the camera cannot be connected to ({_kind(error)})") from None
        raise


def _kind(error: OSError) -> str:
    """What went wrong, by its number: asyncio's own words for it quote the camera's address (I9)."""
    if isinstance(error, ssl.SSLError) or not error.errno:
        return type(error).__name__
    return os.strerror(error.errno)


def names(sock: ControlSocket) -> tuple[str, tuple[int, str, int]]:
    """(the camera's address, this end's: family, address and IPv6 scope). Raises Closed."""
    try:
        peer, own = sock.getpeername(), sock.getsockname()
    except OSError as error:
        raise Closed(f"the connection broke at once ({error.strerror})") from None
    if len(own) == 4:
        return str(peer[0]), (socket.AF_INET6, str(own[0]).partition("%")[0], int(own[3]))
    return str(peer[0]), (socket.AF_INET, str(own[0]), 0)


async def send(sock: ControlSocket, data: bytes) -> None:
    """Send all of `data`. Raises OSError."""
    while data:
        try:
            data = data[sock.send(data) :]
        except BlockingIOError:
            await _writable(sock)


async def receive(sock: ControlSocket) -> bytes:
    """What has arrived next; empty at the end. Raises OSError.

    Others get their turn each time, however much has arrived: a flood must not keep the loop, and the time limits that
    the caller set, from running.
    """
    await _turn()
    while True:
        try:
            return sock.recv(_CHUNK)
        except BlockingIOError:
            await _readable(sock)


async def _turn() -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.call_soon(_wake, ready)
    await ready


async def _readable(sock: ControlSocket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    number = sock.fileno()
    loop.add_reader(number, _wake, ready)
    try:
        await ready
    finally:
        loop.remove_reader(number)


async def _writable(sock: ControlSocket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    number = sock.fileno()
    loop.add_writer(number, _wake, ready)
    try:
        await ready
    finally:
        loop.remove_writer(number)


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def _secure(plain: socket.socket, host: str, stream: AssignedStream, trust: Trust) -> TlsSocket:
    context = trust.context(stream.tls_ca, stream.tls_pin)
    try:
        sock = TlsSocket(plain, context, host)
    except ValueError:
        raise BadStream("the stream's host cannot stand in a certificate", hint="correct its URL") from None
    try:
        while True:
            try:
                sock.shake_hands()
                break
            except BlockingIOError:
                await _readable(sock)
        if stream.tls_pin:
            check_pin(sock.certificate(), stream.tls_pin)
    except BaseException:
        sock.close()
        raise
    return sock


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
