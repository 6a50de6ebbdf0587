"""A camera's RTSP server: RTSP/1.0 over TCP or TLS, media interleaved or over UDP, one `RtspConnection` to a client.

What a recorder must survive is kept true to the field: authentication, a session timeout that is really enforced,
sender reports every five seconds, sequence numbers and timestamps that start at random values, few session slots where
asked for, and a client that does not read is cut off instead of being buffered for ever. A transport that is not served
is answered with 461.
"""

import asyncio
import socket
import struct
from typing import Any, cast

from simulators import hostile
from simulators.auth import Verdict
from simulators.delivery import Delivery
from simulators.route import Interleaved, UdpPair
from simulators.rtp_track import Track
from simulators.rtsp_message import Parser, Request, RtspSyntaxError, choose_transport, format_response
from simulators.rtsp_paths import locate, redirect, without_track
from simulators.rtsp_session import RtspState, Session
from simulators.sdp import CONTROLS, VIDEO, describe, tracks_of

_METHODS = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"
_METHODS_WITHOUT_PARAMETER = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"


class RtspConnection(asyncio.Protocol):
    """One client's TCP connection; it is in the set `among` for as long as it is open."""

    def __init__(self, state: RtspState, among: "set[RtspConnection]", *, secure: bool = False) -> None:
        self._state = state
        self._among = among
        self._secure = secure
        self._parser = Parser()
        self._session: Session | None = None
        self._transport: asyncio.Transport | None = None
        self._delivery: Delivery | None = None
        self._ending = "client closed"
        self._watch: asyncio.TimerHandle | None = None
        self._last_sign = 0.0

    @property
    def playing(self) -> bool:
        """Whether frames are due to this client."""
        return self._session is not None and self._session.next_counter is not None

    @property
    def session(self) -> Session | None:
        """What this client has set up."""
        return self._session

    def send_frame(self, counter: int, due_s: float) -> None:
        """Send this frame, due at this time of the loop; a client that has fallen too far behind is cut off."""
        if self._session is None or self._delivery is None:
            return
        sent = self._session.video(counter)
        if sent is not None:
            spread_s = 1 / self._state.feed.clip.spec.fps if self._state.spread else 0.0
            self._delivery.media(*sent, spread_s=spread_s, due_s=due_s)

    def send_rest(self, now_us: int) -> None:
        """Send the sound, documents and sender reports that are due."""
        session = self._session
        if session is None:
            return
        for track, burst in session.rest(now_us):
            if self._delivery is not None:
                self._delivery.media(track, burst)
        for track, report in session.reports(now_us):
            if self._delivery is not None:
                self._delivery.control(track, report)

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
        self._delivery = Delivery(
            self._transport, self._state.mischief, self._state.max_behind_bytes, self._cut_slow_client
        )
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
        self._hear_interleaved()
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
            self._answer(200, cseq, {"Public": self._methods()})
        elif self._authorized(request, cseq):
            self._dispatch(request, cseq)

    def _methods(self) -> str:
        return _METHODS_WITHOUT_PARAMETER if "options-only" in self._state.mischief.quirks else _METHODS

    def _authorized(self, request: Request, cseq: str) -> bool:
        now_us = self._state.now_us()
        verdict = self._state.gate.check(request.headers.get("authorization"), request.method, request.uri, now_us)
        if verdict is Verdict.OK:
            return True
        challenges = self._state.gate.challenges(now_us, stale=verdict is Verdict.STALE)
        self._answer(401, cseq, {"WWW-Authenticate": challenges})
        return False

    def _dispatch(self, request: Request, cseq: str) -> None:
        stream, kind = locate(request.uri)
        claimed = request.headers.get("session", "").split(";")[0].strip() or None
        known = self._session is not None and claimed == self._session.id
        if stream is None or (kind is not None and kind not in tracks_of(self._state.feed)):
            self._answer(404, cseq, {})
        elif request.method == "DESCRIBE":
            self._describe(request, cseq, stream)
        elif request.method == "SETUP":
            self._setup(request, cseq, stream, kind, known)
        elif request.method == "GET_PARAMETER" and "options-only" in self._state.mischief.quirks:
            self._answer(405, cseq, {"Allow": self._methods()})
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
            self._answer(405, cseq, {"Allow": self._methods()})
        else:
            self._answer(501, cseq, {"Public": self._methods()})

    def _describe(self, request: Request, cseq: str, stream: str) -> None:
        mischief = self._state.mischief
        location = redirect(request.uri, stream, mischief.quirks, mischief.redirect_to)
        if location is not None:
            self._answer(302, cseq, {"Location": location})
            return
        base = without_track(request.uri)
        body = describe(self._state.feed, self._host("sockname"), stream, mischief.quirks).encode()
        headers = {"Content-Base": base + "/", "Content-Type": "application/sdp"}
        whole = format_response(200, cseq, headers, body)
        head = whole[: len(whole) - len(body)]
        if self._delivery is None:
            return
        if (pieces := hostile.answer_to_describe(mischief.quirks, head, body)) is not None:
            self._delivery.pump(pieces)
        else:
            self._delivery.answer(whole)

    def _setup(self, request: Request, cseq: str, stream: str, kind: str | None, known: bool) -> None:
        session = self._session
        if session is not None and kind is None:
            self._answer(459, cseq, {})
            return
        kind = kind or VIDEO
        if session is not None and (not known or kind in session.tracks or session.next_counter is not None):
            self._answer(455, cseq, {})
            return
        served = tuple(name for name in self._state.served if not (self._secure and name == "udp"))
        taken = 2 * len(session.tracks) if session is not None else 0
        chosen = choose_transport(request.headers.get("transport", ""), taken, served)
        if chosen is None:
            self._answer(461, cseq, {})
            return
        if session is None and not self._state.has_slot():
            self._answer(453, cseq, {})
            return
        if session is None:
            self._session = session = Session(self._state, stream)
        transport = self._add_track(session, kind, *chosen)
        timeout = int(self._state.session_timeout_s)
        self._answer(200, cseq, {"Session": f"{session.id};timeout={timeout}", "Transport": transport})
        loop = asyncio.get_running_loop()
        self._last_sign = loop.time()
        if self._watch is None:
            self._watch = loop.call_later(self._state.session_timeout_s, self._check_timeout)

    def _add_track(self, session: Session, kind: str, protocol: str, pair: tuple[int, int]) -> str:
        """Open the way of one more track; the Transport header to answer."""
        if protocol == "tcp":
            track = session.add_track(kind, Interleaved(pair))
            return f"RTP/AVP/TCP;unicast;interleaved={pair[0]}-{pair[1]};ssrc={track.ssrc:08X}"
        address = self._host("sockname")
        route = UdpPair(address, self._host("peername"), pair)
        track = session.add_track(kind, route)
        route.listen(lambda packet: self._hear(track, packet))
        own = route.ports
        return (
            f"RTP/AVP;unicast;client_port={pair[0]}-{pair[1]};server_port={own[0]}-{own[1]}"
            f";source={address};ssrc={track.ssrc:08X}"
        )

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
            over_udp = any(isinstance(track.route, UdpPair) for track in session.tracks.values())
            session.begin("tls" if self._secure else "udp" if over_udp else "tcp")
            headers["Range"] = "npt=now-"
            headers["RTP-Info"] = ",".join(self._starting(session, uri, track) for track in session.tracks.values())
            self._answer(200, cseq, headers)
            self._state.on_play()

    def _starting(self, session: Session, uri: str, track: Track) -> str:
        url = f"{without_track(uri)}/{CONTROLS[track.kind]}"
        if "bogus-rtp-info" in self._state.mischief.quirks:
            return f"url={url};seq=-1;rtptime=-1"
        return f"url={url};seq={track.sequence};rtptime={track.timestamp(session.first_ticks(track))}"

    # the connection's own affairs

    def _hear_interleaved(self) -> None:
        heard, self._parser.heard = self._parser.heard, []
        for channel, packet in heard:
            for track in self._session.tracks.values() if self._session is not None else ():
                if isinstance(track.route, Interleaved) and track.route.control_channel == channel:
                    track.hear(packet)

    def _hear(self, track: Track, packet: bytes) -> None:
        self._last_sign = asyncio.get_running_loop().time()
        track.hear(packet)

    def _check_timeout(self) -> None:
        loop = asyncio.get_running_loop()
        left = self._last_sign + self._state.session_timeout_s - loop.time()
        if left <= 0:
            self._state.timeouts += 1
            self.cut("session timeout", reset=False)
        else:
            self._watch = loop.call_later(left, self._check_timeout)

    def _answer(self, status: int, cseq: str | None, headers: dict[str, Any], body: bytes = b"") -> None:
        if self._delivery is not None:
            self._delivery.answer(format_response(status, cseq, headers, body))

    def _cut_slow_client(self) -> None:
        self._state.slow_clients += 1
        self.cut("client too slow", reset=True)

    def _host(self, which: str) -> str:
        address: Any = self._transport.get_extra_info(which) if self._transport is not None else None
        return str(address[0]) if address else "0.0.0.0"

    def _drop_session(self, why: str) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._delivery is not None:
            self._delivery.end_session()
        session, self._session = self._session, None
        if session is not None:
            session.end(why)
            for track in session.tracks.values():
                if isinstance(track.route, UdpPair):
                    track.route.close()

    def _finish(self) -> None:
        self._drop_session(self._ending)
        if self._delivery is not None:
            self._delivery.close()
            self._delivery = None
        self._transport = None
        self._among.discard(self)


def arm_reset(transport: asyncio.BaseTransport) -> None:
    """Make the coming close of this connection a reset: what was not yet read by the peer is lost, as with a cable."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
