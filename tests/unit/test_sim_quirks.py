"""Every quirk of a simulated camera, and every hostile answer, as a viewer sees it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from simulators import hostile
from simulators.camera import Camera, FaultError
from simulators.control import inflict
from simulators.fleet import Fleet
from simulators.mischief import QUIRKS
from tests.sim_viewer import SMALL, Viewer, fresh_subnet

PROVED_HERE = {
    "no-sprop",
    "wrong-clock-rate",
    "bogus-rtp-info",
    "options-only",
    "redirect",
    "no-marker",
    "timestamp-wrap",
    "sequence-wrap",
    "padding",
    "extension",
    "garbage",
    "huge-headers",
    "endless-headers",
    "negative-length",
    "redirect-loop",
    "one-byte-segments",
    "giant-nal",
}


def test_every_quirk_has_its_test() -> None:
    assert set(QUIRKS) == PROVED_HERE | {"sticky-slots"}  # that one beside the slots, in test_sim_transport


@asynccontextmanager
async def odd_camera(*quirks: str, **asked: Any) -> AsyncIterator[tuple[Camera, Viewer]]:
    options = SMALL | {"auth": "none", "quirks": quirks} | asked
    async with Fleet(cameras=1, subnet=fresh_subnet(), onvif=False, **options) as fleet:
        viewer = await Viewer(fleet.cameras[0].rtsp_url).connect()
        try:
            yield fleet.cameras[0], viewer
        finally:
            await viewer.close()


async def play(viewer: Viewer) -> str:
    await viewer.setup()
    return (await viewer.ask("PLAY")).headers["rtp-info"]


@pytest.mark.parametrize("codec", ["h264", "h265"])
async def test_the_sdp_keeps_things_to_itself(codec: str) -> None:
    async with odd_camera("no-sprop", "wrong-clock-rate", codec=codec) as (_, viewer):
        sdp = (await viewer.ask("DESCRIBE")).body.decode()
        assert "sprop" not in sdp
        assert f"a=rtpmap:96 {codec.upper()}/8000" in sdp


async def test_the_rtp_clock_runs_on_whatever_the_sdp_says() -> None:
    async with odd_camera("wrong-clock-rate", "bogus-rtp-info") as (_, viewer):
        assert (await play(viewer)).endswith(";seq=-1;rtptime=-1")
        await viewer.see(5)
        times = [packet.timestamp for packet in viewer.packets if packet.mark()]
        assert all((b - a) & 0xFFFFFFFF == 3600 for a, b in pairwise(times))


async def test_get_parameter_is_not_known() -> None:
    async with odd_camera("options-only") as (_, viewer):
        assert "GET_PARAMETER" not in (await viewer.ask("OPTIONS")).headers["public"]
        await viewer.setup()
        assert (await viewer.ask("GET_PARAMETER")).status == 405
        assert (await viewer.ask("OPTIONS")).status == 200


async def test_redirects() -> None:
    async with Fleet(cameras=2, subnet=fresh_subnet(), onvif=False, auth="none", **SMALL) as fleet:
        first, second = fleet.cameras
        viewer = await Viewer(first.rtsp_url).connect()
        await inflict(fleet, "cam-1", "redirect", "cam-2")
        reply = await viewer.ask("DESCRIBE")
        assert (reply.status, reply.headers["location"]) == (302, second.rtsp_url)
        assert first.stats()["faults"] == ["redirecting"]
        await inflict(fleet, "cam-1", "redirect", "off")
        await inflict(fleet, "cam-1", "quirk", "redirect")
        viewer.url = (await viewer.ask("DESCRIBE")).headers["location"]
        assert viewer.url == first.rtsp_url.replace("/main", "/moved/main")
        assert (await viewer.ask("DESCRIBE")).headers["content-base"] == viewer.url + "/"
        await play(viewer)
        assert await viewer.see(2)
        for wrong in (None, "cam-9"):
            with pytest.raises(FaultError):
                await inflict(fleet, "cam-1", "redirect", wrong)
        await viewer.close()


async def test_a_loop_of_redirects_never_ends() -> None:
    async with odd_camera("redirect-loop") as (camera, viewer):
        visited = []
        for _ in range(30):
            reply = await viewer.ask("DESCRIBE")
            assert reply.status == 302
            viewer.url = reply.headers["location"]
            visited.append(viewer.url)
        assert len(set(visited)) == 30
        assert visited[-1] == f"{camera.rtsp_url}?hop=30"


async def test_no_marker() -> None:
    async with odd_camera("no-marker") as (_, viewer):
        await play(viewer)
        await viewer.see(4)
        assert not any(packet.head[1] & 0x80 for packet in viewer.packets)


async def test_padding_and_extension_leave_the_payload_as_it_was() -> None:
    async with odd_camera("padding", "extension") as (camera, viewer):
        await play(viewer)
        while len(viewer.packets) < 40:
            await viewer.take()
        for packet in viewer.packets:
            assert packet.head[0] == 0x80 | 0x20 | 0x10
            words = int.from_bytes(packet.payload[2:4], "big")
            packet.payload = packet.payload[4 + 4 * words : -packet.payload[-1]]
        assert len(viewer.packets) > len(viewer.marks())
        counters = [mark.counter for mark in viewer.marks()]
        assert counters == list(range(counters[0], counters[0] + len(counters)))
        slices = [packet.payload for packet in viewer.packets if packet.payload[0] & 0x1F == 1]
        film = b"".join(camera.feed.clip.frames[n].data for n in range(len(camera.feed.clip.frames)))
        assert slices
        assert all(one in film for one in slices)


@pytest.mark.parametrize(
    ("quirk", "field", "size"), [("timestamp-wrap", "timestamp", 1 << 32), ("sequence-wrap", "sequence", 1 << 16)]
)
async def test_wraps(quirk: str, field: str, size: int) -> None:
    async with odd_camera(quirk) as (_, viewer):
        await play(viewer)
        await viewer.see(70)
        values = [int(getattr(packet, field)) for packet in viewer.packets]
        assert values[0] > size - 200_000 * (size >> 32) - 30
        assert values[-1] < size // 2
        assert sum(b < a for a, b in pairwise(values)) == 1


async def test_garbage_stands_between_whole_packets() -> None:
    async with odd_camera("garbage", bitrate="1M", size="320x240", seed=3) as (camera, viewer):
        await viewer.setup()
        viewer.writer.write(f"PLAY {viewer.url} RTSP/1.0\r\nCSeq: 9\r\nSession: {viewer.session}\r\n\r\n".encode())
        stream = bytearray()
        async with asyncio.timeout(10):
            while len(stream) < 200_000:
                stream += await viewer.reader.read(65_536)
        at, stray, sequences = 0, 0, []
        while at + 16 < len(stream):
            size = int.from_bytes(stream[at + 2 : at + 4], "big")
            whole_packet = stream[at] == 0x24 and stream[at + 1] in (0, 1) and stream[at + 4] & 0xC0 == 0x80
            if not whole_packet:
                at, stray = at + 1, stray + 1
                continue
            if stream[at + 1] == 0:
                sequences.append(int.from_bytes(stream[at + 6 : at + 8], "big"))
            at += 4 + size
        assert all(b == (a + 1) & 0xFFFF for a, b in pairwise(sequences))
        told = camera.stats()["sessions"][0]["tracks"]["video"]["garbage_bytes"]
        assert told > 0
        assert stray > 200  # the answer to PLAY is among it


async def test_one_byte_at_a_time() -> None:
    async with odd_camera("one-byte-segments") as (_, viewer):
        transport: Any = viewer.writer.transport
        sizes = []
        receive = transport.get_protocol().data_received

        def measure(data: bytes) -> None:
            sizes.append(len(data))
            receive(data)

        transport.get_protocol().data_received = measure
        await play(viewer)
        marks = await viewer.see(3)
        assert [mark.counter for mark in marks] == list(range(marks[0].counter, marks[0].counter + 3))
        assert sizes.count(1) > len(sizes) / 2  # the kernel may hand over some together
        assert len(sizes) > 500


async def test_ssrc_and_parameters_change_on_command() -> None:
    async with Fleet(
        cameras=1, subnet=fresh_subnet(), onvif=False, auth="none", size="320x240", fps=25, gop=5
    ) as fleet:
        camera = fleet.cameras[0]
        viewer = await Viewer(camera.rtsp_url).connect()
        before = (await viewer.ask("DESCRIBE")).body
        await play(viewer)
        await viewer.see(3)
        await inflict(fleet, "cam-1", "ssrc-change", None)
        await viewer.see(10)
        ssrcs = list(dict.fromkeys(packet.ssrc for packet in viewer.packets))
        told = camera.stats()["sessions"][0]["tracks"]["video"]
        assert len(ssrcs) == 2
        assert (told["ssrc"], told["ssrc_changes"]) == (ssrcs[1], 1)
        sets = [camera.feed.clip.sps]
        for _ in range(2):  # to another size, and back
            await inflict(fleet, "cam-1", "params-change", None)
            async with asyncio.timeout(20):
                while camera.feed.clip.sps == sets[-1]:
                    await viewer.see(1)
            sets.append(camera.feed.clip.sps)
        await viewer.see(6)
        assert sets[0] == sets[2] != sets[1]
        sent = b"".join(packet.payload for packet in viewer.packets)
        assert sets[1] in sent
        assert sent.rindex(sets[0]) > sent.rindex(sets[1]) > sent.index(sets[0])
        assert (await viewer.ask("DESCRIBE")).body == before
        counters = [mark.counter for mark in viewer.marks()]
        assert counters == list(range(counters[0], counters[0] + len(counters)))
        await viewer.close()


async def read_head(viewer: Viewer, most: int) -> bytes:
    """What comes after a DESCRIBE, up to this many bytes or the end of the head."""
    viewer.writer.write(f"DESCRIBE {viewer.url} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
    received = bytearray()
    async with asyncio.timeout(30):
        while len(received) < most and b"\r\n\r\n" not in received[-65_536 - 2000 :]:
            received += await viewer.reader.read(65_536)
    return bytes(received)


async def test_a_header_of_ten_megabytes() -> None:
    async with odd_camera("huge-headers") as (_, viewer):
        head = await read_head(viewer, 20_000_000)
        assert head.startswith(b"RTSP/1.0 200 OK\r\nX-Filler: aaa")
        assert len(head) > 9_900_000
        assert b"a=control" in head[-2000:]


async def test_headers_without_end() -> None:
    async with odd_camera("endless-headers") as (camera, viewer):
        head = await read_head(viewer, 20_000_000)
        assert len(head) >= 20_000_000
        assert b"\r\n\r\n" not in head
        assert camera.stats()["slow_clients_dropped"] == 0


async def test_a_length_below_zero() -> None:
    async with odd_camera("negative-length") as (_, viewer):
        head = await read_head(viewer, 20_000)
        assert head.count(b"Content-Length") == 1
        assert b"\r\nContent-Length: -1\r\n" in head


@pytest.mark.parametrize(("codec", "kind"), [("h264", 28), ("h265", 49)])
def test_a_giant_nal_unit_is_one_unit(codec: str, kind: int) -> None:
    size = packets = 0
    flags = []
    for payloads in hostile.giant_nal(codec):
        packets += len(payloads)
        size += sum(map(len, payloads))
        head = 2 if codec == "h265" else 1
        assert all((one[0] >> 1 & 0x3F if codec == "h265" else one[0] & 0x1F) == kind for one in payloads)
        flags += [(one[head] & 0xC0) for one in (payloads[0], payloads[-1])]
    assert size >= 200_000_000
    assert (flags[0], flags[-1]) == (0x80, 0x40)
    assert not any(flags[1:-1])


async def test_a_giant_nal_unit_is_sent_to_whoever_reads_it() -> None:
    # The viewer reads on the loop that the camera sends on: on a busy machine a turn of it may bring many megabytes.
    async with odd_camera("giant-nal", max_behind_bytes=256 << 20) as (camera, viewer):
        await viewer.setup()
        viewer.writer.write(f"PLAY {viewer.url} RTSP/1.0\r\nCSeq: 9\r\nSession: {viewer.session}\r\n\r\n".encode())
        received = 0
        async with asyncio.timeout(60):
            while received < 30_000_000:
                received += len(await viewer.reader.read(1 << 20))
        assert camera.stats()["sessions"][0]["giant_bytes"] >= 25_000_000
        assert camera.stats()["slow_clients_dropped"] == 0


async def test_quirks_come_and_go_on_command() -> None:
    async with Fleet(cameras=1, subnet=fresh_subnet(), onvif=False, auth="none", **SMALL) as fleet:
        camera = fleet.cameras[0]
        viewer = await Viewer(camera.rtsp_url).connect()
        await play(viewer)
        await viewer.see(2)
        await inflict(fleet, "cam-1", "quirk", "no-marker")
        assert camera.stats()["faults"] == ["quirk no-marker"]
        seen = len(viewer.packets)
        await viewer.see(4)
        assert not any(packet.head[1] & 0x80 for packet in viewer.packets[seen + 4 :])
        await inflict(fleet, "cam-1", "unquirk", "no-marker")
        assert camera.stats()["faults"] == []
        for fault, value in (("quirk", None), ("quirk", "polite"), ("reorder", None), ("delay", "soon")):
            with pytest.raises(FaultError):
                await inflict(fleet, "cam-1", fault, value)
        await viewer.close()
