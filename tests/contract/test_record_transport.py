"""Recording over UDP and TLS, with losses that are counted to the packet, and beside cameras that mean harm."""

import asyncio
import itertools
import random
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from edged.model import Cause, Loss, StreamState
from edged.record.status import follow_status, status_socket_path
from simulators.judge import check_gapless, decode_all, read_frames
from simulators.rtsp_message import Request
from tests.certificates import certificate, server_context
from tests.recorder_kit import RECORDER, Site, stream_of, until
from tests.rtsp_camera import Client, rtsp_camera


class Fault:
    """Spoils the packets of the frames from 25 to 99; keeps account of those that never arrive in time."""

    def __init__(self, seed: int, spoil: "Callable[[Fault, list[bytes]], list[tuple[float, bytes]]]") -> None:
        self.draw = random.Random(seed)
        self.lost = 0
        self.spoiled = 0
        self.frame = 0
        self._spoil = spoil

    def __call__(self, frame: int, packets: list[bytes]) -> Sequence[tuple[float, bytes]]:
        self.frame = frame
        if not 25 <= frame < 100:
            return [(0.0, packet) for packet in packets]
        return self._spoil(self, packets)

    @property
    def over(self) -> bool:
        return self.frame > 110


def drop(fault: Fault, packets: list[bytes]) -> list[tuple[float, bytes]]:
    kept = [packet for packet in packets if fault.draw.random() >= 0.2]
    fault.lost += len(packets) - len(kept)
    return [(0.0, packet) for packet in kept]


def double(fault: Fault, packets: list[bytes]) -> list[tuple[float, bytes]]:
    sent = []
    for packet in packets:
        copies = fault.draw.choice((1, 1, 2, 3))
        fault.spoiled += copies - 1
        sent += [(fault.draw.choice((0.0, 0.05)) if copy else 0.0, packet) for copy in range(copies)]
    return sent


def shuffle(fault: Fault, packets: list[bytes]) -> list[tuple[float, bytes]]:
    fault.draw.shuffle(packets)
    fault.spoiled += len(packets) - 1
    return [(0.0, packet) for packet in packets]


def delay(fault: Fault, packets: list[bytes]) -> list[tuple[float, bytes]]:
    late = [fault.draw.random() < 0.2 for _ in packets]
    fault.spoiled += sum(late)
    return [
        (fault.draw.uniform(0.01, 0.08) if is_late else 0.0, packet)
        for is_late, packet in zip(late, packets, strict=True)
    ]


def everything(fault: Fault, packets: list[bytes]) -> list[tuple[float, bytes]]:
    kept = [packet for _, packet in drop(fault, packets)]
    return [(wait, packet) for _, packet in double(fault, kept) for wait in (fault.draw.choice((0.0, 0.0, 0.04)),)]


SPOILS = [("udp", drop), ("udp", double), ("udp", shuffle), ("udp", delay), ("udp", everything), ("tcp", drop)]


def losses(site: Site, camera: str = "c1") -> list[Loss]:
    told = [fact for fact in site.facts() if isinstance(fact, Loss) and fact.camera == camera]
    return [fact for fact in told if fact.cause is Cause.LOSS and fact.packets]


def judged(site: Site, camera: str = "c1") -> None:
    files = site.recording(camera)
    report = check_gapless([frame for file in files for frame in read_frames(file)])
    assert report.ok, report
    for file in files:
        decode_all(file)


async def test_losses_counted_are_the_losses_there_were(tmp_path: Path) -> None:
    """Six cameras at once: what was injected is what is counted, in the status, the segments and the loss facts."""
    site = Site(tmp_path)
    faults: dict[str, Fault] = {}
    async with AsyncExitStack() as house:
        for number, (transport, spoil) in enumerate(SPOILS):
            name = f"{transport}-{spoil.__name__}"
            faults[name] = Fault(number, spoil)
            camera = await house.enter_async_context(rtsp_camera(plan=faults[name]))
            site.record(name, camera.url(), transport=transport)
        site.assign()
        async with site.recorder():
            await until(lambda: all(fault.over for fault in faults.values()))
            sealed = {name: len(site.segments(camera=name)) for name in faults}
            await until(lambda: all(len(site.segments(camera=name)) > sealed[name] for name in faults))
            status = await site.status(lambda status: True)
    for name, fault in faults.items():
        assert fault.lost + fault.spoiled > 20, "there was something to see"
        assert (fault.lost > 0) == name.endswith(("drop", "everything"))
        stream, segments, told = stream_of(status, name), site.segments(camera=name), losses(site, name)
        assert stream.sessions == 1
        assert stream.lost_packets == fault.lost, name
        assert sum(fact.packets for fact in told) == fault.lost
        assert sum(one.lost_packets for one in segments) == fault.lost
        for fact in told:
            assert any(one.start_us <= fact.start_us < fact.end_us <= one.end_us for one in segments)
        if not fault.lost:
            judged(site, name)


