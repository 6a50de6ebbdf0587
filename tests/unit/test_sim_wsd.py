"""WS-Discovery of the simulated cameras on real sockets: multicast on loopback and on a veth pair, and unicast."""

import asyncio
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from simulators.fleet import Fleet
from simulators.wsd import GROUP, PORT, MulticastEar, Probe, matches, read_probe
from tests.sim_viewer import SMALL, fresh_subnet

NVT = "dn:NetworkVideoTransmitter"


def probe(types: str = NVT, scopes: str = "") -> tuple[str, bytes]:
    message_id = f"uuid:{uuid4()}"
    return message_id, (
        '<?xml version="1.0"?><e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"'
        ' xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
        ' xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"'
        ' xmlns:dn="http://www.onvif.org/ver10/network/wsdl" xmlns:tds="http://www.onvif.org/ver10/device/wsdl">'
        f"<e:Header><w:MessageID>{message_id}</w:MessageID>"
        '<w:To e:mustUnderstand="true">urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>'
        "<w:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>"
        f"<e:Body><d:Probe><d:Types>{types}</d:Types>{scopes}</d:Probe></e:Body></e:Envelope>"
    ).encode()


class Box(asyncio.DatagramProtocol):
    """Keeps what arrives and lets a test wait for it."""

    def __init__(self) -> None:
        self.arrived: list[tuple[str, str]] = []
        self.news = asyncio.Event()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.arrived.append((data.decode(), addr[0]))
        self.news.set()

    async def wait_for(self, enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not enough():
                self.news.clear()
                await self.news.wait()

    def references(self) -> set[str]:
        return {found[1] for text, _ in self.arrived if (found := re.search(r"<a:Address>(urn:uuid:[^<]+)<", text))}


async def open_seeker() -> tuple[asyncio.DatagramTransport, Box]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    interface = struct.pack("=4s4si", b"\0" * 4, b"\0" * 4, socket.if_nametoindex("lo"))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
    sock.bind(("0.0.0.0", 0))
    return await asyncio.get_running_loop().create_datagram_endpoint(Box, sock=sock)


def references(*fleets: Fleet) -> set[str]:
    return {camera.identity.endpoint_reference for fleet in fleets for camera in fleet.cameras}


async def test_every_camera_of_every_fleet_answers_a_multicast_probe() -> None:
    async with (
        Fleet(cameras=3, subnet=fresh_subnet(), **SMALL) as one,
        Fleet(cameras=2, subnet=fresh_subnet(), **SMALL) as two,
    ):
        transport, box = await open_seeker()
        message_id, datagram = probe(f"{NVT} tds:Device")
        transport.sendto(datagram, (GROUP, PORT))
        wanted = references(one, two)
        await box.wait_for(lambda: box.references() >= wanted)
        ours = [(text, sender) for text, sender in box.arrived if any(each in text for each in wanted)]
        assert len(ours) == 5
        for fleet in (one, two):
            for camera in fleet.cameras:
                (text,) = (t for t, sender in ours if sender == camera.address)
                assert f"<a:RelatesTo>{message_id}</a:RelatesTo>" in text
                assert f"<d:XAddrs>{camera.onvif_url}</d:XAddrs>" in text
                assert camera.identity.endpoint_reference in text
                assert f"onvif://www.onvif.org/name/{camera.name}" in text
        transport.close()


async def test_unicast_reaches_one_camera_and_an_unplugged_one_is_silent() -> None:
    async with Fleet(cameras=2, subnet=fresh_subnet(), multicast=False, **SMALL) as fleet:
        first, second = fleet.cameras
        transport, box = await open_seeker()
        transport.sendto(probe()[1], (first.address, PORT))
        await box.wait_for(lambda: len(box.arrived) == 1)
        assert box.references() == {first.identity.endpoint_reference}
        await first.unplug()
        transport.sendto(probe()[1], (first.address, PORT))
        transport.sendto(probe()[1], (second.address, PORT))
        await box.wait_for(lambda: second.identity.endpoint_reference in box.references())
        assert len(box.arrived) == 2
        transport.close()


async def test_hello_on_coming_and_moving_bye_on_leaving() -> None:
    transport, box = await asyncio.get_running_loop().create_datagram_endpoint(Box, sock=MulticastEar.open_socket("lo"))

    def said(what: str, *parts: str) -> Callable[[], bool]:
        return lambda: any(f"<d:{what}>" in text and all(p in text for p in parts) for text, _ in box.arrived)

    async with Fleet(cameras=1, subnet=fresh_subnet(), **SMALL) as fleet:
        (camera,) = fleet.cameras
        reference = camera.identity.endpoint_reference
        await box.wait_for(said("Hello", reference, str(camera.onvif_url)))
        await camera.move()
        await box.wait_for(said("Hello", reference, str(camera.onvif_url)))
        assert not said("Bye", reference)()
    await box.wait_for(said("Bye", reference))
    transport.close()


SCOPES = ("onvif://www.onvif.org/Profile/T", "onvif://www.onvif.org/name/cam-1")
RFC3986 = "http://schemas.xmlsoap.org/ws/2005/04/discovery/rfc3986"
STRCMP0 = "http://schemas.xmlsoap.org/ws/2005/04/discovery/strcmp0"
DN = "http://www.onvif.org/ver10/network/wsdl"


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        (Probe("m", frozenset(), (), RFC3986), True),
        (Probe("m", frozenset({(DN, "NetworkVideoTransmitter")}), (), RFC3986), True),
        (Probe("m", frozenset({(DN, "NetworkVideoDisplay")}), (), RFC3986), False),
        (Probe("m", frozenset({("http://other.example", "NetworkVideoTransmitter")}), (), RFC3986), False),
        (Probe("", frozenset(), (), RFC3986), False),
        (Probe("m", frozenset(), ("onvif://www.onvif.org/Profile",), RFC3986), True),
        (Probe("m", frozenset(), ("ONVIF://WWW.onvif.org/Profile/T/",), RFC3986), True),
        (Probe("m", frozenset(), ("onvif://www.onvif.org/Prof",), RFC3986), False),
        (Probe("m", frozenset(), ("onvif://www.onvif.org/Profile",), STRCMP0), False),
        (Probe("m", frozenset(), SCOPES, STRCMP0), True),
        (Probe("m", frozenset(), (), "urn:some-other-rule"), False),
    ],
)
def test_who_is_meant_by_a_probe(asked: Probe, meant: bool) -> None:
    assert matches(asked, SCOPES) is meant


