"""A small RTSP viewer of the tests' own, to look at single packets where PyAV shows only whole pictures."""

import asyncio
import hashlib
import itertools
import os
import re
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from simulators.packets import Mark, read_mark

_numbers = itertools.count(1)
SMALL: dict[str, Any] = {"size": "160x90", "bitrate": "100k", "fps": 25, "gop": 5}


def fresh_subnet() -> str:
    """A loopback /24 no other test of this machine is likely to use."""
    return f"127.{20 + os.getpid() % 200}.{next(_numbers)}"


def nals_of(data: bytes) -> list[bytes]:
    """The NAL units in a run of interleaved packets, put together by RFC 6184."""
    nals: list[bytes] = []
    while data:
        size = int.from_bytes(data[2:4], "big")
        payload, data = data[16 : 4 + size], data[4 + size :]
        assert len(payload) <= 1400
        if payload[0] & 0x1F == 24:
            payload = payload[1:]
            while payload:
                size = int.from_bytes(payload[:2], "big")
                nals.append(payload[2 : 2 + size])
                payload = payload[2 + size :]
        elif payload[0] & 0x1F == 28:
            if payload[1] & 0x80:
                nals.append(bytes((payload[0] & 0xE0 | payload[1] & 0x1F,)))
            nals[-1] += payload[2:]
        else:
            nals.append(payload)
    return nals


async def wait_until(holds: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Return as soon as `holds`; fail with `what` after the deadline."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not holds():
        assert loop.time() < deadline, f"waited {seconds} s in vain: {what}"
        await asyncio.sleep(0.01)


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Packet:
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    channel: int = 0
    head: bytes = b""
    """The first two bytes of the RTP header: version, padding, extension, marker, payload type."""

    def mark(self) -> Mark | None:
        if self.payload[0] & 0x1F != 24:
            return read_mark(self.payload)
        at, found = 1, None
        while at < len(self.payload):
            size = int.from_bytes(self.payload[at : at + 2], "big")
            found = read_mark(self.payload[at + 2 : at + 2 + size]) or found
            at += 2 + size
        return found


@dataclass
class Viewer:
    url: str
    username: str = "admin"
    password: str = "secret"
    packets: list[Packet] = field(default_factory=list)
    reports: list[tuple[int, int]] = field(default_factory=list)
    """Sender reports: NTP time in microseconds since 1970, RTP timestamp."""
    challenge: dict[str, str] = field(default_factory=dict)
    session: str = ""
    cseq: int = 0

    async def connect(self) -> "Viewer":
        host, port = self.url.split("/")[2].split(":")
        self.reader, self.writer = await asyncio.open_connection(host, int(port))
        return self

    async def close(self) -> None:
        self.writer.transport.abort()
        with suppress(OSError):
            await self.writer.wait_closed()

    async def ask(self, method: str, path: str = "", auth: bool = True, **headers: str) -> Reply:
        """One request; names of header arguments are written with `_` for `-`."""
        uri = self.url + path
        self.cseq += 1
        lines = {"CSeq": str(self.cseq)} | {name.replace("_", "-"): value for name, value in headers.items()}
        if self.session:
            lines.setdefault("Session", self.session)
        if auth and self.challenge:
            lines["Authorization"] = self.sign(method, uri)
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return await self.raw(f"{method} {uri} RTSP/1.0\r\n{text}\r\n".encode())

    async def raw(self, request: bytes) -> Reply:
        self.writer.write(request)
        while True:
            reply = await self.take()
            if reply is not None:
                break
        asked = reply.headers.get("www-authenticate")
        if asked:
            self.challenge = dict(re.findall(r'(\w+)="?([^",]+)"?', asked))
        return reply

    def sign(self, method: str, uri: str) -> str:
        def md5(text: str) -> str:
            return hashlib.md5(text.encode()).hexdigest()

        realm, nonce = self.challenge["realm"], self.challenge["nonce"]
        first, second = md5(f"{self.username}:{realm}:{self.password}"), md5(f"{method}:{uri}")
        response = md5(f"{first}:{nonce}:00000001:abcd:auth:{second}")
        return (
            f'Digest username="{self.username}", realm="{realm}", nonce="{nonce}", uri="{uri}", qop=auth,'
            f' nc=00000001, cnonce="abcd", response="{response}"'
        )

    async def take(self) -> Reply | None:
        """Read one thing: a packet (kept; None is returned) or a reply. IncompleteReadError where the peer has gone."""
        async with asyncio.timeout(8):
            first = await self.reader.readexactly(1)
            if first != b"$":
                head = (first + await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (h.partition(":") for h in head[1:])}
                body = await self.reader.readexactly(int(headers.get("content-length", "0")))
                return Reply(int(head[0].split()[1]), headers, body)
            channel, size = struct.unpack(">BH", await self.reader.readexactly(3))
            data = await self.reader.readexactly(size)
        if channel % 2:
            seconds, fraction, timestamp = struct.unpack(">III", data[8:20])
            self.reports.append(((seconds - 2_208_988_800) * 1_000_000 + (fraction * 1_000_000 >> 32), timestamp))
        else:
            sequence, timestamp, ssrc = struct.unpack(">HII", data[2:12])
            self.packets.append(Packet(sequence, timestamp, ssrc, data[12:], channel, data[:2]))
        return None

    async def play(self) -> "Viewer":
        """From nothing to a stream under way."""
        await self.connect()
        await self.ask("DESCRIBE")
        await self.setup()
        assert (await self.ask("PLAY")).status == 200
        return self

    async def setup(self) -> Reply:
        reply = await self.ask("SETUP", "/trackID=1", Transport="RTP/AVP/TCP;unicast;interleaved=0-1")
        if reply.status == 401:
            reply = await self.ask("SETUP", "/trackID=1", Transport="RTP/AVP/TCP;unicast;interleaved=0-1")
        self.session = reply.headers.get("session", "").split(";")[0]
        return reply

    def marks(self) -> list[Mark]:
        return [mark for packet in self.packets if (mark := packet.mark()) is not None]

    async def see(self, frames: int) -> list[Mark]:
        """Read until this many more frames have begun; returns all marks so far."""
        wanted = len(self.marks()) + frames
        while len(self.marks()) < wanted:
            assert await self.take() is None, "a reply nobody asked for"
        return self.marks()

    async def see_end(self, seconds: float = 8.0) -> BaseException:
        """Read until the peer ends the connection; returns how. TimeoutError if it does not in time."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self.take()
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            return error
