"""A small RTSP server that answers with the recorded replies of real cameras, word for word, then shows a film.

Only what must fit the client is changed in a reply: CSeq, and the length of a body in which addresses were replaced
after recording. Whatever else is in it, addresses of foreign networks included, the recorder gets to read.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from simulators.clip import Clip
from simulators.packets import Mark, render, sender_report
from simulators.rtsp_message import Parser, Request

CAPTURES = Path(__file__).resolve().parents[2] / "shared" / "captures" / "rtsp"
CLOCK = 90_000
_REPORT_EVERY = 50  # frames
_START_US = 1_790_000_000_000_000  # when frame 0 of every film was captured, as far as its mark says

Reply = bytes | Callable[[Request], bytes | None]
"""The bytes of a reply, or a function that gives them; None: the camera does not answer."""


def recorded(name: str) -> bytes:
    """The recorded reply in the file of this name."""
    return (CAPTURES / name).read_bytes()


def reply(*headers: str, status: str = "200 OK", body: bytes = b"") -> bytes:
    """A reply with these header lines."""
    length = (f"Content-Length: {len(body)}",) if body else ()
    return "\r\n".join([f"RTSP/1.0 {status}", "CSeq: 0", *headers, *length, "", ""]).encode() + body


@dataclass(slots=True)
class Beginning:
    """Where the RTP numbers of a session begin."""

    number: int = 1000
    stamp: int = 0xFFFF_0000  # wraps within the first second


class _Life:
    """How long a session lives after the last sign of its client."""

    def __init__(self, seconds: float, now: Callable[[], float]) -> None:
        self._seconds = seconds
        self._now = now
        self._until = now() + seconds

    def renew(self) -> None:
        self._until = self._now() + self._seconds

    def over(self) -> bool:
        return self._now() > self._until


@dataclass(slots=True)
class ReplayCamera:
    """`replies` by method; what is not in it is answered plainly. `payload_type` is what the SDP in it says.

    `dies_after_s`: without a sign of life for so long the session ends, silently: the connection stays.
    """

    replies: Mapping[str, Reply]
    clip: Clip
    number: int = 1
    payload_type: int = 96
    begin: Beginning = field(default_factory=Beginning)
    dies_after_s: float | None = None
    port: int = 0
    path: str = "/stream"
    asked: list[Request] = field(default_factory=list)
    shown: int = 0  # frames sent, in all sessions
    sessions: int = 0  # PLAYs

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}{self.path}"

    def methods(self) -> list[str]:
        return [request.method for request in self.asked]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = Parser()
        loop = asyncio.get_running_loop()
        life = _Life(self.dies_after_s or 1e9, loop.time)
        show: asyncio.Task[None] | None = None
        try:
            async with asyncio.TaskGroup() as group:
                while data := await reader.read(65536):
                    for request in parser.feed(data):
                        self.asked.append(request)
                        if life.over():
                            continue  # and nobody says so
                        life.renew()
                        answer = self._answer(request)
                        if answer is None:
                            continue
                        writer.write(answer)
                        good = b" 200 " in answer.split(b"\n", 1)[0]
                        if request.method == "PLAY" and good and show is None:
                            self.sessions += 1
                            show = group.create_task(self._show(writer, life))
                        if request.method == "TEARDOWN" and show is not None:
                            show.cancel()
                if show is not None:
                    show.cancel()
        except* (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def _answer(self, request: Request) -> bytes | None:
        plain = {
            "OPTIONS": reply("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"),
            "SETUP": reply("Session: 77;timeout=60", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"),
        }
        answer = self.replies.get(request.method, plain.get(request.method, reply()))
        if not isinstance(answer, bytes):
            found = answer(request)
            if found is None:
                return None
            answer = found
        head, blank, body = answer.partition(b"\r\n\r\n")
        cseq = b"CSeq: " + request.headers["cseq"].encode()
        head = re.sub(rb"(?im)^CSeq:[^\r\n]*", cseq, head)
        head = re.sub(rb"(?i)Content-Length:\s*\d+", b"Content-Length: %d" % len(body), head)
        return head + blank + body

    async def _show(self, writer: asyncio.StreamWriter, life: _Life) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        number, stamp = self.begin.number, self.begin.stamp
        count = 0
        while True:
            if not life.over():
                template = self.clip.frames[count % len(self.clip.frames)]
                mark = Mark(self.shown, _START_US + self.shown * 40_000, self.number)
                data = render(
                    template, mark, sequence=number & 0xFFFF, timestamp=stamp & 0xFFFF_FFFF, ssrc=7, channel=0
                )
                for start in template.starts:
                    data[start + 5] = data[start + 5] & 0x80 | self.payload_type
                writer.write(data)
                if count % _REPORT_EVERY == 0:
                    now_us = _START_US + self.shown * 40_000
                    writer.write(
                        sender_report(
                            ssrc=7, wall_us=now_us, timestamp=stamp, packets=1, octets=1, channel=1, name="replay"
                        )
                    )
                self.shown += 1
                number += len(template.starts)
            stamp += CLOCK // self.clip.spec.fps
            count += 1
            await asyncio.sleep(max(0.0, began + count / self.clip.spec.fps - loop.time()))


@asynccontextmanager
async def serving(cameras: Sequence[ReplayCamera]) -> AsyncIterator[None]:
    """Serve all of `cameras` on loopback, each at its own port."""
    servers = []
    try:
        for camera in cameras:
            server = await asyncio.start_server(camera.serve, "127.0.0.1", 0)
            camera.port = server.sockets[0].getsockname()[1]
            servers.append(server)
        yield
    finally:
        for server in servers:
            server.close()
