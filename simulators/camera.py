"""One simulated camera: its identity, its sockets, its clockwork, and the faults one can inflict on it.

A fault is a method; each can be called at any time, and again. What outlives a fault: the camera's identity, its
frame counter (it films from start to end of the fleet), and the account of what it sent.
"""

import asyncio
import ipaddress
import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulators.auth import AUTH_SCHEMES, Account, DigestGate, TokenGate
from simulators.clip import Clip, make_clip, other_size
from simulators.feed import Feed
from simulators.listen import listen
from simulators.mischief import FaultError, Mischief
from simulators.onvif import DEVICE, Facts, Identity, Whereabouts
from simulators.onvif_server import OnvifEndpoint
from simulators.options import ONVIF_PORT, RTSP_PORT, RTSPS_PORT, TRANSPORTS, FleetOptions
from simulators.packets import CLOCK_RATE_HZ
from simulators.rtsp import RtspConnection
from simulators.rtsp_session import RtspState
from simulators.sound import Sound
from simulators.timebase import Timebase
from simulators.wsd import GROUP, PORT, Probe, Responder, bye, hello, matches, probe_matches, read_probe

if TYPE_CHECKING:
    from simulators.tls import Authority

__all__ = ["Camera", "FaultError"]

_PHASE_STEP_MS = 7  # shares no factor with the usual frame intervals
_LONGEST_PROBE_DELAY_S = 0.1  # answers are spread a little, as WS-Discovery section 5.3 asks, but tests do not wait


