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
from edged.record.net.rtsp_auth import Credentials
from edged.record.net.rtsp_message import Message, format_request
from edged.record.net.sdp import AudioTrack, VideoTrack, find_audio, find_video

AGENT = "edged"
TIMEOUT_SECONDS = 60  # RFC 2326, 12.37: where the camera names none
_UNAUTHORIZED = 401
_SESSION_NOT_FOUND = 454
_REDIRECTIONS = (301, 302, 303, 305)  # RFC 2326, 11.3; 305 names a proxy, through which the same URL is asked for
_USE_PROXY = 305
_UNSUPPORTED_TRANSPORT = 461
_NOT_IN_URI = re.compile(r"[\x00-\x20\x7f]")
_UNASKED_LIMIT = 100  # messages of the camera's own accord before it answers; each starts its time to answer anew
_TRIES = 3  # unauthenticated, authenticated, and once more where the camera calls the nonce stale

Conversation = Generator[bytes, Message, "Playing"]
NewPorts = Callable[[], tuple[int, int]]  # binds a pair of UDP ports for one track; RTP's is the even one


@dataclass(frozen=True, slots=True)
class Lane:
    """The way one track takes. Over UDP the channels only tell the tracks of a session apart."""

    rtp_channel: int
    rtcp_channel: int
    own_ports: tuple[int, int] | None = None  # over UDP: RTP, RTCP
    camera_ports: tuple[int, int] | None = None  # likewise, where the camera names them


@dataclass(frozen=True, slots=True)
class Playing:
    """What the camera agreed to send."""

    video: VideoTrack
    lanes: tuple[Lane, ...]  # one a track, the video's first
    timeout_seconds: int
    audio: AudioTrack | None = None  # it has the second lane


@dataclass(frozen=True, slots=True)
class LeftSession:
    """A session that the camera may still hold, because its TEARDOWN was never confirmed."""

    name: str
    url: str


class Redirected(Exception):
    """The camera sends its viewers elsewhere: to `location`, or through it where `proxy`."""

    def __init__(self, location: str, *, proxy: bool) -> None:
        super().__init__("the camera redirects")
        self.location = location
        self.proxy = proxy


