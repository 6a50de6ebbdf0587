"""RTSP/1.0 text to and from records (RFC 2326), with binary interleaved data sorted out (section 10.12).

Decides only: bytes in, requests out. What a client may not send raises RtspSyntaxError with the status to answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_LONGEST_HEAD = 16_384
_LONGEST_BODY = 65_536
_PACKETS_KEPT = 64

REASONS = {
    200: "OK",
    302: "Found",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Request Entity Too Large",
    453: "Not Enough Bandwidth",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    459: "Aggregate Operation Not Allowed",
    461: "Unsupported Transport",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "RTSP Version Not Supported",
    551: "Option not supported",
}


class RtspSyntaxError(ValueError):
    """The client broke the protocol; answer `status` and close."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request; header names are in lower case."""

    method: str
    uri: str
    version: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(slots=True)
class Parser:
    """Feed it what the socket gave; take what is complete. `interleaved` counts the client's binary packets (RTCP);
    `heard` holds them, channel and content, until somebody takes them away.
    """

    interleaved: int = 0
    heard: list[tuple[int, bytes]] = field(default_factory=list)
    _kept: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[Request]:
        """The requests completed by `data`. Raises RtspSyntaxError where the client's bytes make no sense."""
        self._kept += data
        found: list[Request] = []
        while self._kept:
            if self._kept[0] == 0x24:  # '$'
                if len(self._kept) < 4:
                    break
                length = 4 + int.from_bytes(self._kept[2:4], "big")
                if len(self._kept) < length:
                    break
                self.heard.append((self._kept[1], bytes(self._kept[4:length])))
                del self.heard[:-_PACKETS_KEPT]
                del self._kept[:length]
                self.interleaved += 1
                continue
            if self._kept[:2] == b"\r\n":  # an empty line before a request is allowed (RFC 2326 section 4.1)
                del self._kept[:2]
                continue
            request = self._take_request()
            if request is None:
                break
            found.append(request)
        return found

    def _take_request(self) -> Request | None:
        end = self._kept.find(b"\r\n\r\n")
        if end < 0:
            if len(self._kept) > _LONGEST_HEAD:
                raise RtspSyntaxError(413, "request head too long")
            return None
        lines = bytes(self._kept[:end]).decode("utf-8", "replace").split("\r\n")
        start = lines[0].split(" ")
        if len(start) != 3 or not start[2].startswith("RTSP/"):
            raise RtspSyntaxError(400, "not a request line")
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise RtspSyntaxError(400, "header without a colon")
            headers[name.strip().lower()] = value.strip()
        length_text = headers.get("content-length", "0")
        if not length_text.isdecimal() or int(length_text) > _LONGEST_BODY:
            raise RtspSyntaxError(400, "bad Content-Length")
        total = end + 4 + int(length_text)
        if len(self._kept) < total:
            return None
        body = bytes(self._kept[end + 4 : total])
        del self._kept[:total]
        return Request(start[0], start[1], start[2], headers, body)


def format_response(
    status: int, cseq: str | None, headers: Mapping[str, str | tuple[str, ...]], body: bytes = b""
) -> bytes:
    """A response; a header with several values gets a line for each. Content-Length is added where there is a body."""
    lines = [f"RTSP/1.0 {status} {REASONS[status]}"]
    if cseq is not None:
        lines.append(f"CSeq: {cseq}")
    for name, values in headers.items():
        lines += [f"{name}: {value}" for value in ((values,) if isinstance(values, str) else values)]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def choose_channels(transport: str, taken: int) -> tuple[int, int] | None:
    """The interleaved channels for the first usable offer of a Transport header, or None where it wants only UDP.

    Without a wish of the client's the channels are those after `taken` earlier ones (RFC 2326 section 12.39).
    """
    chosen = choose_transport(transport, taken, ("tcp",))
    return chosen[1] if chosen is not None else None


def choose_transport(transport: str, taken: int, served: Sequence[str]) -> tuple[str, tuple[int, int]] | None:
    """The first offer of a Transport header that is `served`: `tcp` with its channels or `udp` with the client's ports;
    None where there is none.
    """
    for offer in transport.split(","):
        fields = [part.strip() for part in offer.split(";")]
        protocol = fields[0].upper()
        if "multicast" in fields:
            continue
        if protocol == "RTP/AVP/TCP" and "tcp" in served:
            wish = next((part[12:] for part in fields if part.startswith("interleaved=")), None)
            pair = (taken, taken + 1) if wish is None else _read_pair(wish)
            if pair is not None and max(pair) <= 255:
                return "tcp", pair
        elif protocol in ("RTP/AVP", "RTP/AVP/UDP") and "udp" in served:
            wish = next((part[12:] for part in fields if part.startswith("client_port=")), "")
            pair = _read_pair(wish)
            if pair is not None and min(pair) > 0 and max(pair) <= 65_535:
                return "udp", pair
    return None


def _read_pair(text: str) -> tuple[int, int] | None:
    """`4-5`, or `4` for the same."""
    first, _, second = text.partition("-")
    if not first.isdecimal() or not (second or "0").isdecimal():
        return None
    return int(first), int(second) if second else int(first) + 1
