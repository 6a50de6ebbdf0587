"""Opening and ending sessions with cameras that redirect, refuse, break off, or show a strange certificate."""

import asyncio
import itertools
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edged.model import StreamKind
from edged.record.assignment import AssignedStream
from edged.record.errors import BadStream, CameraRefused, Closed, StreamFailed, UntrustedCamera, WrongCredentials
from edged.record.net.connection import Caller, Connection
from edged.record.net.tls import Trust
from simulators.rtsp_message import Request
from tests.certificates import certificate, server_context
from tests.recorder_kit import until
from tests.rtsp_camera import Answer, Client, RtspCamera, reply, rtsp_camera


async def resolve(host: str, port: int) -> tuple[int, tuple[str | int, ...]]:
    return socket.AF_INET, (host, port)


def caller(url: str, **options: Any) -> Caller:
    fields: dict[str, Any] = {"username": "admin", "password": "secret", **options}
    stream = AssignedStream(camera="c1", stream=StreamKind.MAIN, url=url, volume="v1", **fields)
    return Caller(stream, resolve, Trust())


@asynccontextmanager
async def called(line: Caller) -> AsyncIterator[Connection]:
    connection = await line.call()
    try:
        yield connection
    finally:
        await line.hang_up(connection)


async def received(connection: Connection) -> bytes:
    """Some media, over whichever way it comes."""
    sock = connection.ports[0].rtp if connection.ports else connection.sock

    def read() -> bytes:
        try:
            return sock.recv(4096)
        except BlockingIOError:
            return b""

    return connection.early or await until(read)


# --- no slot is ever left taken -------------------------------------------------------------------------------------


def close(client: Client, request: Request) -> bytes:
    client.transport.close()
    return b""


def reset(client: Client, request: Request) -> bytes:
    client.transport.abort()
    return b""


def refuse(client: Client, request: Request) -> bytes:
    return reply(request, 500)


def nonsense(client: Client, request: Request) -> bytes:
    return b"\r\n\0\1\2\3 what is this\r\n\r\n"


def odd_channels(client: Client, request: Request) -> bytes:
    usual = client.usual(request)
    return usual.replace(b"interleaved=0-1", b"interleaved=7-7").replace(b"RTP/AVP;", b"RTP/AVP;multicast;")


FAULTS: dict[str, dict[str, Answer]] = {
    "PLAY refused": {"PLAY": refuse},
    "PLAY answered with nonsense": {"PLAY": nonsense},
    "closed at PLAY": {"PLAY": close},
    "reset at PLAY": {"PLAY": reset},
    "impossible transport": {"SETUP": odd_channels},
    "closed at TEARDOWN": {"TEARDOWN": close},
    "nothing wrong": {},
}


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_twenty_calls_with_faults_leave_no_slot_taken(transport: str) -> None:
    """The camera has one slot, which it gives free for TEARDOWN alone; its nonces last for a single request."""
    faults = list(itertools.islice(itertools.cycle(FAULTS.values()), 20))
    async with rtsp_camera(slots=1, password="secret") as camera:
        line = caller(camera.url(), transport=transport)
        outcomes = []
        for fault in faults:
            camera.answers = {name: answer for name, answer in fault.items() if name != "TEARDOWN"}
            try:
                async with called(line) as connection:
                    camera.answers = {name: answer for name, answer in fault.items() if name == "TEARDOWN"}
                    outcomes.append(bool(await received(connection)))
            except (CameraRefused, BadStream, Closed):
                outcomes.append(False)
        camera.answers = {}
        async with called(line) as connection:
            assert await received(connection)
        assert camera.sessions == {}
        assert camera.refused == 0, "no call met a slot that an earlier one had left taken"
        assert outcomes.count(True) == sum("PLAY" not in fault and "SETUP" not in fault for fault in faults)


async def test_a_call_that_is_cancelled_says_goodbye() -> None:
    def silent(client: Client, request: Request) -> bytes:
        return b""

    async with rtsp_camera(slots=1, answers={"PLAY": silent}) as camera:
        task = asyncio.ensure_future(caller(camera.url()).call())
        await until(lambda: "PLAY" in camera.asked)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert camera.asked[-1] == "TEARDOWN"
        assert camera.sessions == {}


async def test_files_and_ports_are_given_back() -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    async with rtsp_camera(slots=1) as camera:
        before = open_files()
        for transport, fault in itertools.product(("tcp", "udp"), FAULTS.values()):
            line = caller(camera.url(), transport=transport)
            camera.answers = {name: answer for name, answer in fault.items() if name != "TEARDOWN"}
            try:
                async with called(line):
                    pass
            except StreamFailed:
                camera.answers = {}
                async with called(line):
                    pass
        # The camera's own ends follow once it has seen the connections end.
        await until(lambda: open_files() <= before)


# --- logins ----------------------------------------------------------------------------------------------------------


