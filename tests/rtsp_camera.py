"""A camera whose every answer and packet a test decides, and which never forgives a session left open.

Beside it the simulators' fleet is a camera as it should be. Here a session ends with TEARDOWN and with nothing else:
a client that leaves one behind finds the camera's slots taken.
"""

import asyncio
import itertools
import os
import random
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from simulators.auth import Account, DigestGate, Verdict
from simulators.clip import Clip, make_clip
from simulators.film import ClipSpec
from simulators.packets import Mark, render
from simulators.rtsp_message import Parser, Request

TYPE = 96
_numbers = itertools.count(1)

Plan = Callable[[int, list[bytes]], Sequence[tuple[float, bytes]]]  # frame, its packets -> (seconds of delay, packet)
Answer = Callable[["Client", Request], bytes | None]  # None: as usual


def as_they_are(frame: int, packets: list[bytes]) -> list[tuple[float, bytes]]:
    return [(0.0, packet) for packet in packets]


@dataclass(slots=True)
class Play:
    """What one session asked for, and was sent."""

    name: str
    client_ports: tuple[int, int] | None
    sent: int = 0
    task: "asyncio.Task[None] | None" = None


@dataclass(slots=True)
class RtspCamera:
    """`answers` take precedence over the usual ones, by method; `plan` decides what becomes of a frame's packets."""

    clip: Clip
    slots: int = 100
    answers: dict[str, Answer] = field(default_factory=dict)
    plan: Plan = as_they_are
    password: str | None = None  # asked for by digest, with a nonce of its own for every single request
    host: str = ""
    port: int = 0
    asked: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    sessions: dict[str, Play] = field(default_factory=dict)
    refused: int = 0
    reports: list[bytes] = field(default_factory=list)
    fps: int = 25
    scheme: str = "rtsp"
    gate: DigestGate | None = None
    tasks: "list[asyncio.Task[None]]" = field(default_factory=list)

    def __post_init__(self) -> None:
        self.renew_gate()

    def renew_gate(self) -> None:
        """Forget every nonce."""
        if self.password is not None:
            draw = random.Random(len(self.asked))
            self.gate = DigestGate(Account("admin", self.password), "camera", draw)

    def end_sending(self) -> list["asyncio.Task[None]"]:
        tasks = [task for task in self.tasks if not task.done()]
        for task in tasks:
            task.cancel()
        return tasks

    def url(self, path: str = "main") -> str:
        return f"{self.scheme}://{self.host}:{self.port}/{path}"

    def frames(self, first: int, sequence: int, source: int) -> "itertools.chain[Any] | Any":
        """Every frame's packets, for ever."""
        for counter in itertools.count(first):
            template = self.clip.frames[counter % len(self.clip.frames)]
            ticks = counter * 3600 & 0xFFFF_FFFF
            data = bytes(
                render(template, Mark(counter, 0, 1), sequence=sequence, timestamp=ticks, ssrc=source, channel=0)
            )
            bounds = [*template.starts, len(data)]
            yield [data[start + 4 : stop] for start, stop in itertools.pairwise(bounds)]
            sequence = (sequence + len(template.starts)) & 0xFFFF


