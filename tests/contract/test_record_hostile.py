"""Cameras that mean harm cost their own streams alone."""

import asyncio
import itertools
import random
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from edged.model import Cause, StreamState
from edged.record.status import follow_status, status_socket_path
from simulators.rtsp_message import Request
from tests.bench.processes import cpu_seconds
from tests.recorder_kit import RECORDER, Site, judged, stream_of, until
from tests.rtsp_camera import Client, rtsp_camera


def frame(payload: bytes, channel: int = 0) -> bytes:
    return struct.pack(">BBH", 0x24, channel, len(payload)) + payload


def rtp(number: int, payload: bytes) -> bytes:
    return struct.pack(">BBHII", 0x80, 96, number & 0xFFFF, 1, 7) + payload


def large_head() -> bytes:
    return b"RTSP/1.0 200 OK\r\nX: " + b"x" * 10_000_000


def endless_headers() -> bytes:
    return b"RTSP/1.0 200 OK\r\n" + b"X: y\r\n" * 1_000_000


def negative_length() -> bytes:
    return b"RTSP/1.0 200 OK\r\nContent-Length: -1000000\r\n\r\n" * 200_000


def messages() -> bytes:
    return b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n" * 400_000


def tiny_packets() -> bytes:
    return b"".join(frame(rtp(number, b"\x41")) for number in range(60_000)) * 8


def empty_frames() -> bytes:
    return frame(b"") * 2_000_000


def huge_nal() -> bytes:
    middle = b"".join(frame(rtp(number, b"\x7c\x05" + bytes(60_000))) for number in range(1, 150))
    return frame(rtp(0, b"\x7c\x85" + bytes(60_000))) + middle


def noise() -> bytes:
    return random.Random(5).randbytes(8_000_000)


ATTACKS = [
    large_head,
    endless_headers,
    negative_length,
    messages,
    tiny_packets,
    empty_frames,
    huge_nal,
    noise,
]


@asynccontextmanager
async def hostile(flood: bytes) -> AsyncIterator[str]:
    """The URL of one that answers like a camera up to PLAY, and then sends `flood` for as long as anybody reads."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                cseq = head.partition("CSeq: ")[2].split("\r\n")[0]
                body = b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:t\r\n"
                more = (
                    f"Content-Length: {len(body)}\r\n\r\n".encode() + body if head.startswith("DESCRIBE") else b"\r\n"
                )
                writer.write(f"RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 1\r\n".encode() + more)
                if head.startswith("PLAY"):
                    while True:
                        writer.write(flood)
                        await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.92.0.1", 0)
    yield f"rtsp://127.92.0.1:{server.sockets[0].getsockname()[1]}/"
    server.close()
    await server.wait_closed()


def memory_bytes(pid: int) -> int:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


async def test_hostile_cameras_cost_their_own_streams_alone(tmp_path: Path) -> None:
    """Eight at once: their neighbours lose no frame, and neither time nor memory of the recorder is theirs to take."""
    site = Site(tmp_path)
    goods = {"udp": "good-udp", "tcp": "good-tcp"}
    most, spent_s = 0, []
    async with AsyncExitStack() as house:
        camera = await house.enter_async_context(rtsp_camera())
        recorder = await house.enter_async_context(site.recorder_process())
        for transport, name in goods.items():
            site.record(name, camera.url(), transport=transport)
        site.assign()
        await until(lambda: all(site.segments(camera=name) for name in goods.values()))
        before = memory_bytes(recorder.pid)
        for attack in ATTACKS:
            site.record(attack.__name__, await house.enter_async_context(hostile(attack())))
        site.assign()
        down: dict[str, Cause | None] = {}
        async for status in follow_status(status_socket_path(site.runtime, RECORDER)):
            most = max(most, memory_bytes(recorder.pid))
            spent_s.append(cpu_seconds([recorder.pid]))
            for stream in status.streams:
                if stream.state is StreamState.DOWN:
                    down[stream.camera] = stream.cause
            if len(down) == len(ATTACKS) and len(spent_s) > 8:
                break
            assert len(spent_s) < 40, f"not yet given up: {[name for name in ATTACKS if name.__name__ not in down]}"
        recorder.terminate()
        assert await recorder.wait() == 0
    assert set(down) == {attack.__name__ for attack in ATTACKS}, "the neighbours are never down"
    assert set(down.values()) <= {Cause.PROTOCOL, Cause.CLOSED}
    assert most - before < 64 * 2**20, f"{(most - before) / 2**20:.0f} MiB more"
    # Between two statuses, of one a second: a busy machine delays those, but makes nothing longer to compute.
    assert max(b - a for a, b in itertools.pairwise(spent_s)) < 1.5, "the recorder was held up"
    for name in goods.values():
        stream = stream_of(status, name)
        assert (stream.sessions, stream.lost_packets) == (1, 0)
        judged(site, name)


async def test_a_camera_that_talks_without_end_before_it_plays_is_given_up(tmp_path: Path) -> None:
    def talk(client: Client, request: Request) -> bytes:
        return b"RTSP/1.0 100 Wait\r\n\r\n" * 5000

    site = Site(tmp_path)
    async with rtsp_camera(answers={"DESCRIBE": talk}) as camera:
        site.record("c1", camera.url())
        site.assign()
        async with site.recorder():
            status = await site.status(lambda status: stream_of(status, "c1").state is StreamState.DOWN)
        assert stream_of(status, "c1").cause is Cause.PROTOCOL


async def test_a_camera_that_talks_without_end_while_it_plays_is_given_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def talk(client: Client, request: Request) -> bytes:
        return client.usual(request) + b"RTSP/1.0 200 OK\r\n\r\n" * 500

    site = Site(tmp_path)
    async with rtsp_camera(answers={"PLAY": talk}) as camera:
        site.record("c1", camera.url())
        site.assign()
        async with site.recorder():
            status = await site.status(lambda status: stream_of(status, "c1").state is StreamState.DOWN)
        assert stream_of(status, "c1").cause is Cause.PROTOCOL
        assert "floods the recorder with messages" in caplog.text
        assert camera.host not in caplog.text, "I9: no address in the log"
        assert camera.sessions == {}
