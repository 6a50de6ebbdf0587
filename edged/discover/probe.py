"""Asks the network which ONVIF devices there are: WS-Discovery probes by multicast and unicast (ONVIF Core 7).

The group is never joined: some switches and cameras stop answering after IGMP joins, and answers to a probe come by
unicast anyway. Interfaces are looked up anew at each round, since they come and go.
"""

import asyncio
import logging
import socket
import struct
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edged.base.clock import Clock
from edged.discover.wsd import GROUP, PORT, PROBE_TYPES, Announced, build_probe, plain_id, read_announcement

log = logging.getLogger(__name__)

AGAIN_AFTER = 0.15  # seconds: a datagram may be lost, and devices answer one MessageID once however often it comes
WINDOW = 2.0  # seconds: devices wait up to 500 ms before they answer (APP_MAX_DELAY), slow ones longer
_RECEIVE_BUFFER = 1 << 20  # 256 devices answer two probes, some of them twice, within a few milliseconds
_MOST_ANSWERS = 4096  # more than any site has: a flood must not fill the memory


@dataclass(frozen=True, slots=True)
class Answer:
    """A device that answered one of our probes, and the address its answer came from."""

    source: str = field(repr=False)
    device: Announced


@dataclass(frozen=True, slots=True)
class Probed:
    """One round: the answers, the interfaces and addresses that could not be asked, and where the others led.

    `unusable` names addresses by their place in the configuration; `resolved` has the IPv4 address of each given name
    or address that has one.
    """

    answers: tuple[Answer, ...]
    unusable: tuple[str, ...] = ()
    resolved: Mapping[str, str] = field(default_factory=dict, repr=False)


async def probe(interfaces: Sequence[str], addresses: Sequence[str], clock: Clock, window: float = WINDOW) -> Probed:
    """Probe by multicast on `interfaces` and by unicast at `addresses` (names or IPv4), and collect for `window` s.

    Each device comes once per source address and endpoint reference. An interface that cannot be used does not keep
    the others from being asked: it is named in the result.
    """
    round_ = _Round()
    unusable: list[str] = []
    try:
        for interface in interfaces:
            try:
                await round_.listen(_open_socket(interface), [(GROUP, PORT)])
            except OSError as error:
                unusable.append(f"interface {interface} ({error.strerror or type(error).__name__})")
        resolved = await _resolve(addresses, unusable)
        if resolved:
            await round_.listen(_open_socket(None), [(found, PORT) for found in resolved.values()])
        if round_.listening():
            round_.send()
            await clock.sleep(AGAIN_AFTER)
            round_.send()
            await clock.sleep(max(0.0, window - AGAIN_AFTER))
    finally:
        round_.close()
    return Probed(round_.answers(), tuple(unusable), resolved)


async def _resolve(addresses: Sequence[str], unusable: list[str]) -> dict[str, str]:
    loop = asyncio.get_running_loop()
    resolved = {}
    for place, address in enumerate(addresses):
        try:
            found = await loop.getaddrinfo(address, PORT, family=socket.AF_INET, type=socket.SOCK_DGRAM)
            resolved[address] = str(found[0][4][0])
        except (OSError, UnicodeError) as error:  # the latter for names that no host can have
            why = error.strerror if isinstance(error, OSError) else None
            unusable.append(f"discovery.probe[{place}] ({why or type(error).__name__})")
    return resolved


def _open_socket(interface: str | None) -> socket.socket:
    """A socket whose multicast leaves by `interface`. Raises OSError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        if interface is not None:
            # struct ip_mreqn: by interface index, which needs no route and no address on our side to choose from.
            chosen = struct.pack("=4s4si", bytes(4), bytes(4), socket.if_nametoindex(interface))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, chosen)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        sock.bind(("0.0.0.0", 0))
    except OSError:
        sock.close()
        raise
    return sock


class _Round:
    """The sockets, probes and answers of one round."""

    def __init__(self) -> None:
        ids = [f"urn:uuid:{uuid.uuid4()}" for _ in PROBE_TYPES]
        self._probes = [build_probe(message_id, types) for message_id, types in zip(ids, PROBE_TYPES, strict=True)]
        self._asked = {plain_id(message_id) for message_id in ids}
        self._sockets: list[tuple[asyncio.DatagramTransport, list[tuple[str, int]]]] = []
        self._answers: dict[tuple[str, str], Answer] = {}

    async def listen(self, sock: socket.socket, targets: list[tuple[str, int]]) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Ear(self), sock=sock)
        self._sockets.append((transport, targets))

    def listening(self) -> bool:
        return bool(self._sockets)

    def send(self) -> None:
        for transport, targets in self._sockets:
            for target in targets:
                for datagram in self._probes:
                    transport.sendto(datagram, target)

    def hear(self, datagram: bytes, source: str) -> None:
        announcement = read_announcement(datagram)
        if announcement is None or announcement.kind != "ProbeMatches" or announcement.relates_to not in self._asked:
            return
        for device in announcement.devices:
            key = (plain_id(device.endpoint_reference), source)
            if len(self._answers) < _MOST_ANSWERS or key in self._answers:
                self._answers.setdefault(key, Answer(source, device))

    def answers(self) -> tuple[Answer, ...]:
        return tuple(self._answers[key] for key in sorted(self._answers))

    def close(self) -> None:
        for transport, _ in self._sockets:
            transport.close()


class _Ear(asyncio.DatagramProtocol):
    def __init__(self, round_: _Round) -> None:
        self._round = round_

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._round.hear(data, str(addr[0]))

    def error_received(self, exc: Exception) -> None:
        # A refused or unreachable target shows as an answer that never comes; which one, the kernel does not say.
        log.debug("a probe could not be delivered: %s", type(exc).__name__)
