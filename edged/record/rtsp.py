"""The client's side of an RTSP session (RFC 2326), from OPTIONS to TEARDOWN. No sockets, no clock.

The opening is a generator: it yields the bytes to send (``b""``: nothing, only read on) and is sent the next message
from the camera; its return value says what is playing. So it reads as the straight conversation it is, and a test can
be the camera. Afterwards the session lives on through `keep_alive`, `on_message` and `teardown`.
"""

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from edged.record.errors import BadStream, CameraRefused, Closed, WrongCredentials
from edged.record.rtsp_auth import Credentials
from edged.record.rtsp_message import Message, format_request
from edged.record.sdp import VideoTrack, find_video

AGENT = "edged"
TIMEOUT_SECONDS = 60  # RFC 2326, 12.37: where the camera names none
_UNAUTHORIZED = 401
_SESSION_NOT_FOUND = 454
_TRIES = 3  # unauthenticated, authenticated, and once more where the camera calls the nonce stale

Conversation = Generator[bytes, Message, "Playing"]


@dataclass(frozen=True, slots=True)
class Playing:
    """What the camera agreed to send."""

    video: VideoTrack
    rtp_channel: int
    rtcp_channel: int
    timeout_seconds: int


class RtspClient:
    """One session with one camera. `token` gives a fresh random string (for digest's cnonce)."""

    def __init__(self, url: str, username: str, password: str, token: Callable[[], str]) -> None:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        # Credentials in a URL would be sent readable, and are not part of the digest's uri.
        self._url = urlunsplit((parts.scheme, host, parts.path or "/", parts.query, ""))
        self._credentials = Credentials(username, password, token)
        self._cseq = 0
        self._session: str | None = None
        self._play_url = self._url
        self._ping = "OPTIONS"
        self._ping_retried = False
        self._leaving = False

    def open(self) -> Conversation:
        """OPTIONS, DESCRIBE, SETUP of the video track alone, PLAY.

        Raises WrongCredentials, CameraRefused (an error in reply) and BadStream (a reply that cannot be used).
        """
        options = yield from self._ask("OPTIONS", self._url)
        # Some cameras refuse OPTIONS and play all the same, so its status does not matter.
        if options.status == 200 and "GET_PARAMETER" in (options.get("public") or "").upper():
            self._ping = "GET_PARAMETER"
        described = yield from self._need("DESCRIBE", self._url, ("Accept", "application/sdp"))
        video = find_video(described.body)
        base = described.get("content-base") or described.get("content-location") or ""
        if not base.lower().startswith("rtsp://"):  # a path alone, or none
            base = self._url
        self._play_url = _join(base, video.session_control)
        track_url = _join(self._play_url if video.control is None else base, video.control)
        transport = ("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1")
        setup = yield from self._need("SETUP", track_url, transport)
        self._session, timeout = _parse_session(setup.get("session"))
        rtp, rtcp = _parse_channels(setup.get("transport"))
        yield from self._need("PLAY", self._play_url, ("Range", "npt=0.000-"))
        return Playing(video, rtp, rtcp, timeout)

    def keep_alive(self) -> bytes:
        """The request that keeps the session alive; due at half the session's timeout."""
        self._ping_retried = False
        return self._request(self._ping, self._play_url)

    def on_message(self, message: Message) -> bytes:
        """React to what the camera says while it plays; returns what to send, mostly nothing.

        Raises Closed where the session is gone.
        """
        if message.status and self._leaving and message.cseq() == self._cseq:
            raise Closed("the session was ended on purpose")
        if message.status == 0 or message.cseq() not in (None, self._cseq):
            return b""  # its own requests (ANNOUNCE and the like) ask for nothing that recording needs
        if message.status == _SESSION_NOT_FOUND:
            raise Closed("the camera forgot the session")
        if message.status == _UNAUTHORIZED and not self._ping_retried:
            self._ping_retried = True
            if self._credentials.challenge(message.get_all("www-authenticate")):
                return self._request(self._ping, self._play_url)
        elif message.status >= 400 and self._ping != "OPTIONS":
            self._ping = "OPTIONS"  # advertised, but answered with 405 or 501 by several makers
            return self._request(self._ping, self._play_url)
        return b""

    def teardown(self) -> bytes:
        """The goodbye; empty where no session was opened."""
        self._leaving = True
        return self._request("TEARDOWN", self._play_url) if self._session is not None else b""

    def _need(self, method: str, uri: str, *headers: tuple[str, str]) -> Generator[bytes, Message, Message]:
        message = yield from self._ask(method, uri, *headers)
        if message.status == _UNAUTHORIZED:
            raise WrongCredentials(f"the camera rejects user name or password ({method})")
        if not 200 <= message.status < 300:
            raise CameraRefused(f"the camera answered {method} with {message.status}")
        return message

    def _ask(self, method: str, uri: str, *headers: tuple[str, str]) -> Generator[bytes, Message, Message]:
        """Ask until it is answered for good: a challenge is answered once, a stale nonce once more."""
        for attempt in range(1, _TRIES + 1):
            message = yield self._request(method, uri, *headers)
            # Its own requests, and late answers to earlier ones, are not the answer; no CSeq at all may well be.
            while message.status == 0 or 100 <= message.status < 200 or message.cseq() not in (None, self._cseq):
                message = yield b""
            if message.status != _UNAUTHORIZED or not self._credentials.username:
                return message
            answered_before = self._credentials.header(method, uri) is not None
            if not self._credentials.challenge(message.get_all("www-authenticate")) or attempt == _TRIES:
                return message
            if answered_before and attempt > 1 and not self._credentials.stale():
                return message
        raise AssertionError("every attempt returns or repeats")

    def _request(self, method: str, uri: str, *headers: tuple[str, str]) -> bytes:
        self._cseq += 1
        lines = [("CSeq", str(self._cseq)), ("User-Agent", AGENT), *headers]
        if self._session is not None:
            lines.append(("Session", self._session))
        authorization = self._credentials.header(method, uri)
        if authorization is not None:
            lines.append(("Authorization", authorization))
        return format_request(method, uri, lines)


