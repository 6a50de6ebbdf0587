"""WS-Discovery messages (OASIS draft of April 2005, as ONVIF Core 7 uses it). Decides only: no sockets, no clock.

Datagrams come from anybody on the network. Elements are matched by local name and prefixes are never resolved, because
real cameras send undeclared prefixes and broken namespace URIs. A document type is refused, and so is whatever is
larger or deeper than an answer can honestly be. Reading never raises: what is no announcement is None.
"""

from dataclasses import dataclass, field
from urllib.parse import urlsplit
from xml.parsers import expat

GROUP, PORT = "239.255.255.250", 3702
# Two probes, not one with both types: types in one probe must all match, and older devices know only the first.
PROBE_TYPES = ("dn:NetworkVideoTransmitter", "tds:Device")

LARGEST_DATAGRAM = 65_535
_DEEPEST = 32
_MOST_ELEMENTS = 2_000
_KINDS = ("ProbeMatches", "Hello", "Bye")

_PROBE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"'
    ' xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
    ' xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"'
    ' xmlns:dn="http://www.onvif.org/ver10/network/wsdl" xmlns:tds="http://www.onvif.org/ver10/device/wsdl">'
    '<s:Header><a:Action s:mustUnderstand="1">http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</a:Action>'
    "<a:MessageID>{message_id}</a:MessageID>"
    "<a:ReplyTo><a:Address>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address></a:ReplyTo>"
    '<a:To s:mustUnderstand="1">urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To></s:Header>'
    "<s:Body><d:Probe><d:Types>{types}</d:Types></d:Probe></s:Body></s:Envelope>"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What one device says about itself. Confidential but for `types` and `metadata_version` (I9)."""

    endpoint_reference: str = field(repr=False)  # as sent; not always a URN, not always unique
    types: tuple[str, ...]  # local names
    scopes: tuple[str, ...] = field(repr=False)
    xaddrs: tuple[str, ...] = field(repr=False)  # http and https alone
    metadata_version: int  # grows when the device changed; 0 where it does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """A ProbeMatches, Hello or Bye. `relates_to` is the normal form of the probe's MessageID, "" where absent."""

    kind: str
    relates_to: str
    devices: tuple[Announced, ...]


class _NotHonest(Exception):
    """The document has a document type, or is deeper or longer than an announcement can be."""


@dataclass(slots=True)
class _Element:
    name: str
    text: list[str] = field(default_factory=list)
    children: list["_Element"] = field(default_factory=list)

    def first(self, *path: str) -> "_Element | None":
        at: _Element | None = self
        for name in path:
            at = next((child for child in at.children if child.name == name), None) if at is not None else None
        return at

    def words(self, *path: str) -> tuple[str, ...]:
        found = self.first(*path)
        return tuple("".join(found.text).split()) if found is not None else ()


def build_probe(message_id: str, types: str) -> bytes:
    """A Probe for devices of these types. `types` are QNames with the prefixes dn and tds (ONVIF Core 7.3.1)."""
    return _PROBE.format(message_id=message_id, types=types).encode()


def plain_id(value: str) -> str:
    """A MessageID or endpoint reference in the form that is compared: lower case, without urn: and uuid: prefixes.

    Devices send `urn:uuid:X`, `uuid:X`, `urn:X` and plain `X` for the same thing, some of them in turn.
    """
    plain = value.strip().lower()
    for prefix in ("urn:", "uuid:"):
        plain = plain.removeprefix(prefix)
    return plain


def read_announcement(datagram: bytes) -> Announcement | None:
    """The announcement in a datagram, or None where it is none that can be used."""
    if len(datagram) > LARGEST_DATAGRAM:
        return None
    root = _parse(datagram)
    body = root.first("Body") if root is not None and root.name == "Envelope" else None
    if root is None or body is None:
        return None
    message = next((child for child in body.children if child.name in _KINDS), None)
    if message is None:
        return None
    relates_to = plain_id("".join(root.words("Header", "RelatesTo")))
    matches = [child for child in message.children if child.name == "ProbeMatch"]
    devices = tuple(_announced(item) for item in (matches if message.name == "ProbeMatches" else [message]))
    return Announcement(kind=message.name, relates_to=relates_to, devices=devices)


def _announced(item: _Element) -> Announced:
    version = "".join(item.words("MetadataVersion"))
    return Announced(
        endpoint_reference="".join(item.words("EndpointReference", "Address")),
        types=tuple(qname.rpartition(":")[2] for qname in item.words("Types")),
        scopes=item.words("Scopes"),
        xaddrs=tuple(url for url in item.words("XAddrs") if _usable(url)),
        metadata_version=int(version) if version.isascii() and version.isdigit() and len(version) <= 10 else 0,
    )


def _usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def device_service(source: str, xaddrs: tuple[str, ...]) -> tuple[str, ...]:
    """Where to ask a device that answered from the address `source`, best first; never empty.

    A device is asked only at the address it answered from: an address inside its answer may be stale, somebody else's,
    loopback, or chosen to make this box speak to a third party. Port and path are the device's to say.
    """
    own = [url for url in xaddrs if urlsplit(url).hostname == source]
    others = [url for url in xaddrs if url not in own]
    asked = [at_host(url, source) for url in own + others]
    return tuple(dict.fromkeys(asked)) or (f"http://{_bracketed(source)}/onvif/device_service",)


def at_host(url: str, host: str) -> str:
    """`url` with its host replaced and any user name and password dropped; scheme, port, path and query stay.

    Raises ValueError where `url` names no host or an impossible port.
    """
    parts = urlsplit(url.strip())
    if not parts.hostname:
        raise ValueError("the URL names no host")
    port = f":{parts.port}" if parts.port is not None else ""
    return parts._replace(netloc=f"{_bracketed(host)}{port}", fragment="").geturl()


def host_of(url: str) -> str:
    """The host in `url`, without brackets. Raises ValueError where there is none."""
    host = urlsplit(url).hostname
    if not host:
        raise ValueError("the URL names no host")
    return host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _parse(document: bytes) -> _Element | None:
    """The document as elements by local name, or None. Namespaces are not processed: see the module's text."""
    top = _Element("")
    open_elements = [top]
    count = 0

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if len(open_elements) > _DEEPEST or count > _MOST_ELEMENTS:
            raise _NotHonest
        element = _Element(name.rpartition(":")[2])
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def end(_: str) -> None:
        open_elements.pop()

    def text(content: str) -> None:
        open_elements[-1].text.append(content)

    def doctype(*_: object) -> None:
        raise _NotHonest

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(document, True)
    except _NotHonest:
        return None
    except (expat.ExpatError, ValueError, LookupError):
        # Some cameras send padding after the root: what was closed by then is whole.
        if len(open_elements) > 1:
            return None
    return top.children[0] if top.children else None
