"""Replies out of the bytes of a connection that interleaved frames come over as well. No sockets, no clock."""

from edged.record.errors import BadStream
from edged.record.net.rtsp_message import BODY_LIMIT, HEAD_LIMIT, Message, parse_message

EARLY_LIMIT = 4 * 1024 * 1024  # frames sent before the reply to PLAY
_START = b"RTSP/1."


class Replies:
    """Messages before a session plays; interleaved frames that come early are put aside, in order."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._early = bytearray()

    def feed(self, received: bytes) -> None:
        """Take what was received. Raises BadStream where it becomes too much."""
        self._bytes += received
        if len(self._bytes) + len(self._early) > EARLY_LIMIT + HEAD_LIMIT + BODY_LIMIT:
            raise BadStream("the camera sends without replying")

    def take(self) -> Message | None:
        """The next message, or None where more bytes are needed. Raises BadStream."""
        data = self._bytes
        while data[:1] == b"$":
            stop = 4 + int.from_bytes(data[2:4], "big")
            if len(data) < max(stop, 4):
                return None
            self._early += data[:stop]
            del data[:stop]
        if not data:
            return None
        parsed = parse_message(data, 0, len(data))
        if parsed is None:
            return None
        message, stop = parsed
        del data[:stop]
        return message

    def rest(self) -> bytes:
        """What came early, and what is behind the last message."""
        return bytes(self._early + self._bytes)


def find_reply(received: bytearray) -> Message | None:
    """The next reply anywhere in `received`, whose bytes up to its end go; None where none is whole yet.

    For the end of a session, when frames are of no interest and nobody may know any more where one begins.
    """
    while (at := received.find(_START)) >= 0:
        del received[:at]
        try:
            parsed = parse_message(received, 0, len(received))
        except BadStream:
            del received[: len(_START)]
            continue
        if parsed is None:
            return None
        message, stop = parsed
        del received[:stop]
        return message
    del received[: -len(_START)]
    return None