def _join(base: str, control: str | None) -> str:
    """The URL of a control attribute (RFC 2326, C.1.1), joined as cameras mean it: appended, never resolved.

    Base URLs carry their channel in the query (``…?channel=1/``), which resolving after RFC 3986 would cut off.
    """
    if control is None or control == "*":
        return base
    if control.lower().startswith("rtsp://"):
        return control
    return base + control.lstrip("/") if base.endswith("/") else f"{base}/{control.lstrip('/')}"


def _parse_session(value: str | None) -> tuple[str, int]:
    if value is None or not value.partition(";")[0].strip():
        raise BadStream("the camera opened a session without naming it")
    name, _, parameters = value.partition(";")
    named = re.search(r"timeout\s*=\s*(\d{1,6})", parameters, re.IGNORECASE)
    return name.strip(), max(1, int(named[1])) if named else TIMEOUT_SECONDS


def _parse_channels(value: str | None) -> tuple[int, int]:
    """The interleaved channels (RFC 2326, 12.39); the ones asked for where the camera names none."""
    if value is None:
        return 0, 1
    first = value.split(",")[0]
    if "TCP" not in first.split(";")[0].upper():
        raise BadStream("the camera offers no RTP over TCP for this stream")
    named = re.search(r"interleaved\s*=\s*(\d{1,3})(?:\s*-\s*(\d{1,3}))?", first, re.IGNORECASE)
    if named is None:
        return 0, 1
    rtp = int(named[1])
    rtcp = int(named[2]) if named[2] else rtp + 1
    if rtp > 255 or rtcp > 256 or rtp == rtcp:
        raise BadStream("the camera names impossible interleaved channels")
    return rtp, rtcp
