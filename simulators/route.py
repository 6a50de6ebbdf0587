"""Where the packets of one track go: interleaved in the RTSP connection, or from UDP ports of the camera's own."""

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

from simulators.packets import Burst

_PAIR_TRIES = 100
_SEND_BUFFER = 4 << 20
_LARGEST_DATAGRAM = 65_536


class Route(Protocol):
    """What a track must know about its way; channels are 0 and 1 where they mean nothing."""

    channel: int
    control_channel: int


class Interleaved:
    """Channels in the RTSP connection (RFC 2326 section 10.12)."""

    def __init__(self, channels: tuple[int, int]) -> None:
        self.channel, self.control_channel = channels


class UdpPair:
    """An even port for RTP and the next one for RTCP (RFC 3550 section 11), to two ports of the client's."""

    def __init__(self, address: str, client: str, client_ports: tuple[int, int]) -> None:
        """Raises OSError where no pair of ports is free at this address."""
        self.channel, self.control_channel = 0, 1
        self._media, self._control = _bind_pair(address)
        self._to = (client, client_ports[0])
        self._control_to = (client, client_ports[1])
        self._reading = False

    @property
    def ports(self) -> tuple[int, int]:
        """The camera's own."""
        return self._media.getsockname()[1], self._control.getsockname()[1]

    def listen(self, heard: Callable[[bytes], None]) -> None:
        """Hand on every RTCP packet that comes from the client's own address."""

        def read() -> None:
            for _ in range(100):
                try:
                    data, sender = self._control.recvfrom(_LARGEST_DATAGRAM)
                except OSError:  # nothing more, or an ICMP error meant for what we sent
                    return
                if sender[0] == self._control_to[0]:
                    heard(data)

        asyncio.get_running_loop().add_reader(self._control, read)
        self._reading = True

    def send(self, burst: Burst) -> int:
        """Send each packet by itself, without its framing; how many the kernel refused."""
        data, refused = memoryview(burst.data), 0
        ends = (*burst.starts[1:], len(data))
        for start, end in zip(burst.starts, ends, strict=True):
            try:
                self._media.sendto(data[start + 4 : end], self._to)
            except OSError:
                refused += 1
        return refused

    def send_control(self, burst: Burst) -> int:
        """Send an RTCP packet."""
        try:
            self._control.sendto(memoryview(burst.data)[4:], self._control_to)
        except OSError:
            return 1
        return 0

    def close(self) -> None:
        """Give the ports back."""
        if self._reading:
            asyncio.get_running_loop().remove_reader(self._control)
            self._reading = False
        self._media.close()
        self._control.close()


def _bind_pair(address: str) -> tuple[socket.socket, socket.socket]:
    for _ in range(_PAIR_TRIES):
        media, control = _udp_socket(), _udp_socket()
        try:
            media.bind((address, 0))
            port = media.getsockname()[1]
            if port % 2 == 0:
                control.bind((address, port + 1))
                return media, control
        except OSError:  # the odd neighbour is taken
            pass
        media.close()
        control.close()
    raise OSError(f"no even pair of UDP ports is free at {address}")


def _udp_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    return sock