async def test_a_packet_later_than_the_window_is_lost_and_said_to_be(tmp_path: Path) -> None:
    chosen: list[int] = []

    def plan(frame: int, packets: list[bytes]) -> list[tuple[float, bytes]]:
        if frame in (30, 60):
            chosen.append(frame)
            return [(0.9, packets[0]), *((0.0, packet) for packet in packets[1:])]
        return [(0.0, packet) for packet in packets]

    site = Site(tmp_path)
    async with rtsp_camera(plan=plan) as camera:
        site.record("c1", camera.url(), transport="udp")
        site.assign()
        async with site.recorder():
            await until(lambda: len(chosen) == 2)
            sealed = len(site.segments())
            await until(lambda: len(site.segments()) > sealed + 1)
        assert sum(fact.packets for fact in losses(site)) == 2


async def test_udp_is_reported_upon_and_its_ports_are_the_recorders_alone(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with rtsp_camera() as camera:
        site.record("c1", camera.url(), transport="udp")
        site.assign()
        async with site.recorder():
            await until(lambda: len(site.segments()) >= 2)
            play = next(iter(camera.sessions.values()))
            assert play.client_ports is not None
            assert play.client_ports[1] == play.client_ports[0] + 1
        judged(site)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_a_recorder_leaves_no_slot_taken(tmp_path: Path, transport: str) -> None:
    """A session that fails while it plays, one that is not wanted so any more, and one at the end of the process."""
    plays: list[int] = []

    def plan(frame: int, packets: list[bytes]) -> list[tuple[float, bytes]]:
        if frame == 0:
            plays.append(0)
        if frame == 40 and len(plays) == 1:
            packets = [packets[0][:12] + b"\x7d\x85 a form that was not agreed upon", *packets[1:]]
        return [(0.0, packet) for packet in packets]

    site = Site(tmp_path)
    async with rtsp_camera(plan=plan, slots=1, password="secret") as camera:
        site.record("c1", camera.url(), transport=transport)
        site.assign()
        async with site.recorder():
            await until(lambda: len(plays) == 2 and len(site.segments()) >= 3)
            site.record("c1", camera.url("other"), transport=transport)
            site.assign()
            sealed = len(site.segments())
            await until(lambda: len(plays) == 3 and len(site.segments()) > sealed)
        assert camera.sessions == {}
        assert camera.refused == 0


async def test_recording_over_tls(tmp_path: Path) -> None:
    file, key, pin = certificate(tmp_path, "camera", "127.91.0.1")
    site = Site(tmp_path)
    async with rtsp_camera(tls=server_context(file, key), host="127.91.0.1") as camera:
        site.record("c1", camera.url(), tls_pin=pin)
        site.record("c2", camera.url(), tls_ca=str(file))
        site.record("c3", camera.url())
        site.assign()
        async with site.recorder():
            await until(lambda: all(len(site.segments(camera=name)) >= 2 for name in ("c1", "c2")))
            status = await site.status(lambda status: stream_of(status, "c3").state is StreamState.DOWN)
        assert stream_of(status, "c3").code == "REC-028", "what nothing vouches for is never recorded from"
        judged(site, "c1")
        judged(site, "c2")
        assert camera.sessions == {}


# --- cameras that mean harm -------------------------------------------------------------------------------------------


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
    """Eight at once: their neighbours lose no frame, the recorder's ticks go on, and its memory stays bounded."""
    site = Site(tmp_path)
    goods = {"udp": "good-udp", "tcp": "good-tcp"}
    most, times_us = 0, []
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
            times_us.append(status.mono_us)
            for stream in status.streams:
                if stream.state is StreamState.DOWN:
                    down[stream.camera] = stream.cause
            if len(down) == len(ATTACKS) and len(times_us) > 8:
                break
            assert len(times_us) < 40, f"not yet given up: {[name for name in ATTACKS if name.__name__ not in down]}"
        recorder.terminate()
        assert await recorder.wait() == 0
    assert set(down) == {attack.__name__ for attack in ATTACKS}, "the neighbours are never down"
    assert set(down.values()) <= {Cause.PROTOCOL, Cause.CLOSED}
    assert most - before < 64 * 2**20, f"{(most - before) / 2**20:.0f} MiB more"
    assert max(b - a for a, b in itertools.pairwise(times_us)) < 2_000_000, "the recorder was held up"
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
