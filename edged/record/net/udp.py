"""The UDP side of a session: a pair of ports for each track, drained on the tick.

Datagrams are read one behind another into the scratch buffer, each behind the head that RTSP's interleaved frames
have. So what arrives in order, nearly everything, is handed on in one piece to the very reader that TCP uses.
"""

import contextlib
import errno
import socket
import struct
from collections.abc import Callable

from edged.base.clock import SECOND
from edged.record.errors import Unreachable
from edged.record.net.rtcp import Reception
from edged.record.net.rtp import CLOCK
from edged.record.net.rtsp import Lane
from edged.record.net.udp_order import Held, Window

RECEIVE_BUFFER = 2 * 1024 * 1024  # the kernel counts a packet of 1400 bytes as 2304, so 1 MiB would hold half of it
REPORT_US = 5 * SECOND  # RFC 3550, 6.2: no more often
DATAGRAM = 65_536  # more than any is long
DATAGRAMS = 3000  # read of one track on one tick, so that a flood from one camera does not starve the others
_REPORTS = 50  # likewise of RTCP
_PAIR_TRIES = 100
_FIRST_PORT = 1024
_TIMESTAMP = 35  # SO_TIMESTAMPNS and its message, which Python has no names for
_TIMESPEC = struct.Struct("@qq")
_FRAME = struct.Struct(">BBH")
_PACKET = struct.Struct(">BBHII")
_DOLLAR = 0x24

Feed = Callable[[memoryview, int, int, int, int], int]  # the interleaved reader's


class PortPair:
    """Two neighbouring ports of `host`, an address of this machine; RTP's is even (RFC 3550, 11)."""

    def __init__(self, family: int, host: str, *, scope: int = 0) -> None:
        """Raises Unreachable where the system has no two such ports left."""
        for _ in range(_PAIR_TRIES):
            with contextlib.ExitStack() as stack:
                first = stack.enter_context(_bind(family, host, 0, scope))
                port = first.getsockname()[1]
                if port ^ 1 < _FIRST_PORT:
                    continue
                try:
                    second = stack.enter_context(_bind(family, host, port ^ 1, scope))
                except OSError as error:
                    if error.errno in (errno.EADDRINUSE, errno.EACCES):
                        continue
                    raise
                stack.pop_all()
                self.rtp, self.rtcp = (first, second) if port % 2 == 0 else (second, first)
                self.ports = port & ~1, port | 1
                return
        raise Unreachable("no two neighbouring UDP ports are free", hint="check what else runs on this machine")

    def close(self) -> None:
        """Give the ports back."""
        self.rtp.close()
        self.rtcp.close()