class RtspClient:
    """One session with one camera. `token` gives a fresh random string (for digest's cnonce).

    With `audio`, an audio track is set up beside the video, where there is one.
    """

    def __init__(
        self, url: str, username: str, password: str, token: Callable[[], str], *, audio: bool = False
    ) -> None:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        # Credentials in a URL would be sent readable, and are not part of the digest's uri.
        self._url = urlunsplit((parts.scheme, host, parts.path or "/", parts.query, ""))
        self._credentials = Credentials(username, password, token)
        self._wants_audio = audio
        self._cseq = 0
        self._session: str | None = None
        self._play_url = self._url
        self._ping = "OPTIONS"
        self._retried = False  # the keep-alive or the goodbye, after a challenge
        self._leaving = False

    def open(self, new_ports: NewPorts | None = None, left: LeftSession | None = None) -> Conversation:
        """OPTIONS, DESCRIBE, SETUP of the tracks to record, PLAY.

        With `new_ports` the media comes over UDP, else interleaved. `left` is torn down first, so that the camera has
        its slot free. Raises WrongCredentials, CameraRefused (an error in reply), BadStream (a reply that cannot be
        used) and Redirected. Where it does not return, `teardown` has to be sent all the same.
        """
        options = yield from self._ask("OPTIONS", self._url)
        # Some cameras refuse OPTIONS and play all the same, so its status does not matter.
        if options.status == 200 and "GET_PARAMETER" in (options.get("public") or "").upper():
            self._ping = "GET_PARAMETER"
        if left is not None:
            yield from self._ask("TEARDOWN", left.url, ("Session", left.name))
        described = yield from self._need("DESCRIBE", self._url, ("Accept", "application/sdp"))
        video = find_video(described.body)
        base = described.get("content-base") or described.get("content-location") or ""
        if not _is_url(base):  # a path alone, or none
            base = self._url
        self._play_url = _join(base, video.session_control)
        audio = find_audio(described.body) if self._wants_audio else None
        track_url = _join(self._play_url if video.control is None else base, video.control)
        lane, timeout = yield from self._set_up(track_url, 0, new_ports)
        lanes = [lane]
        # Without a URL of its own it is no further track.
        if audio is not None and audio.control is not None:
            try:
                lane, _ = yield from self._set_up(_join(base, audio.control), 1, new_ports)
                lanes.append(lane)
            except (CameraRefused, BadStream):
                audio = None  # the picture is recorded without it
        yield from self._need("PLAY", self._play_url, ("Range", "npt=0.000-"))
        return Playing(video, tuple(lanes), timeout, audio if len(lanes) > 1 else None)

    def left(self) -> LeftSession | None:
        """The session that is open at the camera as far as is known here."""
        return LeftSession(self._session, self._play_url) if self._session is not None else None

    def _set_up(self, url: str, number: int, new_ports: NewPorts | None) -> Generator[bytes, Message, tuple[Lane, int]]:
        if new_ports is None:
            own_ports = None
            offer = f"RTP/AVP/TCP;unicast;interleaved={2 * number}-{2 * number + 1}"
        else:
            own_ports = new_ports()
            offer = f"RTP/AVP;unicast;client_port={own_ports[0]}-{own_ports[1]}"
        reply = yield from self._need("SETUP", url, ("Transport", offer))
        # From here on the camera holds a slot, whatever else is wrong with the reply.
        name, timeout = _parse_session(reply.get("session"))
        self._session = self._session or name
        transport = reply.get("transport")
        if own_ports is None:
            return _parse_channels(transport, number), timeout
        return Lane(2 * number, 2 * number + 1, own_ports, _parse_ports(transport)), timeout

    def keep_alive(self) -> bytes:
        """The request that keeps the session alive; due at half the session's timeout."""
        self._retried = False
        return self._request(self._ping, self._play_url)

    def on_message(self, message: Message) -> bytes:
        """React to what the camera says while it plays; returns what to send, mostly nothing.

        Raises Closed where the session is gone.
        """
        if message.status == 0:
            if message.reason == "REDIRECT":  # RFC 2326, 10.10: where to, the next DESCRIBE will say
                raise Closed("the camera sends its viewers elsewhere")
            return b""  # other requests of its own (ANNOUNCE and the like) ask for nothing that recording needs
        if message.cseq() != self._cseq and (self._leaving or message.cseq() is not None):
            return b""
        if message.status == _UNAUTHORIZED and not self._retried:
            self._retried = True
            if self._credentials.challenge(message.get_all("www-authenticate")):
                return self._request("TEARDOWN" if self._leaving else self._ping, self._play_url)
        if self._leaving:
            self._session = None
            raise Closed("the session was ended on purpose")
        if message.status == _SESSION_NOT_FOUND:
            self._session = None
            raise Closed("the camera forgot the session")
        if message.status >= 400 and message.status != _UNAUTHORIZED and self._ping != "OPTIONS":
            self._ping = "OPTIONS"  # advertised, but answered with 405 or 501 by several makers
            return self._request(self._ping, self._play_url)
        return b""

    def teardown(self) -> bytes:
        """The goodbye; empty where no session was opened. Its answer goes to `on_message`, which raises Closed."""
        self._leaving, self._retried = True, False
        return self._request("TEARDOWN", self._play_url) if self._session is not None else b""

    def _need(self, method: str, uri: str, *headers: tuple[str, str]) -> Generator[bytes, Message, Message]:
        message = yield from self._ask(method, uri, *headers)
        if message.status == _UNAUTHORIZED:
            if self._credentials.username and self._credentials.objection:
                raise WrongCredentials(self._credentials.objection, hint="allow digest logins in the camera's settings")
            raise WrongCredentials(f"the camera rejects user name or password ({method})")
        if message.status in _REDIRECTIONS and (location := message.get("location")):
            raise Redirected(location, proxy=message.status == _USE_PROXY)
        if message.status == _UNSUPPORTED_TRANSPORT:
            raise CameraRefused(f"the camera answered {method} with {message.status}", hint="set its other transport")
        if not 200 <= message.status < 300:
            raise CameraRefused(f"the camera answered {method} with {message.status}")
        return message

    def _ask(self, method: str, uri: str, *headers: tuple[str, str]) -> Generator[bytes, Message, Message]:
        """Ask until it is answered for good: a challenge is answered once, a stale nonce once more."""
        for attempt in range(1, _TRIES + 1):
            message = yield self._request(method, uri, *headers)
            # Its own requests, and late answers to earlier ones, are not the answer; no CSeq at all may well be.
            unasked = 0
            while message.status == 0 or 100 <= message.status < 200 or message.cseq() not in (None, self._cseq):
                unasked += 1
                if unasked > _UNASKED_LIMIT:
                    raise BadStream(f"the camera talks without answering {method}")
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
        # A blank in a control attribute would end the URI, and a line's end the line.
        uri = _NOT_IN_URI.sub(lambda found: f"%{ord(found[0]):02X}", uri)
        lines = [("CSeq", str(self._cseq)), ("User-Agent", AGENT), *headers]
        if self._session is not None and not any(name == "Session" for name, _ in headers):
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
    if _is_url(control):
        return control
    return base + control.lstrip("/") if base.endswith("/") else f"{base}/{control.lstrip('/')}"