class Camera:
    """A camera on its own address. Made and started by a Fleet; `find_address` hands out addresses for `move`."""

    def __init__(
        self,
        number: int,
        identity: Identity,
        address: str,
        clip: Clip,
        options: FleetOptions,
        timebase: Timebase,
        draw: random.Random,
        find_address: Callable[[str | None], str],
        sound: Sound | None = None,
        authority: "Authority | None" = None,
    ) -> None:
        self.identity = identity
        self._options = options
        self._timebase = timebase
        self._draw = draw
        self._find_address = find_address
        self._password_changed = False
        self._authority = authority
        self._certificate: Path | None = None
        self._film = clip
        self._account = Account(options.username if options.auth != "none" else None, options.password)
        # Cameras of a fleet film in turn within a frame's time, so that not all of them send in the same instant.
        if options.pacing == "spread":  # every millisecond of a frame's time is somebody's
            phase_us = number * _PHASE_STEP_MS % max(1, 1000 // options.fps) * 1000
        else:
            phase_us = number % 4 * 250_000 // options.fps
        # Losses draw from a source of their own: what clients ask must not change which packets are lost.
        self.feed = Feed(
            clip,
            number,
            timebase.wall_us + phase_us,
            random.Random(draw.getrandbits(64)),
            sound=sound,
            metadata=options.metadata,
        )
        self.mischief = Mischief(random.Random(draw.getrandbits(64)), set(options.quirks))
        lifetime = options.nonce_lifetime
        lifetime_us = None if lifetime is None else int(lifetime * 1e6)
        self._rtsp = RtspState(
            feed=self.feed,
            gate=DigestGate(
                self._account, f"stream {identity.serial}", draw, lifetime_us, AUTH_SCHEMES[options.auth] or ("MD5",)
            ),
            draw=draw,
            now_us=timebase.now_us,
            clock_offset_us=round(options.clock_offset * 1e6),
            session_timeout_s=options.session_timeout,
            max_behind_bytes=options.max_behind_bytes,
            on_play=self._keep_ticking,
            name=identity.name,
            mischief=self.mischief,
            served=TRANSPORTS[options.transport],
            slots=options.slots,
            spread=options.pacing == "spread",
        )
        self._connections: set[RtspConnection] = set()
        self._onvif = OnvifEndpoint(
            digest=DigestGate(self._account, f"onvif {identity.serial}", draw, lifetime_us),
            tokens=TokenGate(self._account),
            kind=options.onvif_auth,
            facts=self._facts,
            now_us=timebase.now_us,
        )
        self._where = Whereabouts(address, 0, 0)
        self._server: asyncio.Server | None = None
        self._secure_server: asyncio.Server | None = None
        self._secure_port = 0
        self._responder: Responder | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._shown = -1
        self._changing = asyncio.Lock()

    # what others may know

    @property
    def name(self) -> str:
        """`cam-1` and so on."""
        return self.identity.name

    @property
    def address(self) -> str:
        """Where the camera is now."""
        return self._where.address

    @property
    def rtsp_url(self) -> str:
        """The main stream, without credentials."""
        return self._where.stream("main")

    @property
    def rtsps_url(self) -> str | None:
        """The main stream over TLS, or None where it is not served."""
        return f"rtsps://{self.address}:{self._secure_port}/main" if self._authority is not None else None

    @property
    def onvif_url(self) -> str | None:
        """The device service, or None for a camera without ONVIF."""
        return self._where.service(DEVICE) if self._options.onvif else None

    @property
    def plugged(self) -> bool:
        """Whether the camera is on the network."""
        return self._server is not None

    def card(self) -> dict[str, Any]:
        """Who and where the camera is, as announced when a fleet is ready."""
        card: dict[str, Any] = {
            "name": self.name,
            "serial": self.identity.serial,
            "endpoint_reference": self.identity.endpoint_reference,
            "onvif": self.onvif_url,
            "rtsp": self.rtsp_url,
        }
        if self._authority is not None:
            card |= {"rtsps": self.rtsps_url, "certificate": str(self._certificate), "ca": str(self._authority.ca)}
        return card

    def stats(self) -> dict[str, Any]:
        """The card, the faults active, and what each PLAY session was sent, in order."""
        return {
            **self.card(),
            "address": self.address,
            "captured": self.feed.newest(self._timebase.now_us()) + 1,
            "faults": self._faults(),
            "sessions_open": sum(connection.playing for connection in self._connections),
            "slow_clients_dropped": self._rtsp.slow_clients,
            "session_timeouts": self._rtsp.timeouts,
            "slots_taken": self._rtsp.slots_taken(),
            "slots_refused": self._rtsp.slots_refused,
            "sessions": [asdict(record) for record in self._rtsp.records],
        }

    def _faults(self) -> list[str]:
        feed = self.feed
        told = (
            (not self.plugged, "unplugged"),
            (feed.stalled, "stalled"),
            (self._rtsp.refusing, "refusing"),
            (self._password_changed, "password changed"),
            (bool(feed.drop_share), f"dropping {feed.drop_share * 100:g} %"),
            (bool(feed.jump_ticks), f"jumped {feed.jump_ticks / CLOCK_RATE_HZ:g} s"),
        )
        return [text for active, text in told if active] + self.mischief.told()

    # faults

    async def unplug(self) -> None:
        """Pull the cable: connections die with a reset, nothing listens or answers, and nobody is told."""
        async with self._changing:
            await self._leave()

    async def plug(self) -> None:
        """Put the cable back; the camera announces itself."""
        async with self._changing:
            await self._join()

    async def stall(self) -> None:
        """The encoder hangs: connections, RTSP answers and sender reports go on, frames do not."""
        self.feed.stalled = True

    async def resume(self) -> None:
        """The encoder is back, from the next keyframe on."""
        self.feed.stalled = False

    async def refuse(self) -> None:
        """End what is connected, and answer every RTSP and ONVIF request with 503."""
        self._rtsp.refusing = self._onvif.refusing = True
        self._cut_all("refused", reset=False)

    async def accept(self) -> None:
        """Stop refusing."""
        self._rtsp.refusing = self._onvif.refusing = False

    async def change_password(self, password: str) -> None:
        """From now on only `password` is right; sessions opened with another one end."""
        if not password:
            raise FaultError("the new password is empty: give one, or start a fleet with --auth none")
        if password != self._account.password:
            self._account.password = password
            self._cut_all("password changed", reset=False)
        self._password_changed = password != self._options.password

    async def move(self, address: str | None = None) -> None:
        """Restart at another address (the next free one by default); the camera stays who it is."""
        target = self._find_address(address)
        try:
            ipaddress.IPv4Address(target)
            listen(target, 0).close()
        except (ValueError, OSError) as error:
            raise FaultError(f"cannot move {self.name} to {target!r}: not an IPv4 address of this machine") from error
        async with self._changing:
            await self._leave()
            self._where = Whereabouts(target, 0, 0)
            await self._join()

    async def drop(self, percent: float) -> None:
        """Lose this share of RTP packets from now on, 0 to 100; their sequence numbers stay used."""
        if not 0 <= percent <= 100:
            raise FaultError(f"cannot drop {percent:g} % of packets: want 0 to 100")
        self.feed.drop_share = percent / 100

    async def jump(self, seconds: float) -> None:
        """Push the RTP clock by this much, forward or back, once. Wraps where the 32-bit clock wraps (13 hours)."""
        if not -1e6 <= seconds <= 1e6 or not seconds:
            raise FaultError(f"cannot jump by {seconds:g} s: want -1000000 to 1000000, and not 0")
        self.feed.jump_ticks += round(seconds * CLOCK_RATE_HZ)

    async def change_ssrc(self) -> None:
        """Every stream under way goes on as another synchronization source."""
        for session in list(self._rtsp.open):
            for track in session.tracks.values():
                track.change_ssrc()

    async def change_parameters(self) -> None:
        """From the next keyframe on film in another size, with other parameter sets; the second time, back again.

        Raises ClipError where the encoder cannot make the film at this bit rate.
        """
        film = self._film
        if self.feed.clip is film:
            film = await asyncio.to_thread(make_clip, other_size(film.spec))
        self.feed.switch(film, self.feed.newest(self._timebase.now_us()) + 1)

    # on and off the network

    async def start(self) -> None:
        """Come on the network. Raises OSError where the address is not one of this machine's."""
        await self._join()

    async def stop(self) -> None:
        """Leave in good order: say Bye, then close everything."""
        async with self._changing:
            if self._responder is not None and self._options.multicast:
                self._responder.send(bye(self.identity), (GROUP, PORT))
            await self._leave()

    def consider(self, probe: Probe, sender: Any) -> None:
        """Answer a probe that means this camera."""
        if self._responder is not None and matches(probe, self.identity.scopes):
            delay = self._draw.uniform(0, _LONGEST_PROBE_DELAY_S)
            asyncio.get_running_loop().call_later(delay, self._answer_probe, probe.message_id, sender)

    def _answer_probe(self, message_id: str, sender: tuple[str, int]) -> None:
        if self._responder is not None:
            xaddr = self._where.service(DEVICE)
            self._responder.send(probe_matches(self.identity, xaddr, message_id), sender)

    def _heard_unicast(self, datagram: bytes, sender: Any) -> None:
        probe = read_probe(datagram)
        if probe is not None:
            self.consider(probe, sender)

    async def _join(self) -> None:
        if self._server is not None:
            return
        loop = asyncio.get_running_loop()
        address = self._where.address
        sock = listen(address, self._where.rtsp_port or RTSP_PORT)
        rtsp_port = sock.getsockname()[1]
        self._rtsp.powered = True
        self._server = await loop.create_server(lambda: RtspConnection(self._rtsp, self._connections), sock=sock)
        self._where = Whereabouts(address, self._where.onvif_port, rtsp_port)
        if self._authority is not None:
            await self._join_secure(self._authority)
        if not self._options.onvif:
            return
        sock = listen(address, self._where.onvif_port or ONVIF_PORT)
        self._where = Whereabouts(address, sock.getsockname()[1], rtsp_port)
        await self._onvif.start(sock)
        # Who has the usual RTSP port owns the address. Two fleets on one address would steal each other's unicast
        # probes, so that the second one does without.
        owner = rtsp_port == RTSP_PORT
        _, self._responder = await loop.create_datagram_endpoint(
            lambda: Responder(self._heard_unicast),
            sock=Responder.open_socket(address, self._options.interface, well_known_port=owner),
        )
        if self._options.multicast:
            self._responder.send(hello(self.identity, self._where.service(DEVICE)), (GROUP, PORT))

    async def _join_secure(self, authority: "Authority") -> None:
        self._certificate, context = authority.certify(self.address)
        sock = listen(self.address, self._secure_port or RTSPS_PORT)
        self._secure_port = sock.getsockname()[1]
        self._secure_server = await asyncio.get_running_loop().create_server(
            lambda: RtspConnection(self._rtsp, self._connections, secure=True), sock=sock, ssl=context
        )

    async def _leave(self) -> None:
        secure, self._secure_server = self._secure_server, None
        if secure is not None:
            secure.close()
        server, self._server = self._server, None
        responder, self._responder = self._responder, None
        self._rtsp.powered = False
        if server is not None:
            server.close()
        if responder is not None:
            responder.close()
        self._cut_all("unplugged", reset=True)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._onvif.stop()

    def _cut_all(self, why: str, *, reset: bool) -> None:
        for connection in list(self._connections):
            connection.cut(why, reset=reset)

    def _facts(self) -> Facts:
        camera_now_us = self._timebase.now_us() + round(self._options.clock_offset * 1e6)
        return Facts(self.identity, self._where, self.feed.clip.spec, camera_now_us)

    # the clockwork

    def _keep_ticking(self) -> None:
        if self._timer is None:
            self._shown = self.feed.newest(self._timebase.now_us())
            self._wait_for(self._shown + 1)

    def _wait_for(self, counter: int) -> None:
        due = self._timebase.loop_time(self.feed.captured_us(counter))
        self._timer = asyncio.get_running_loop().call_at(due, self._tick)

    def _tick(self) -> None:
        """Send every frame captured since the last tick: a late loop sends late, it never skips."""
        self._timer = None
        playing = [connection for connection in self._connections if connection.playing]
        if not playing:
            return
        now_us = self._timebase.now_us()
        for counter in range(self._shown + 1, self.feed.newest(now_us) + 1):
            self._shown = counter
            due_s = self._timebase.loop_time(self.feed.captured_us(counter))
            for connection in playing:
                connection.send_frame(counter, due_s)
        for connection in playing:
            connection.send_rest(now_us)
        self._wait_for(self._shown + 1)
