"""RTSP/1.0 text to and from records (RFC 2326), with binary interleaved data sorted out (section 10.12).

Decides only: bytes in, requests out. What a client may not send raises RtspSyntaxError with the status to answer.
"""

from dataclasses import dataclass, field

_LONGEST_HEAD = 16_384
_LONGEST_BODY = 65_536

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Request Entity Too Large",
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
    """Feed it what the socket gave; take what is complete. `interleaved` counts the client's binary packets (RTCP)."""

    interleaved: int = 0
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


def format_response(status: int, cseq: str | None, headers: dict[str, str], body: bytes = b"") -> bytes:
    """A response; Content-Length is added where there is a body."""
    lines = [f"RTSP/1.0 {status} {REASONS[status]}"]
    if cseq is not None:
        lines.append(f"CSeq: {cseq}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def choose_channels(transport: str, taken: int) -> tuple[int, int] | None:
    """The interleaved channels for the first usable offer of a Transport header, or None where it wants only UDP.

    Without a wish of the client's the channels are those after `taken` earlier ones (RFC 2326 section 12.39).
    """
    for offer in transport.split(","):
        fields = [part.strip() for part in offer.split(";")]
        if fields[0].upper() != "RTP/AVP/TCP" or "multicast" in fields:
            continue
        wish = next((part[12:] for part in fields if part.startswith("interleaved=")), None)
        if wish is None:
            return taken, taken + 1
        first, _, second = wish.partition("-")
        if not first.isdecimal() or not (second or "0").isdecimal():
            continue
        pair = int(first), int(second) if second else int(first) + 1
        if max(pair) <= 255:
            return pair
    return None
