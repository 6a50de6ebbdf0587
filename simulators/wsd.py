"""WS-Discovery (OASIS draft 2005/04, as ONVIF Core 7 wants it): a camera that answers probes, says Hello and Bye.

The upper half decides (messages in, messages out); `MulticastEar` and `Responder` below are the sockets. Two decisions
about sockets: the group's socket is bound to the group's address, so that any number of fleets share the port and each
gets every datagram; and answers leave from the camera's own address, as they would from real hardware.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4
from xml.sax.saxutils import escape

from simulators.onvif import DEVICE, Identity
from simulators.soap import SoapFault, parse, reply, split_tag

GROUP, PORT = "239.255.255.250", 3702
DISCOVERY = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
NETWORK = "http://www.onvif.org/ver10/network/wsdl"
TYPES = frozenset(((NETWORK, "NetworkVideoTransmitter"), (DEVICE, "Device")))
_NAMESPACES = {"a": ADDRESSING, "d": DISCOVERY, "dn": NETWORK, "tds": DEVICE}
_TO_ALL = "urn:schemas-xmlsoap-org:ws:2005:04:discovery"
_ANONYMOUS = ADDRESSING + "/role/anonymous"
_MATCH_STRING = DISCOVERY + "/strcmp0"
_MATCH_RFC3986 = DISCOVERY + "/rfc3986"


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe taken apart; types as (namespace, local name)."""

    message_id: str
    types: frozenset[tuple[str, str]]
    scopes: tuple[str, ...]
    match_by: str


def read_probe(datagram: bytes) -> Probe | None:
    """The probe in a datagram, or None where it is something else: the group also carries Hello, Bye and noise."""
    try:
        envelope = parse(datagram)
    except SoapFault:
        return None
    body, header = envelope.body, envelope.header
    if body is None or header is None or split_tag(body) != (DISCOVERY, "Probe"):
        return None
    message_id = (header.findtext(f"{{{ADDRESSING}}}MessageID") or "").strip()
    types = []
    for qname in (body.findtext(f"{{{DISCOVERY}}}Types") or "").split():
        prefix, _, name = qname.rpartition(":")
        types.append((envelope.prefixes.get(prefix, ""), name))
    scopes = body.find(f"{{{DISCOVERY}}}Scopes")
    return Probe(
        message_id,
        frozenset(types),
        tuple((scopes.text or "").split()) if scopes is not None else (),
        scopes.get("MatchBy", _MATCH_RFC3986) if scopes is not None else _MATCH_RFC3986,
    )


def matches(probe: Probe, scopes: tuple[str, ...]) -> bool:
    """Whether a camera with these scopes is meant: all types and all scopes asked for must be its own."""
    if not probe.message_id or not probe.types <= TYPES:
        return False
    if probe.match_by == _MATCH_STRING:
        return all(wanted in scopes for wanted in probe.scopes)
    if probe.match_by == _MATCH_RFC3986:  # by whole path segments (WS-Discovery section 5.1)
        return all(any(_covers(wanted, ours) for ours in scopes) for wanted in probe.scopes)
    return False


def _covers(wanted: str, ours: str) -> bool:
    wanted_parts, our_parts = wanted.rstrip("/").split("/"), ours.rstrip("/").split("/")
    wanted_parts[:3] = [part.lower() for part in wanted_parts[:3]]
    our_parts[:3] = [part.lower() for part in our_parts[:3]]
    return our_parts[: len(wanted_parts)] == wanted_parts


def _message(action: str, to: str, body: str, relates_to: str | None = None) -> bytes:
    related = f"<a:RelatesTo>{escape(relates_to)}</a:RelatesTo>" if relates_to is not None else ""
    header = (
        f"<a:MessageID>urn:uuid:{uuid4()}</a:MessageID>{related}<a:To>{to}</a:To>"
        f"<a:Action>{DISCOVERY}/{action}</a:Action>"
    )
    return reply(body, _NAMESPACES, header)


def _about(identity: Identity, xaddr: str) -> str:
    return (
        f"<a:EndpointReference><a:Address>{identity.endpoint_reference}</a:Address></a:EndpointReference>"
        "<d:Types>dn:NetworkVideoTransmitter tds:Device</d:Types>"
        f"<d:Scopes>{escape(' '.join(identity.scopes))}</d:Scopes><d:XAddrs>{xaddr}</d:XAddrs>"
        "<d:MetadataVersion>1</d:MetadataVersion>"
    )


def probe_matches(identity: Identity, xaddr: str, relates_to: str) -> bytes:
    """The answer to a probe."""
    body = f"<d:ProbeMatches><d:ProbeMatch>{_about(identity, xaddr)}</d:ProbeMatch></d:ProbeMatches>"
    return _message("ProbeMatches", _ANONYMOUS, body, relates_to)


def hello(identity: Identity, xaddr: str) -> bytes:
    """The announcement of a camera that has come."""
    return _message("Hello", _TO_ALL, f"<d:Hello>{_about(identity, xaddr)}</d:Hello>")


def bye(identity: Identity) -> bytes:
    """The farewell of a camera that leaves in good order."""
    address = f"<a:EndpointReference><a:Address>{identity.endpoint_reference}</a:Address></a:EndpointReference>"
    return _message("Bye", _TO_ALL, f"<d:Bye>{address}</d:Bye>")


class MulticastEar(asyncio.DatagramProtocol):
    """Hears the group on one interface and hands each datagram on with its sender."""

    def __init__(self, heard: Callable[[bytes, Any], None]) -> None:
        self._heard = heard

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._heard(data, addr)

    @staticmethod
    def open_socket(interface: str) -> socket.socket:
        """A socket that has joined the group on this interface. Raises OSError, naming the interface, if it cannot."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            sock.bind((GROUP, PORT))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, _membership(interface))
        except OSError as error:
            sock.close()
            raise OSError(error.errno, f"cannot hear {GROUP}:{PORT} on interface {interface}: {error}") from error
        return sock


class Responder(asyncio.DatagramProtocol):
    """One camera's own discovery socket: takes unicast probes and sends all its messages from its own address."""

    def __init__(self, heard: Callable[[bytes, Any], None]) -> None:
        self._heard = heard
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._heard(data, addr)

    def send(self, message: bytes, to: tuple[str, int]) -> None:
        """Send, unless the camera is off."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(message, to)

    def close(self) -> None:
        """Leave."""
        if self._transport is not None:
            self._transport.close()

    @staticmethod
    def open_socket(address: str, interface: str, *, well_known_port: bool) -> socket.socket:
        """The camera's socket at its own address, on port 3702 where that is wanted and free, else on any."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            # Lets the port be shared with whoever listens on the wildcard address; two cameras never share an address.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _membership(interface))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
            try:
                sock.bind((address, PORT if well_known_port else 0))
            except OSError:
                if not well_known_port:
                    raise
                sock.bind((address, 0))
        except OSError:
            sock.close()
            raise
        return sock


def _membership(interface: str) -> bytes:
    """A struct ip_mreqn: by interface index, because loopback and fresh veth pairs have no multicast route."""
    try:
        index = socket.if_nametoindex(interface)
    except OSError as error:
        raise OSError(error.errno, f"no network interface is called {interface!r}") from error
    return struct.pack("=4s4si", socket.inet_aton(GROUP), socket.inet_aton("0.0.0.0"), index)