def test_probes_are_read_by_namespace_and_noise_is_not() -> None:
    message_id, datagram = probe(scopes="<d:Scopes>onvif://www.onvif.org/Profile/T</d:Scopes>")
    assert read_probe(datagram) == Probe(
        message_id, frozenset({(DN, "NetworkVideoTransmitter")}), ("onvif://www.onvif.org/Profile/T",), RFC3986
    )
    for noise in (
        b"",
        b"\xff\x00",
        b"<a/>",
        datagram[:-5],
        b"<!DOCTYPE x>" + datagram,
        datagram.replace(b"d:Probe>", b"d:Bye>"),
    ):
        assert read_probe(noise) is None


# A process in the seeker's network namespace: multicasts one probe out of its end of the veth pair.
SEEKER = """
import socket, struct, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(5)
request = struct.pack("=4s4si", b"\\0" * 4, b"\\0" * 4, socket.if_nametoindex("seek0"))
sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
sock.bind(("10.123.45.200", 0))
sock.sendto(sys.stdin.buffer.read(), ("239.255.255.250", 3702))
senders = {sock.recvfrom(65535)[1][0] for _ in range(2)}
print(*sorted(senders))
"""


@pytest.fixture
def two_namespaces() -> Iterator[tuple[str, str]]:
    """Two network namespaces joined by a veth pair, as a recorder and its cameras are."""
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2 for network namespaces")
    cameras, seeker = f"simcam{os.getpid()}", f"simseek{os.getpid()}"
    made: list[str] = []
    try:
        for name in (cameras, seeker):
            added = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
            if added.returncode:
                pytest.skip(f"cannot make a network namespace here: {added.stderr.strip()}")
            made.append(name)
        steps = [
            f"ip -n {cameras} link add cam0 type veth peer name seek0 netns {seeker}",
            f"ip -n {cameras} addr add 10.123.45.1/24 dev cam0",
            f"ip -n {cameras} addr add 10.123.45.2/24 dev cam0",
            f"ip -n {seeker} addr add 10.123.45.200/24 dev seek0",
            f"ip -n {cameras} link set cam0 up",
            f"ip -n {seeker} link set seek0 up",
        ]
        for step in steps:
            subprocess.run(step.split(), check=True)
        yield cameras, seeker
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=True)


async def test_multicast_discovery_across_a_veth_pair(two_namespaces: tuple[str, str]) -> None:
    cameras, seeker = two_namespaces
    small = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    fleet = await asyncio.create_subprocess_exec(
        *("ip", "netns", "exec", cameras, sys.executable, "-m", "simulators", "fleet", "--cameras", "2"),
        *("--subnet", "10.123.45", "--interface", "cam0", "--control", f"/tmp/{cameras}.sock", *small),
        stdout=asyncio.subprocess.PIPE,
    )
    assert fleet.stdout is not None
    try:
        async with asyncio.timeout(15):
            assert json.loads(await fleet.stdout.readline())["ready"]
            seeking = await asyncio.create_subprocess_exec(
                *("ip", "netns", "exec", seeker, sys.executable, "-c", SEEKER),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await seeking.communicate(probe()[1])
            assert out.decode().split() == ["10.123.45.1", "10.123.45.2"]
    finally:
        fleet.terminate()
        assert await fleet.wait() == 0
