"""RTSP messages as bytes and back (RFC 2326, sections 4 to 7). No sockets, no clock.

Cameras are sloppy, so the parser forgives what does not change the meaning (bare line feeds, blanks, lines without a
colon, blank lines between messages), and limits what could cost memory: the size of the head and of the body.
"""

import re
from dataclasses import dataclass

from edged.record.errors import BadStream

HEAD_LIMIT = 16 * 1024  # the largest head seen from a real camera is under 1 KiB
BODY_LIMIT = 256 * 1024  # likewise 1 KiB for an SDP
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE = re.compile(r"RTSP/\d\.\d\s+(\d{3})(?:\s+(.*))?")
_REQUEST_LINE = re.compile(r"[A-Z_]{1,20} \S+ RTSP/\d\.\d")
_BEGINNING = re.compile(rb"[ \t\r]*([A-Z_]{1,20}([ /].*)?)?", re.DOTALL)  # of both; a reason may be in any encoding
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Message:
    """A response, or (status 0) a request that the server sent on its own account."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]  # names in lower case, in the order they came
    body: bytes = b""

    def get(self, name: str) -> str | None:
        """The first header of that (lower-case) name, or None."""
        return next((value for known, value in self.headers if known == name), None)

    def get_all(self, name: str) -> list[str]:
        """Every header of that (lower-case) name."""
        return [value for known, value in self.headers if known == name]

    def cseq(self) -> int | None:
        """The number of the request it answers, or None where the camera left it out."""
        value = self.get("cseq")
        return int(value) if value is not None and value.isascii() and value.isdigit() and len(value) < 10 else None


def parse_message(data: bytes | bytearray | memoryview, start: int, end: int) -> tuple[Message, int] | None:
    """The message at ``data[start:end]`` and the position behind it; None where more bytes are needed.

    Raises BadStream where it is no RTSP message, or larger than the limits.
    """
    head = bytes(data[start : min(end, start + HEAD_LIMIT)])
    lead = len(head) - len(head.lstrip(b"\r\n"))
    found = _END_OF_HEAD.search(head, lead)
    if found is None:
        if len(head) == HEAD_LIMIT:
            raise BadStream(f"the camera sent a message head of more than {HEAD_LIMIT} bytes")
        _refuse_foreign_bytes(head[lead:])
        return None
    status, reason, headers = _parse_head(head[lead : found.start()])
    message = Message(status, reason, headers)
    length = _body_length(message)
    body = start + found.end()
    if body + length > end:
        return None
    if length:
        message = Message(status, reason, headers, bytes(data[body : body + length]))
    return message, body + length


def format_request(method: str, uri: str, headers: list[tuple[str, str]]) -> bytes:
    """A request without a body."""
    lines = [f"{method} {uri} RTSP/1.0", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("utf-8", "replace")


def _refuse_foreign_bytes(beginning: bytes) -> None:
    """Raise as soon as the first bytes cannot become a message, rather than waiting for more of them."""
    if not _BEGINNING.fullmatch(beginning.split(b"\n", 1)[0]):
        raise BadStream("the camera sent bytes that are neither an RTSP message nor an interleaved frame")


def _parse_head(head: bytes) -> tuple[int, str, tuple[tuple[str, str], ...]]:
    lines = [line.rstrip("\r") for line in head.decode("utf-8", "replace").split("\n")]
    first = lines[0].strip(" \t\r")
    status_line = _STATUS_LINE.fullmatch(first)
    if status_line is None and not _REQUEST_LINE.fullmatch(first):
        raise BadStream("the camera sent bytes that are neither an RTSP message nor an interleaved frame")
    headers: list[tuple[str, str]] = []
    for line in lines[1:]:
        if line[:1] in (" ", "\t") and headers:  # a header folded over several lines (RFC 2068, 4.2)
            headers[-1] = (headers[-1][0], f"{headers[-1][1]} {_CONTROL.sub(' ', line).strip()}")
            continue
        name, colon, value = line.partition(":")
        if colon:
            # Session, realm and the like are sent back: nothing in them may look like the end of a line.
            headers.append((name.strip().lower(), _CONTROL.sub(" ", value).strip()))
    if status_line is None:
        return 0, first.split(" ", 1)[0], tuple(headers)
    return int(status_line[1]), status_line[2] or "", tuple(headers)


def _body_length(message: Message) -> int:
    value = message.get("content-length")
    if value is None:
        return 0
    if not (value.isascii() and value.isdigit()) or len(value) > 9 or int(value) > BODY_LIMIT:
        raise BadStream("the camera sent a message with an impossible Content-Length")
    return int(value)
