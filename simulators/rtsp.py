"""A camera's RTSP server: RTSP/1.0 over TCP with the media interleaved, one `RtspConnection` to a client.

What a recorder must survive is kept true to the field: digest authentication, a session timeout that is really
enforced, sender reports every five seconds, sequence numbers and timestamps that start at random values, and a client
that does not read is cut off instead of being buffered for ever. UDP transports are answered with 461.
"""

import asyncio
import base64
import socket
import struct
from typing import Any, cast
from urllib.parse import urlsplit

from simulators.auth import Verdict
from simulators.feed import Feed
from simulators.packets import PAYLOAD_TYPE
from simulators.rtsp_message import Parser, Request, RtspSyntaxError, choose_channels, format_response
from simulators.rtsp_session import RtspState, Session

STREAMS = ("main", "sub")
_TRACK = "trackID=1"
_METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"


class RtspConnection(asyncio.Protocol):
    """One client's TCP connection; it is in the set `among` for as long as it is open."""

    def __init__(self, state: RtspState, among: "set[RtspConnection]") -> None:
        self._state = state
        self._among = among
        self._parser = Parser()
        self._session: Session | None = None
        self._transport: asyncio.Transport | None = None
        self._ending = "client closed"
        self._watch: asyncio.TimerHandle | None = None
        self._last_sign = 0.0

    @property
    def playing(self) -> bool:
        """Whether frames are due to this client."""
        return self._session is not None and self._session.next_counter is not None

    def send_frame(self, counter: int) -> None:
        """Send this frame, cutting off a client that has fallen too far behind."""
        if self._session is not None and (data := self._session.bytes_for(counter)):
            self._write(data)

    def send_report(self, now_us: int) -> None:
        """Send a sender report if one is due."""
        if self._session is not None and (data := self._session.report_if_due(now_us)):
            self._write(data)

    def cut(self, why: str, *, reset: bool) -> None:
        """End the connection: with a reset, as if the cable or the power were gone, or with an orderly close."""
        transport = self._transport
        if transport is None:
            return
        self._ending = why
        if reset:
            arm_reset(transport)
        if reset or transport.get_write_buffer_size():  # an orderly close would wait for a client that may never read
            transport.abort()
        else:
            transport.close()
        self._finish()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._among.add(self)
        if not self._state.powered:  # accepted in the very moment the cable was pulled
            self.cut("unplugged", reset=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish()

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        before = self._parser.interleaved
        try:
            requests = self._parser.feed(data)
        except RtspSyntaxError as error:
            self._answer(error.status, None, {})
            self.cut("protocol error", reset=False)
            return
        if requests or self._parser.interleaved > before:
            self._last_sign = asyncio.get_running_loop().time()
        for request in requests:
            self._handle(request)

    # requests

    def _handle(self, request: Request) -> None:
        cseq = request.headers.get("cseq")
        if cseq is None or not cseq.isdecimal():
            self._answer(400, None, {})
        elif request.version != "RTSP/1.0":
            self._answer(505, cseq, {})
        elif self._state.refusing:
            self._answer(503, cseq, {})
        elif "require" in request.headers:
            self._answer(551, cseq, {"Unsupported": request.headers["require"]})
        elif request.method == "OPTIONS":
            self._answer(200, cseq, {"Public": _METHODS})
        elif self._authorized(request, cseq):
            self._dispatch(request, cseq)

    def _authorized(self, request: Request, cseq: str) -> bool:
        now_us = self._state.now_us()
        verdict = self._state.gate.check(request.headers.get("authorization"), request.method, request.uri, now_us)
        if verdict is Verdict.OK:
            return True
        challenge = self._state.gate.challenge(now_us, stale=verdict is Verdict.STALE)
        self._answer(401, cseq, {"WWW-Authenticate": challenge})
        return False

    def _dispatch(self, request: Request, cseq: str) -> None:
        stream, track = self._locate(request.uri)
        claimed = request.headers.get("session", "").split(";")[0].strip() or None
        known = self._session is not None and claimed == self._session.id
        if stream is None:
            self._answer(404, cseq, {})
        elif request.method == "DESCRIBE":
            self._describe(request, cseq, stream)
        elif request.method == "SETUP":
            self._setup(request, cseq, stream, track)
        elif request.method in ("GET_PARAMETER", "TEARDOWN", "PLAY"):
            if claimed is None and request.method == "GET_PARAMETER":
                self._answer(200, cseq, {})
            elif claimed is None:
                self._answer(455, cseq, {"Allow": "OPTIONS, DESCRIBE, SETUP"})
            elif not known:
                self._answer(454, cseq, {})
            else:
                self._in_session(request.method, cseq, request.uri)
        elif request.method in ("PAUSE", "ANNOUNCE", "RECORD", "REDIRECT", "SET_PARAMETER"):
            self._answer(405, cseq, {"Allow": _METHODS})
        else:
            self._answer(501, cseq, {"Public": _METHODS})

    def _locate(self, uri: str) -> tuple[str | None, bool]:
        """The stream a URI names, and whether it names its track rather than the whole."""
        parts = [part for part in urlsplit(uri).path.split("/") if part]
        if parts and parts[0] in STREAMS and len(parts) <= 2 and (len(parts) == 1 or parts[1] == _TRACK):
            return parts[0], len(parts) == 2
        return None, False

    def _describe(self, request: Request, cseq: str, stream: str) -> None:
        base = request.uri.split("?")[0].rstrip("/").removesuffix("/" + _TRACK)
        host = self._local_host()
        body = describe(self._state.feed, host, stream).encode()
        self._answer(200, cseq, {"Content-Base": base + "/", "Content-Type": "application/sdp"}, body)

    def _setup(self, request: Request, cseq: str, stream: str, track: bool) -> None:
        if self._session is not None:
            self._answer(459 if not track else 455, cseq, {})
            return
        channels = choose_channels(request.headers.get("transport", ""), 0)
        if channels is None:
            self._answer(461, cseq, {})
            return
        self._session = session = Session(self._state, stream, channels)
        self._answer(
            200,
            cseq,
            {
                "Session": f"{session.id};timeout={int(self._state.session_timeout_s)}",
                "Transport": f"RTP/AVP/TCP;unicast;interleaved={channels[0]}-{channels[1]};ssrc={session.ssrc:08X}",
            },
        )
        loop = asyncio.get_running_loop()
        self._last_sign = loop.time()
        self._watch = loop.call_later(self._state.session_timeout_s, self._check_timeout)

    def _in_session(self, method: str, cseq: str, uri: str) -> None:
        session = self._session
        if session is None:
            raise RuntimeError("a request was taken to be in a session that does not exist")
        headers = {"Session": session.id}
        if method == "TEARDOWN":
            self._answer(200, cseq, headers)
            self._drop_session("teardown")
        elif method == "GET_PARAMETER" or session.next_counter is not None:  # a second PLAY changes nothing
            self._answer(200, cseq, headers)
        else:
            session.begin()
            first = session.timestamp(self._state.feed.ticks(session.next_counter or 0))
            track = uri.split("?")[0].rstrip("/").removesuffix("/" + _TRACK) + "/" + _TRACK
            headers["Range"] = "npt=now-"
            headers["RTP-Info"] = f"url={track};seq={session.sequence};rtptime={first}"
            self._answer(200, cseq, headers)
            self._state.on_play()

    # the connection's own affairs

    def _check_timeout(self) -> None:
        loop = asyncio.get_running_loop()
        left = self._last_sign + self._state.session_timeout_s - loop.time()
        if left <= 0:
            self._state.timeouts += 1
            self.cut("session timeout", reset=False)
        else:
            self._watch = loop.call_later(left, self._check_timeout)

    def _answer(self, status: int, cseq: str | None, headers: dict[str, str], body: bytes = b"") -> None:
        self._write(format_response(status, cseq, headers, body))

    def _write(self, data: bytes | bytearray) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(data)
        if transport.get_write_buffer_size() > self._state.max_behind_bytes:
            self._state.slow_clients += 1
            self.cut("client too slow", reset=True)

    def _local_host(self) -> str:
        address: Any = self._transport.get_extra_info("sockname") if self._transport is not None else None
        return str(address[0]) if address else "0.0.0.0"

    def _drop_session(self, why: str) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._session is not None:
            self._session.end(why)
            self._session = None

    def _finish(self) -> None:
        self._drop_session(self._ending)
        self._transport = None
        self._among.discard(self)


def arm_reset(transport: asyncio.BaseTransport) -> None:
    """Make the coming close of this connection a reset: what was not yet read by the peer is lost, as with a cable."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def describe(feed: Feed, host: str, stream: str) -> str:
    """The session description (RFC 4566) with the parameter sets out of band (RFC 6184 section 8.2.1)."""
    clip = feed.clip
    sets = ",".join(base64.b64encode(nal).decode() for nal in (clip.sps, clip.pps))
    return "\r\n".join(
        (
            "v=0",
            f"o=- {feed.started_us} 1 IN IP4 {host}",
            f"s={stream}",
            "c=IN IP4 0.0.0.0",
            "t=0 0",
            "a=range:npt=now-",
            "a=control:*",
            f"m=video 0 RTP/AVP {PAYLOAD_TYPE}",
            f"b=AS:{max(1, clip.bitrate * 11 // 10_000)}",
            "a=recvonly",
            f"a=rtpmap:{PAYLOAD_TYPE} H264/90000",
            f"a=fmtp:{PAYLOAD_TYPE} packetization-mode=1;profile-level-id={clip.sps[1:4].hex().upper()};"
            f"sprop-parameter-sets={sets}",
            f"a=framerate:{clip.spec.fps}",
            f"a=x-dimensions:{clip.spec.width},{clip.spec.height}",
            f"a=control:{_TRACK}",
            "",
        )
    )