async def test_a_login_that_is_not_answered_is_the_owners_business() -> None:
    def only_auth_int(client: Client, request: Request) -> bytes:
        told = 'Digest realm="r", nonce="n", qop="auth-int"'
        return reply(request, 401, f"WWW-Authenticate: {told}", 'WWW-Authenticate: Basic realm="r"')

    async with rtsp_camera(answers={"DESCRIBE": only_auth_int}) as camera:
        with pytest.raises(WrongCredentials, match="kind that edged does not answer"):
            await caller(camera.url()).call()
        assert not any("authorization" in request.headers for request in camera.requests)


# --- redirects -------------------------------------------------------------------------------------------------------


def to(url: str, status: int = 302) -> Any:
    def answer(client: Client, request: Request) -> bytes:
        return reply(request, status, f"Location: {url}")

    return {"DESCRIBE": answer}


@pytest.mark.parametrize("status", [301, 302, 305])
async def test_a_redirect_on_the_same_host_is_followed(status: int) -> None:
    async with rtsp_camera() as there, rtsp_camera(host=there.host) as here:
        here.answers = to(there.url("other"), status)
        async with called(caller(here.url())) as connection:
            assert await received(connection)
        wanted = here.url() if status == 305 else there.url("other")
        assert there.requests[0].uri == wanted
        assert len(there.asked) > len(here.asked)


async def test_a_redirect_to_another_host_needs_the_owners_word() -> None:
    async with rtsp_camera() as there, rtsp_camera() as here:
        here.answers = to(there.url())
        with pytest.raises(BadStream, match="another host") as refusal:
            await caller(here.url()).call()
        assert there.host not in str(refusal.value), "I9: no address in messages"
        assert there.asked == []
        async with called(caller(here.url(), redirect_hosts=(there.host,))) as connection:
            assert await received(connection)


async def test_redirects_come_to_an_end() -> None:
    async with rtsp_camera() as camera:
        camera.answers = to(camera.url("round"))
        with pytest.raises(BadStream, match="more than 3 times"):
            await caller(camera.url()).call()
        assert camera.asked.count("DESCRIBE") == 4


# --- TLS -------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def tls_camera(folder: Path, host: str, named: str | None = None) -> AsyncIterator[tuple[RtspCamera, Path, str]]:
    """(camera, its certificate, its fingerprint); the certificate names `named`, by default the camera's address."""
    file, key, fingerprint = certificate(folder, "camera", named or host)
    async with rtsp_camera(tls=server_context(file, key), host=host) as camera:
        yield camera, file, fingerprint


async def test_a_camera_over_tls_is_believed_by_its_authority_or_its_pin(tmp_path: Path) -> None:
    async with tls_camera(tmp_path, "127.90.0.1") as (camera, file, pin):
        with_colons = ":".join(pin[at : at + 2] for at in range(0, 64, 2)).upper()
        for trust in ({"tls_ca": str(file)}, {"tls_pin": pin}, {"tls_pin": with_colons, "tls_ca": str(file)}):
            async with called(caller(camera.url(), **trust)) as connection:
                assert (await received(connection))[:1] == b"$"
        assert camera.sessions == {}


async def test_a_camera_that_nothing_vouches_for_is_told_nothing(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other, _, other_pin = certificate(tmp_path / "other", "other", "127.90.0.2")
    async with tls_camera(tmp_path, "127.90.0.2") as (camera, file, pin):
        wrong: list[dict[str, str]] = [
            {},
            {"tls_ca": str(other)},
            {"tls_pin": other_pin},
            {"tls_pin": other_pin, "tls_ca": str(file)},
            {"tls_pin": pin, "tls_ca": str(other)},
            {"tls_pin": "00:11"},
            {"tls_ca": str(tmp_path / "absent.pem")},
        ]
        for trust in wrong:
            with pytest.raises(UntrustedCamera) as refusal:
                await caller(camera.url(), **trust).call()
            assert camera.host not in str(refusal.value), "I9: no address in messages"
        assert camera.asked == []


async def test_a_certificate_for_another_address_is_refused_unless_pinned(tmp_path: Path) -> None:
    async with tls_camera(tmp_path, "127.90.0.3", named="127.90.0.4") as (camera, file, pin):
        with pytest.raises(UntrustedCamera):
            await caller(camera.url(), tls_ca=str(file)).call()
        async with called(caller(camera.url(), tls_pin=pin)) as connection:
            assert await received(connection)


async def test_nobody_is_sent_out_of_tls_and_media_stays_inside(tmp_path: Path) -> None:
    async with tls_camera(tmp_path, "127.90.0.5") as (camera, _, pin), rtsp_camera(host=camera.host) as plain:
        camera.answers = to(plain.url())
        with pytest.raises(BadStream, match="out of TLS"):
            await caller(camera.url(), tls_pin=pin).call()
        assert plain.asked == []
        with pytest.raises(BadStream, match="unprotected"):
            await caller(camera.url(), tls_pin=pin, transport="udp").call()
