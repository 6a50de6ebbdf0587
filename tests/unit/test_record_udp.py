"""UDP put in order, and what the camera is told about its reception: pure parts and real sockets on loopback."""

import random
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.record.buffers import Shelf
from edged.record.errors import Stalled
from edged.record.net.connection import Connection
from edged.record.net.rtcp import Reception
from edged.record.net.rtsp import Lane, Playing, RtspClient
from edged.record.net.sdp import find_video
from edged.record.net.udp import REPORT_US, PortPair, UdpLane
from edged.record.net.udp_order import WINDOW_BYTES, WINDOW_PACKETS, WINDOW_US, Held, Window
from edged.record.session import Counters, Session
from tests.deep import examples
from tests.record_film import Recording, film

SECOND = 1_000_000
HOST = "127.0.0.1"


def held(number: int, at_us: int = 0, size: int = 4) -> Held:
    return Held(number.to_bytes(2, "big") + bytes(size - 2), at_us, at_us)


def numbers(packets: list[Held]) -> list[int]:
    return [int.from_bytes(packet.data[:2], "big") for packet in packets]


@settings(max_examples=examples(200))
@given(st.integers(0, 0xFFFF), st.integers(5, 300), st.integers(0, 2**32))
def test_what_is_dropped_doubled_and_shuffled_comes_out_in_order_and_once(first: int, count: int, seed: int) -> None:
    draw = random.Random(seed)
    sent = [(first + index) & 0xFFFF for index in range(count)]
    dropped = {index for index in range(1, count - 1) if draw.random() < 0.1}
    arrivals: list[tuple[float, int]] = [(0.0, sent[0])]
    for index in range(1, count):
        copies = 0 if index in dropped else draw.choice((1, 1, 1, 2))
        arrivals += [(index + draw.uniform(0, 20), sent[index]) for _ in range(copies)]
    window = Window()
    out: list[int] = []
    for at, number in sorted(arrivals):
        out += numbers(window.place(7, number, held(number, round(at * 1000))))
        out += numbers(window.expire(round(at * 1000)))
    out += numbers(window.flush())
    assert out == [number for index, number in enumerate(sent) if index not in dropped]
    assert window.useless == len(arrivals) - len(out)


def test_a_gap_is_waited_for_as_long_as_the_window_and_no_longer() -> None:
    window = Window()
    assert numbers(window.place(7, 10, held(10))) == [10]
    assert window.place(7, 12, held(12, 1000)) == []
    assert window.expire(1000 + WINDOW_US - 1) == []
    assert numbers(window.expire(1000 + WINDOW_US)) == [12]
    assert window.place(7, 11, held(11, 1000 + WINDOW_US)) == [], "what comes after that is too late"
    assert window.useless == 1
    assert numbers(window.place(7, 13, held(13))) == [13]


def test_times_of_arrival_never_go_back() -> None:
    window = Window()
    window.place(7, 10, held(10, 100))
    window.place(7, 13, held(13, 200))
    window.place(7, 12, held(12, 300))
    ready = window.place(7, 11, held(11, 400))
    assert numbers(ready) == [11, 12, 13]
    assert [packet.mono_us for packet in ready] == [200, 200, 200]


@pytest.mark.parametrize("size", [100, 60_000])
def test_what_waits_is_bounded(size: int) -> None:
    window = Window()
    window.place(7, 0, held(0))
    most = 0
    for number in range(2, 2000, 2):
        window.place(7, number, held(number, 0, size))
        waiting = list(window.waiting.values())
        assert len(waiting) <= WINDOW_PACKETS
        assert sum(len(packet.data) for packet in waiting) <= WINDOW_BYTES
        most = max(most, len(waiting))
    assert most > 10, "it does wait"


def test_one_stray_packet_is_left_out_and_two_are_a_camera_that_began_anew() -> None:
    window = Window()
    window.place(7, 10, held(10))
    assert window.place(7, 40_000, held(40_000)) == []
    assert numbers(window.place(7, 11, held(11))) == [11], "the stray one changed nothing"
    assert window.place(9, 500, held(500)) == []
    assert numbers(window.place(7, 12, held(12))) == [12]
    assert numbers(window.place(9, 501, held(501))) == [500, 501], "nothing of the new source is lost"
    assert (window.source, window.expected) == (9, 502)