class UdpLane:
    """One track of a session that plays over UDP: what its ports receive goes to `feed`, put in order.

    Only what comes from `peer`, the camera's address, counts: of its ports any, since several makers announce others
    than they use. `own` and `name` are this receiver's SSRC and CNAME, `rate` is the track's clock rate in Hz.
    """

    def __init__(
        self,
        pair: PortPair,
        lane: Lane,
        peer: str,
        feed: Feed,
        now_mono_us: int,
        *,
        own: int,
        name: str,
        rate: int = CLOCK,
    ) -> None:
        self._rtp, self._rtcp = pair.rtp, pair.rtcp
        self._lane = lane
        self._peer = peer
        self._feed = feed
        self._rate = rate
        self._next_report_us = now_mono_us + REPORT_US // 2
        self._report_to: tuple[str | int, ...] | None = None
        if lane.camera_ports is not None:
            self._report_to = _at_port(self._rtcp, peer, lane.camera_ports[1])
        self.window = Window()
        self.reception = Reception(own, name)
        self._began = 0  # of the window's restarts
        self._timestamp: int | None = None
        self.strangers = 0  # datagrams from elsewhere

    def drain(self, scratch: memoryview, now_us: int, now_mono_us: int) -> int:
        """Take what has arrived, and report to the camera when it is due; returns the bytes. Raises as `feed` does."""
        taken = self._drain_rtp(scratch, now_us, now_mono_us)
        self._drain_rtcp(scratch, now_us, now_mono_us)
        if self.window.waiting:
            self._hand_on(self.window.expire(now_mono_us))
        if now_mono_us >= self._next_report_us:
            self._next_report_us = now_mono_us + REPORT_US
            self._say(self.reception.report(now_mono_us))
        return taken

    def flush(self) -> None:
        """The session is over: wait for nothing more. Raises as `feed` does."""
        self._hand_on(self.window.flush())

    def _drain_rtp(self, scratch: memoryview, now_us: int, now_mono_us: int) -> int:
        receive, channel, peer, window = self._rtp.recvmsg_into, self._lane.rtp_channel, self._peer, self.window
        limit = len(scratch) - DATAGRAM - 4
        begun = at = taken = in_order = 0
        for _ in range(DATAGRAMS):
            if at > limit:
                self._run(scratch, begun, at, in_order, now_us, now_mono_us)
                begun = at = in_order = 0
            try:
                count, ancillary, _, sender = receive((scratch[at + 4 : at + 4 + DATAGRAM],), 64)
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error of an earlier report: says nothing about what arrives
            if sender[0] != peer:
                self.strangers += 1
                continue
            if count < 12 or count > 0xFFFF or scratch[at + 4] >> 6 != 2:
                window.useless += 1
                continue
            taken += count
            _FRAME.pack_into(scratch, at, _DOLLAR, channel, count)
            _, _, number, timestamp, source = _PACKET.unpack_from(scratch, at + 4)
            if timestamp != self._timestamp:
                self._timestamp = timestamp
                self.reception.arrived(timestamp, _arrival_us(ancillary, now_us) * self._rate // SECOND)
            stop = at + 4 + count
            if number == window.expected and source == window.source and not window.waiting:
                window.expected = (number + 1) & 0xFFFF
                in_order += 1
                at = stop
                continue
            packet = Held(bytes(scratch[at:stop]), now_us, now_mono_us)
            self._run(scratch, begun, at, in_order, now_us, now_mono_us)
            begun = at = in_order = 0
            self._hand_on(window.place(source, number, packet))
        self._run(scratch, begun, at, in_order, now_us, now_mono_us)
        return taken

    def _run(self, data: memoryview, start: int, stop: int, packets: int, wall_us: int, mono_us: int) -> None:
        """Hand on packets that came in order."""
        if packets:
            # `expected` has not moved since the last of them.
            self.reception.count(packets, (self.window.expected - 1) & 0xFFFF)
            self._feed(data, start, stop, wall_us, mono_us)

    def _hand_on(self, ready: list[Held]) -> None:
        """Hand on packets that waited."""
        window = self.window
        for packet in ready:
            _, _, number, _, source = _PACKET.unpack_from(packet.data, 4)
            if window.restarts != self._began and source == window.source:
                self._began = window.restarts
                self.reception.begin(source, number)
            self.reception.count(1, number)
            self._feed(memoryview(packet.data), 0, len(packet.data), packet.wall_us, packet.mono_us)

    def _drain_rtcp(self, scratch: memoryview, now_us: int, now_mono_us: int) -> None:
        for _ in range(_REPORTS):
            try:
                count, sender = self._rtcp.recvfrom_into(scratch[4 : 4 + DATAGRAM])
            except BlockingIOError:
                break
            except OSError:
                continue
            if sender[0] != self._peer:
                self.strangers += 1
                continue
            if count > 0xFFFF:
                continue
            self._report_to = sender
            self.reception.take_report(scratch[4 : 4 + count], now_mono_us)
            _FRAME.pack_into(scratch, 0, _DOLLAR, self._lane.rtcp_channel, count)
            self._feed(scratch, 0, 4 + count, now_us, now_mono_us)

    def _say(self, packet: bytes) -> None:
        if self._report_to is not None:
            with contextlib.suppress(OSError):  # the next one is as good
                self._rtcp.sendto(packet, self._report_to)


def _bind(family: int, host: str, port: int, scope: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        sock.setblocking(False)
        try:
            # 33 is SO_RCVBUFFORCE: past net.core.rmem_max, where the process may.
            sock.setsockopt(socket.SOL_SOCKET, 33, RECEIVE_BUFFER)
        except OSError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, _TIMESTAMP, 1)
        sock.bind((host, port, 0, scope) if family == socket.AF_INET6 else (host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _at_port(sock: socket.socket, host: str, port: int) -> tuple[str | int, ...]:
    if sock.family == socket.AF_INET6:
        return host.partition("%")[0], port, 0, sock.getsockname()[3]
    return host, port


def _arrival_us(ancillary: list[tuple[int, int, bytes]], now_us: int) -> int:
    """When the kernel received the packet: the tick would add its own 100 ms to the jitter that is reported."""
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == _TIMESTAMP and len(value) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(value)
            return int(seconds) * SECOND + int(nanoseconds) // 1000
    return now_us