def _is_url(text: str) -> bool:
    return text.lower().startswith(("rtsp://", "rtsps://"))


def _parse_session(value: str | None) -> tuple[str, int]:
    if value is None or not value.partition(";")[0].strip():
        raise BadStream("the camera opened a session without naming it")
    name, _, parameters = value.partition(";")
    named = re.search(r"timeout\s*=\s*(\d{1,6})", parameters, re.IGNORECASE)
    return name.strip(), max(1, int(named[1])) if named else TIMEOUT_SECONDS


def _parse_channels(value: str | None, number: int) -> Lane:
    """The interleaved channels (RFC 2326, 12.39); the ones asked for where the camera names none."""
    asked = Lane(2 * number, 2 * number + 1)
    if value is None:
        return asked
    first = value.split(",")[0]
    if "TCP" not in first.split(";")[0].upper():
        raise BadStream("the camera offers no RTP over TCP for this stream", hint="set its transport to udp")
    named = re.search(r"interleaved\s*=\s*(\d{1,3})(?:\s*-\s*(\d{1,3}))?", first, re.IGNORECASE)
    if named is None:
        return asked
    rtp = int(named[1])
    rtcp = int(named[2]) if named[2] else rtp + 1
    if rtp > 255 or rtcp > 256 or rtp == rtcp:
        raise BadStream("the camera names impossible interleaved channels")
    return Lane(rtp, rtcp)


def _parse_ports(value: str | None) -> tuple[int, int] | None:
    """Where the camera sends from (RFC 2326, 12.39: server_port); a camera may leave that out."""
    first = (value or "").split(",")[0]
    profile = first.split(";")[0].strip().upper()
    if profile not in ("", "RTP/AVP", "RTP/AVP/UDP") or "multicast" in first.lower():
        raise BadStream("the camera offers no RTP over unicast UDP for this stream", hint="set its transport to tcp")
    named = re.search(r"server_port\s*=\s*(\d{1,5})(?:\s*-\s*(\d{1,5}))?", first, re.IGNORECASE)
    if named is None:
        return None
    ports = int(named[1]), int(named[2] or int(named[1]) + 1)
    return ports if all(0 < port < 65536 for port in ports) else None