def sender_report(ntp_seconds: int, fraction: int) -> memoryview:
    return memoryview(struct.pack(">BBHIIIIII", 0x80, 200, 6, 0xABCD, ntp_seconds, fraction, 0, 0, 0))


def block(report: bytes) -> tuple[int, int, int, int, int, int, int]:
    """(source, fraction, lost, highest, jitter, last report, delay)."""
    assert report[0] == 0x81
    assert report[1] == 201
    assert report[2:4] == b"\0\7"
    source, loss, *rest = struct.unpack(">IIIIII", report[8:32])
    return (source, loss >> 24, loss & 0xFFFFFF, rest[0], rest[1], rest[2], rest[3])


def test_a_receiver_report_counts_as_rfc_3550_says() -> None:
    reception = Reception(0x11223344, "ab12")
    reception.begin(0xABCD, 65_530)
    reception.count(6, 65_535)
    reception.count(14, 17)  # four are missing behind the wrap: 0 to 3
    reception.take_report(sender_report(0x0001_1234, 0x5678_0000), 3 * SECOND)
    report = reception.report(5 * SECOND)
    assert report[4:8] == b"\x11\x22\x33\x44"
    assert block(report) == (0xABCD, 4 * 256 // 24, 4, 0x10000 + 17, 0, 0x1234_5678, 2 * 65536)
    description = report[32:]
    assert description[1] == 202
    assert len(description) == 4 + 4 * int.from_bytes(description[2:4], "big")
    assert description[8:14] == b"\1\4ab12"
    reception.count(10, 27)
    assert block(reception.report(6 * SECOND))[1:4] == (0, 4, 0x10000 + 27), "nothing was lost since the last report"


def test_jitter_is_the_mean_change_of_the_way_taken() -> None:
    reception = Reception(1, "x")
    reception.begin(2, 0)
    reception.count(1, 0)
    for picture in range(400):
        late = 900 if picture % 2 else 0  # ten milliseconds, every other one
        reception.arrived((0xFFFF_0000 + picture * 3600) & 0xFFFF_FFFF, picture * 3600 + late)
    assert block(reception.report(0))[4] == pytest.approx(900, abs=2)


def test_a_report_before_anything_was_received_has_no_block() -> None:
    report = Reception(1, "x").report(0)
    assert report[:4] == b"\x80\xc9\0\1"
    assert report[9] == 202


@given(st.binary(max_size=80))
def test_any_bytes_are_a_camera_report_or_passed_over(noise: bytes) -> None:
    reception = Reception(1, "x")
    reception.take_report(memoryview(noise), 0)
    reception.take_report(memoryview(b"\x80\xc8" + noise), 0)
    assert reception.report(1)


class Rig:
    """A lane on real sockets, and the camera's own."""

    def __init__(self) -> None:
        self.pair = PortPair(socket.AF_INET, HOST)
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for sock, host in ((self.rtp, HOST), (self.rtcp, HOST), (self.stranger, "127.0.0.2")):
            sock.bind((host, 0))
            sock.settimeout(5)
        ports = self.rtp.getsockname()[1], self.rtcp.getsockname()[1]
        lane = Lane(0, 1, self.pair.ports, ports)
        self.lane = UdpLane(self.pair, lane, HOST, self.feed, 0, own=5, name="test")
        self.scratch = memoryview(bytearray(1 << 20))
        self.fed: list[tuple[bytes, int]] = []

    def feed(self, data: memoryview, start: int, stop: int, wall_us: int, mono_us: int) -> int:
        while start < stop:
            size = 4 + int.from_bytes(data[start + 2 : start + 4], "big")
            self.fed.append((bytes(data[start : start + size]), mono_us))
            start += size
        assert start == stop
        return stop

    def packet(self, number: int, payload: bytes = b"payload", source: int = 3) -> bytes:
        return struct.pack(">BBHII", 0x80, 96, number, 1000, source) + payload

    def send(self, *order: int) -> None:
        for number in order:
            self.rtp.sendto(self.packet(number), (HOST, self.pair.ports[0]))

    def numbers(self) -> list[int]:
        return [int.from_bytes(frame[6:8], "big") for frame, _ in self.fed if frame[1] == 0]

    def close(self) -> None:
        self.pair.close()
        for sock in (self.rtp, self.rtcp, self.stranger):
            sock.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


def test_a_lane_hands_on_what_arrives_in_order_and_framed(rig: Rig) -> None:
    rig.send(1, 2, 3, 5, 4, 4, 6, 9)
    taken = rig.lane.drain(rig.scratch, 10, 10)
    assert rig.numbers() == [1, 2, 3, 4, 5, 6]
    assert taken == 8 * 19
    assert rig.fed[0][0] == b"$\0\0\x13" + rig.packet(1)
    rig.lane.drain(rig.scratch, 10 + WINDOW_US, 10 + WINDOW_US)
    assert rig.numbers() == [1, 2, 3, 4, 5, 6, 9]


def test_only_the_camera_is_listened_to(rig: Rig) -> None:
    rig.send(1)
    rig.stranger.sendto(rig.packet(2, b"forged"), (HOST, rig.pair.ports[0]))
    rig.stranger.sendto(bytes(sender_report(1, 1)), (HOST, rig.pair.ports[1]))
    rig.rtp.sendto(b"\0\1no rtp at all", (HOST, rig.pair.ports[0]))
    rig.rtp.sendto(b"", (HOST, rig.pair.ports[0]))
    rig.send(2)
    rig.lane.drain(rig.scratch, 10, 10)
    assert [frame[16:] for frame, _ in rig.fed] == [b"payload", b"payload"]
    assert rig.lane.strangers == 2
    assert rig.lane.window.useless == 2


def test_the_camera_hears_what_was_received(rig: Rig) -> None:
    rig.send(1, 2, 4)
    rig.lane.drain(rig.scratch, 0, 0)
    rig.lane.drain(rig.scratch, WINDOW_US, WINDOW_US)
    rig.rtcp.sendto(bytes(sender_report(0x10, 0)), (HOST, rig.pair.ports[1]))
    rig.lane.drain(rig.scratch, REPORT_US, REPORT_US)
    report = rig.rtcp.recv(2000)
    source, fraction, lost, highest, _, last, delay = block(report)
    assert (source, fraction, lost, highest) == (3, 256 // 4, 1, 4)
    assert (last, delay) == (0x10 << 16, 0)
    assert rig.fed[-1][0][:2] == b"$\1", "the sender report goes on to the session"
    rig.lane.drain(rig.scratch, REPORT_US + 1, REPORT_US + 1)
    rig.rtcp.setblocking(False)
    with pytest.raises(BlockingIOError):
        rig.rtcp.recv(2000)


def test_port_pairs_are_neighbours_the_even_one_first() -> None:
    pairs = [PortPair(socket.AF_INET, HOST) for _ in range(50)]
    for pair in pairs:
        assert pair.ports[0] % 2 == 0
        assert pair.ports[1] == pair.ports[0] + 1
        assert (pair.rtp.getsockname()[1], pair.rtcp.getsockname()[1]) == pair.ports
        pair.close()
    assert len({pair.ports for pair in pairs}) == 50


def test_udp_that_nothing_comes_over_ends_the_session_with_what_to_do() -> None:
    pair = PortPair(socket.AF_INET, HOST)
    near, far = socket.socketpair()
    near.setblocking(False)
    video = find_video(b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n")
    client = RtspClient("rtsp://camera.invalid/", "", "", lambda: "x")
    playing = Playing(video, (Lane(0, 1, pair.ports),), 60)
    connection = Connection(near, client, playing, b"", (pair,), HOST)
    segmenter = Recording(film()).segmenter
    session = Session(connection, segmenter, Counters(), lambda: "", Shelf(), 0, lambda quirk: None)
    scratch = memoryview(bytearray(1 << 20))
    session.drain(scratch, SECOND, SECOND)
    with pytest.raises(Stalled, match="set the stream's transport to tcp"):
        session.drain(scratch, 11 * SECOND, 11 * SECOND)
    connection.close()
    far.close()
