"""How the simulated camera's media travels: UDP, TLS, spread in time, several tracks, few slots, other logins."""

import asyncio
import base64
import hashlib
import json
import re
import signal
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from simulators.camera import Camera
from simulators.control import ask
from simulators.fleet import Fleet
from simulators.options import FleetOptions, OptionError
from tests.sim_viewer import SMALL, Viewer, fresh_subnet, wait_until


@asynccontextmanager
async def one_camera(**asked: Any) -> AsyncIterator[Camera]:
    async with Fleet(cameras=1, subnet=fresh_subnet(), onvif=False, **SMALL | {"auth": "none"} | asked) as fleet:
        yield fleet.cameras[0]


class UdpPorts(asyncio.DatagramProtocol):
    """One port of a client's; keeps what comes."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.heard.append(data)


@dataclass
class UdpClient:
    media: UdpPorts
    control: UdpPorts
    control_transport: asyncio.DatagramTransport
    server: tuple[int, int]


@asynccontextmanager
async def udp_client(viewer: Viewer) -> AsyncIterator[UdpClient]:
    """RTP and RTCP ports, and a session set up on them."""
    loop = asyncio.get_running_loop()
    media, media_end = await loop.create_datagram_endpoint(UdpPorts, local_addr=("127.0.0.1", 0))
    control, control_end = await loop.create_datagram_endpoint(UdpPorts, local_addr=("127.0.0.1", 0))
    try:
        ports = [end.get_extra_info("sockname")[1] for end in (media, control)]
        reply = await viewer.ask(
            "SETUP", "/trackID=1", Transport=f"RTP/AVP;unicast;client_port={ports[0]}-{ports[1]},RTP/AVP/TCP"
        )
        assert reply.status == 200
        assert f"client_port={ports[0]}-{ports[1]}" in reply.headers["transport"]
        viewer.session = reply.headers["session"].split(";")[0]
        first, second = reply.headers["transport"].split("server_port=")[1].split(";")[0].split("-")
        yield UdpClient(media_end, control_end, control, (int(first), int(second)))
    finally:
        media.close()
        control.close()


async def test_udp_carries_every_packet_and_counts_receiver_reports() -> None:
    async with one_camera(transport="both") as camera:
        viewer = await Viewer(camera.rtsp_url).connect()
        async with udp_client(viewer) as udp:
            assert (await viewer.ask("PLAY")).status == 200
            await wait_until(lambda: len(udp.media.heard) > 60 and bool(udp.control.heard), "packets and a report")
            sequences = [int.from_bytes(packet[2:4], "big") for packet in udp.media.heard]
            assert all(b == (a + 1) & 0xFFFF for a, b in pairwise(sequences))
            assert udp.control.heard[0][1] == 200  # a sender report
            first, second = udp.server
            assert (first % 2, second) == (0, first + 1)
            ssrc = int.from_bytes(udp.media.heard[0][8:12], "big")
            block = struct.pack(">IIIIII", ssrc, 0x10_FFFFFE, 65_536 + 7, 0, 0, 0)  # -2 lost: two came twice
            report = struct.pack(">BBHI", 0x81, 201, 7, 1) + block
            udp.control_transport.sendto(report, (camera.address, second))

            def video() -> dict[str, Any]:
                return dict(camera.stats()["sessions"][0]["tracks"]["video"])

            await wait_until(lambda: video()["receiver_reports"] == 1, "the report is counted")
            assert (video()["reported_lost"], video()["reported_highest"]) == (-2, 65_543)
            assert (await viewer.ask("TEARDOWN")).status == 200
            await wait_until(lambda: len(udp.media.heard) == video()["packets"], "all of them arrived")
        assert camera.stats()["sessions"][0]["transport"] == "udp"
        assert video()["send_errors"] == 0
        await viewer.close()


async def test_rtcp_keeps_a_udp_session_alive_and_silence_ends_it() -> None:
    async with one_camera(transport="udp", session_timeout=1) as camera:
        viewer = await Viewer(camera.rtsp_url).connect()
        async with udp_client(viewer) as udp:
            await viewer.ask("PLAY")
            port = udp.server[1]
            started = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() < started + 2.5:
                udp.control_transport.sendto(b"\x80\xc9\0\1\0\0\0\1", (camera.address, port))
                seen = len(udp.media.heard)
                await wait_until(lambda seen=seen: len(udp.media.heard) > seen + 5, "frames")  # type: ignore[misc]
            assert camera.stats()["sessions_open"] == 1
            assert isinstance(await viewer.see_end(), asyncio.IncompleteReadError)
        assert camera.stats()["sessions"][0]["ended_by"] == "session timeout"
        await viewer.close()


async def test_what_is_not_served_is_refused() -> None:
    async with one_camera(transport="udp", audio="pcmu") as camera:
        viewer = await Viewer(camera.rtsp_url).connect()
        assert (await viewer.ask("SETUP", "/trackID=1", Transport="RTP/AVP/TCP;unicast;interleaved=0-1")).status == 461
        assert (await viewer.ask("SETUP", "/trackID=1", Transport="RTP/AVP;multicast;port=5000-5001")).status == 461
        assert (await viewer.ask("SETUP", "/trackID=3", Transport="RTP/AVP;unicast;client_port=1-2")).status == 404
        await viewer.close()


async def test_tls_is_judged_by_the_fleets_own_authority() -> None:
    async with Fleet(cameras=2, subnet=fresh_subnet(), onvif=False, auth="none", tls=True, **SMALL) as fleet:
        camera = fleet.cameras[1]
        card = camera.card()
        assert card["ca"] == str(fleet.ca)
        assert "BEGIN CERTIFICATE" in Path(card["certificate"]).read_text()
        host, port = card["rtsps"].removeprefix("rtsps://").split("/")[0].split(":")
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(host, int(port), ssl=ssl.create_default_context())
        trusting = ssl.create_default_context(cafile=card["ca"])
        viewer = Viewer(card["rtsps"])
        viewer.reader, viewer.writer = await asyncio.open_connection(host, int(port), ssl=trusting)
        await viewer.ask("DESCRIBE")
        assert (await viewer.ask("SETUP", "/trackID=1", Transport="RTP/AVP;unicast;client_port=1-2")).status == 461
        await viewer.setup()
        await viewer.ask("PLAY")
        marks = await viewer.see(10)
        assert [mark.counter for mark in marks] == list(range(marks[0].counter, marks[0].counter + 10))
        assert camera.stats()["sessions"][0]["transport"] == "tls"
        await camera.unplug()
        await viewer.see_end()
        await camera.plug()
        assert camera.card()["rtsps"] == card["rtsps"]
        await viewer.close()
    assert fleet.ca is not None
    assert not fleet.ca.exists()


async def test_three_tracks_in_one_session() -> None:
    async with one_camera(audio="pcma", metadata=True) as camera:
        viewer = await Viewer(camera.rtsp_url).connect()
        sdp = (await viewer.ask("DESCRIBE")).body.decode()
        assert re.findall(r"m=(\w+)", sdp) == ["video", "audio", "application"]
        await viewer.setup()
        for number in (2, 3):
            reply = await viewer.ask("SETUP", f"/trackID={number}", Transport="RTP/AVP/TCP;unicast")
            assert f"interleaved={2 * number - 2}-{2 * number - 1}" in reply.headers["transport"]
        assert (await viewer.ask("SETUP", "/trackID=2", Transport="RTP/AVP/TCP")).status == 455
        info = (await viewer.ask("PLAY")).headers["rtp-info"]
        starts = {}
        for one in info.split(","):
            found = re.search(r"trackID=(\d);seq=(\d+);rtptime=(\d+)", one)
            assert found is not None
            starts[int(found[1]) * 2 - 2] = (int(found[2]), int(found[3]))
        async with asyncio.timeout(10):
            while len({packet.channel for packet in viewer.packets}) < 3 or len(viewer.reports) < 3:
                await viewer.take()
        for channel in (0, 2, 4):
            own = [packet for packet in viewer.packets if packet.channel == channel]
            assert (own[0].sequence, own[0].timestamp) == starts[channel]
            assert all(b.sequence == (a.sequence + 1) & 0xFFFF for a, b in pairwise(own))
        audio = [packet for packet in viewer.packets if packet.channel == 2]
        assert all((b.timestamp - a.timestamp) & 0xFFFFFFFF == 160 for a, b in pairwise(audio))
        tracks = camera.stats()["sessions"][0]["tracks"]
        assert set(tracks) == {"video", "audio", "metadata"}
        assert tracks["audio"]["units"] == tracks["audio"]["last_unit"] - tracks["audio"]["first_unit"] + 1
        await camera.stall()
        heard = camera.stats()["sessions"][0]["tracks"]["audio"]["units"]
        captured = camera.stats()["captured"]
        await wait_until(lambda: camera.stats()["captured"] > captured + 10, "the camera films on")
        assert camera.stats()["sessions"][0]["tracks"]["audio"]["units"] == heard
        await viewer.close()


async def test_slots_are_few_and_come_back() -> None:
    async with one_camera(slots=2) as camera:
        first, second, third = [await Viewer(camera.rtsp_url).connect() for _ in range(3)]
        assert [(await one.setup()).status for one in (first, second, third)] == [200, 200, 453]
        assert (camera.stats()["slots_taken"], camera.stats()["slots_refused"]) == (2, 1)
        assert (await first.ask("TEARDOWN")).status == 200
        assert (await third.setup()).status == 200
        await second.close()
        await wait_until(lambda: camera.stats()["slots_taken"] == 1, "a closed connection gives its slot back")
        await first.close()
        await third.close()


async def test_sticky_slots_come_back_only_by_teardown_or_timeout() -> None:
    async with one_camera(slots=1, session_timeout=2, quirks=("sticky-slots",)) as camera:
        polite = await Viewer(camera.rtsp_url).connect()
        await polite.setup()
        await polite.ask("TEARDOWN")
        rude = await Viewer(camera.rtsp_url).connect()
        assert (await rude.setup()).status == 200
        await rude.close()
        await wait_until(lambda: camera.stats()["sessions_open"] == 0, "it is gone")
        other = await Viewer(camera.rtsp_url).connect()
        assert (await other.setup()).status == 453
        await wait_until(lambda: camera.stats()["slots_taken"] == 0, "its slot comes back")
        assert (await other.setup()).status == 200
        for one in (polite, other):
            await one.close()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_spread_packets_keep_their_order_and_take_their_time(transport: str) -> None:
    # 10 frames per second of some 25 packets each: a frame takes most of 100 ms.
    options = {"pacing": "spread", "fps": 10, "bitrate": "3M", "size": "320x240", "transport": transport}
    async with one_camera(**options) as camera:
        viewer = await Viewer(camera.rtsp_url).connect()
        loop = asyncio.get_running_loop()
        arrivals: list[tuple[float, int, int]] = []
        if transport == "udp":
            async with udp_client(viewer) as udp:
                await viewer.ask("PLAY")
                while len(udp.media.heard) < 200:
                    seen = len(udp.media.heard)
                    await wait_until(lambda seen=seen: len(udp.media.heard) > seen, "packets")  # type: ignore[misc]
                    arrivals += [(loop.time(), *struct.unpack(">HI", one[2:8])) for one in udp.media.heard[seen:]]
        else:
            await viewer.setup()
            await viewer.ask("PLAY")
            while len(viewer.packets) < 200:
                await viewer.take()
                if viewer.packets:
                    arrivals.append((loop.time(), viewer.packets[-1].sequence, viewer.packets[-1].timestamp))
        await viewer.close()
    assert all((b[1] - a[1]) & 0xFFFF <= 1 for a, b in pairwise(arrivals))
    frames: dict[int, list[float]] = {}
    for at, _, timestamp in arrivals:
        frames.setdefault(timestamp, []).append(at)
    durations = sorted(times[-1] - times[0] for times in frames.values() if len(times) > 15)
    assert durations[len(durations) // 2] > 0.05
    assert all(len(times) > 0 for times in frames.values())


def answer_sha256(viewer: Viewer, challenge: str, method: str) -> str:
    told = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge))

    def digest(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    first, second = digest(f"admin:{told['realm']}:{viewer.password}"), digest(f"{method}:{viewer.url}")
    response = digest(f"{first}:{told['nonce']}:00000001:abcd:auth:{second}")
    return (
        f'Digest username="admin", realm="{told["realm"]}", nonce="{told["nonce"]}", uri="{viewer.url}", qop=auth,'
        f' nc=00000001, cnonce="abcd", algorithm=SHA-256, response="{response}"'
    )


async def describe_with(viewer: Viewer, authorization: str) -> int:
    return (await viewer.ask("DESCRIBE", auth=False, Authorization=authorization)).status


@pytest.mark.parametrize("auth", ["digest-sha256", "basic", "any"])
async def test_other_logins(auth: str) -> None:
    async with one_camera(auth=auth) as camera:
        good, wrong = Viewer(camera.rtsp_url), Viewer(camera.rtsp_url, password="wrong")
        for viewer in (good, wrong):
            await viewer.connect()
            viewer.writer.write(f"DESCRIBE {viewer.url} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
            head = (await viewer.reader.readuntil(b"\r\n\r\n")).decode()
            challenges = re.findall(r"WWW-Authenticate: (.*)\r\n", head)
            assert [one.split()[0] for one in challenges] == {
                "digest-sha256": ["Digest"],
                "basic": ["Basic"],
                "any": ["Digest", "Digest", "Basic"],
            }[auth]
            basic = "Basic " + base64.b64encode(f"admin:{viewer.password}".encode()).decode()
            right = 200 if viewer is good else 401
            assert await describe_with(viewer, basic) == (401 if auth == "digest-sha256" else right)
            if auth != "basic":
                assert "algorithm=SHA-256" in challenges[0]
                signed = answer_sha256(viewer, challenges[0], "DESCRIBE")
                assert await describe_with(viewer, signed) == right
                viewer.challenge = dict(re.findall(r'(\w+)="?([^",]+)"?', challenges[0]))
                with_md5 = viewer.sign("DESCRIBE", viewer.url)
                assert await describe_with(viewer, with_md5) == (401 if auth == "digest-sha256" else right)
                as_md5 = signed.replace("SHA-256", "MD5")
                assert await describe_with(viewer, as_md5) == 401
            await viewer.close()


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"audio": "mp3"}, "audio = mp3"),
        ({"transport": "sctp"}, "transport = sctp"),
        ({"pacing": "slow"}, "pacing = slow"),
        ({"quirks": ("polite",)}, "quirk = polite"),
        ({"slots": 0}, "slots = 0"),
        ({"long_gop": 0}, "long-gop = 0"),
        ({"codec": "mjpeg", "quirks": ("giant-nal",)}, "giant-nal"),
    ],
)
def test_impossible_fleets_are_refused_by_name(asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        FleetOptions(**asked)


def test_a_long_gop_in_seconds() -> None:
    assert FleetOptions(long_gop=8, fps=25).film.gop == 200


async def test_the_command_takes_every_option() -> None:
    words = "--codec h265 --bframes 1 --long-gop 0.4 --audio aac --metadata --transport both --tls --slots 3"
    words += " --pacing spread --quirk padding --quirk no-marker --auth digest-sha256 --cameras 1 --no-onvif"
    words += f" --size 160x90 --bitrate 200k --subnet {fresh_subnet()}"
    fleet = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulators", "fleet", *words.split()), stdout=asyncio.subprocess.PIPE
    )
    assert fleet.stdout is not None
    async with asyncio.timeout(30):
        ready = json.loads(await fleet.stdout.readline())
        (card,) = ready["cameras"]
        assert card["rtsps"].startswith("rtsps://")
        assert ready["ca"] == card["ca"]
        assert Path(ready["ca"]).exists()
        stats = await asyncio.to_thread(ask, ready["control"], {"do": "stats"})
        assert stats["cameras"][0]["faults"] == ["quirk no-marker", "quirk padding"]
        for fault, value in (("reorder", "5"), ("quirk", "garbage"), ("params-change", None), ("unquirk", "padding")):
            order = {"do": "fault", "camera": "cam-1", "fault": fault, "value": value}
            told = await asyncio.to_thread(ask, ready["control"], order)
        assert told["faults"] == ["reordering 5 %", "quirk garbage", "quirk no-marker"]
        fleet.send_signal(signal.SIGTERM)
        assert await fleet.wait() == 0
    assert not Path(ready["ca"]).exists()


async def test_ports_are_given_back() -> None:
    async with one_camera(transport="udp") as camera:
        viewer = await Viewer(camera.rtsp_url).connect()
        async with udp_client(viewer) as udp:
            port = udp.server[0]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken, pytest.raises(OSError, match="in use"):
                taken.bind((camera.address, port))
            await viewer.ask("TEARDOWN")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
                free.bind((camera.address, port))
        await viewer.close()