class Client(asyncio.Protocol):
    """One connection to the camera."""

    def __init__(self, camera: RtspCamera) -> None:
        self.camera = camera
        self.transport: Any = None
        self._parser = Parser()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        for play in self.camera.sessions.values():
            if play.client_ports is None and play.task is not None:
                play.task.cancel()  # nothing can be sent any more; the slot stays taken

    def data_received(self, data: bytes) -> None:
        for request in self._parser.feed(data):
            self.camera.asked.append(request.method)
            self.camera.requests.append(request)
            special = self.camera.answers.get(request.method)
            answer = special(self, request) if special is not None else None
            self.transport.write(self.usual(request) if answer is None else answer)

    def usual(self, request: Request) -> bytes:
        camera = self.camera
        if camera.gate is not None and request.method != "OPTIONS":
            now_us = round(asyncio.get_running_loop().time() * 1e6)
            verdict = camera.gate.check(request.headers.get("authorization"), request.method, request.uri, now_us)
            if verdict is not Verdict.OK:
                told = camera.gate.challenge(now_us, stale=verdict is Verdict.STALE)
                return reply(request, 401, f"WWW-Authenticate: {told}")
            camera.renew_gate()
        name = request.headers.get("session", "")
        if request.method == "OPTIONS":
            return reply(request, 200, "Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN")
        if request.method == "DESCRIBE":
            sdp = f"v=0\r\nm=video 0 RTP/AVP {TYPE}\r\na=rtpmap:{TYPE} H264/90000\r\na=control:t1\r\n"
            return reply(request, 200, f"Content-Length: {len(sdp)}") + sdp.encode()
        if request.method == "SETUP":
            return self._set_up(request)
        if name not in camera.sessions:
            return reply(request, 454)
        if request.method == "PLAY":
            play = camera.sessions[name]
            play.task = asyncio.get_running_loop().create_task(self._send(play))
            camera.tasks.append(play.task)
        if request.method == "TEARDOWN":
            play = camera.sessions.pop(name)
            if play.task is not None:
                play.task.cancel()
        return reply(request, 200, f"Session: {name}")

    def _set_up(self, request: Request) -> bytes:
        camera = self.camera
        if len(camera.sessions) >= camera.slots:
            camera.refused += 1
            return reply(request, 453)
        offer = request.headers["transport"]
        ports = None
        if "client_port=" in offer:
            first, second = offer.partition("client_port=")[2].split(";")[0].split("-")
            ports = int(first), int(second)
        name = f"s{len(camera.asked)}"
        camera.sessions[name] = Play(name, ports)
        return reply(request, 200, f"Session: {name};timeout=60", f"Transport: {offer}")

    async def _send(self, play: Play) -> None:
        """Frames at their rate from a keyframe on; what the plan delays goes out later, in its own time."""
        loop = asyncio.get_running_loop()
        udp: asyncio.DatagramTransport | None = None
        peer = self.transport.get_extra_info("peername")[0]
        if play.client_ports is not None:
            camera = self.camera

            class Ear(asyncio.DatagramProtocol):
                def datagram_received(self, data: bytes, addr: Any) -> None:
                    camera.reports.append(data)

            udp, _ = await loop.create_datagram_endpoint(Ear, local_addr=(camera.host, 0))

        def out(packet: bytes) -> None:
            if udp is not None and play.client_ports is not None:
                if not udp.is_closing():
                    udp.sendto(packet, (peer, play.client_ports[0]))
            elif not self.transport.is_closing():
                self.transport.write(struct.pack(">BBH", 0x24, 0, len(packet)) + packet)
            play.sent += 1

        try:
            began = loop.time()
            for number, packets in enumerate(self.camera.frames(0, 65_000, 7)):
                for delay, packet in self.camera.plan(number, packets):
                    if delay:
                        loop.call_later(delay, out, packet)
                    else:
                        out(packet)
                await asyncio.sleep(max(0.0, began + (number + 1) / self.camera.fps - loop.time()))
        finally:
            if udp is not None:
                udp.close()


def reply(request: Request, status: int, *headers: str) -> bytes:
    lines = [f"RTSP/1.0 {status} As asked", f"CSeq: {request.headers['cseq']}", *headers, "", ""]
    return "\r\n".join(lines).encode()


@asynccontextmanager
async def rtsp_camera(tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[RtspCamera]:
    """A camera on an address of its own. With `tls` its URL is an rtsps:// one."""
    clip = await asyncio.to_thread(make_clip, ClipSpec(width=320, height=180, gop=25, bitrate=300_000))
    camera = RtspCamera(clip, **options)
    camera.host = camera.host or f"127.{20 + os.getpid() % 200}.{1 + next(_numbers) % 250}.1"
    camera.scheme = "rtsps" if tls is not None else "rtsp"
    clients: list[Client] = []

    def arrived() -> Client:
        clients.append(Client(camera))
        return clients[-1]

    server = await asyncio.get_running_loop().create_server(arrived, camera.host, 0, ssl=tls)
    camera.port = server.sockets[0].getsockname()[1]
    try:
        yield camera
    finally:
        server.close()
        await asyncio.gather(*camera.end_sending(), return_exceptions=True)
        for client in clients:
            if client.transport is not None:
                client.transport.abort()
        await server.wait_closed()
