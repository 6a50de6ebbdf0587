"""What a fleet can be asked for, checked before anything is opened. Decides only."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from simulators.auth import AUTH_SCHEMES
from simulators.film import ClipSpec
from simulators.mischief import QUIRKS
from simulators.onvif_server import AUTH_KINDS
from simulators.sound import SOUNDS

RTSP_PORT = 10554  # fixed, so that a camera is where it was after a restart; any other where it is taken
RTSPS_PORT = 10322
ONVIF_PORT = 10080
TRANSPORTS = {"tcp": ("tcp",), "udp": ("udp",), "both": ("tcp", "udp")}
PACINGS = ("burst", "spread")


class OptionError(ValueError):
    """An option that cannot be; the message names it, says why and what would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """A fleet as asked for. `bitrate` in bit/s or like `500k`, `4M`; `size` like `640x360`; times in seconds.

    `long_gop` is the time from keyframe to keyframe and overrides `gop`. `transport` says what SETUP takes, `slots` how
    many sessions a camera serves at once, `quirks` what is odd about all of them (`simulators.mischief.QUIRKS`).
    `pacing`: a frame's packets leave all at once, or spread over the frame interval as cameras do.

    Without a `seed` every fleet is another: serial numbers and endpoint references never meet those of a neighbour.
    """

    cameras: int = 4
    bitrate: int | str = "1M"
    fps: int = 25
    gop: int = 50
    size: str = "640x360"
    subnet: str = "127.10.0"
    seed: int | None = None
    username: str = "admin"
    password: str = "secret"
    auth: str = "digest"
    onvif: bool = True
    onvif_auth: str = "both"
    multicast: bool = True
    interface: str = "lo"
    clock_offset: float = 0.0
    session_timeout: float = 60.0
    nonce_lifetime: float | None = None
    max_behind_bytes: int = 8 << 20
    codec: str = "h264"
    bframes: int = 0
    open_gop: bool = False
    long_gop: float | None = None
    audio: str = "none"
    metadata: bool = False
    transport: str = "tcp"
    tls: bool = False
    slots: int | None = None
    pacing: str = "burst"
    quirks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise OptionError (or ClipError for the film) for the first option that cannot be."""
        if not 1 <= self.cameras <= 1000:
            raise OptionError(f"cameras = {self.cameras}: want 1 to 1000")
        for name, value, known in (
            ("auth", self.auth, AUTH_SCHEMES),
            ("audio", self.audio, SOUNDS),
            ("transport", self.transport, TRANSPORTS),
            ("pacing", self.pacing, PACINGS),
            *(("quirk", quirk, QUIRKS) for quirk in self.quirks),
        ):
            if value not in known:
                raise OptionError(f"{name} = {value}: want one of {', '.join(known)}")
        if self.slots is not None and self.slots < 1:
            raise OptionError(f"slots = {self.slots}: want 1 or more")
        if self.codec == "mjpeg" and "giant-nal" in self.quirks:
            raise OptionError("quirk = giant-nal: mjpeg has no NAL units; choose h264 or h265")
        if self.long_gop is not None and not 0 < self.long_gop <= 300:
            raise OptionError(f"long-gop = {self.long_gop}: want more than 0 and at most 300 seconds")
        if self.onvif_auth not in AUTH_KINDS:
            raise OptionError(f"onvif-auth = {self.onvif_auth}: want one of {', '.join(AUTH_KINDS)}")
        if not 1 <= self.session_timeout <= 3600:
            raise OptionError(f"session-timeout = {self.session_timeout}: want 1 to 3600 seconds")
        if self.nonce_lifetime is not None and self.nonce_lifetime <= 0:
            raise OptionError(f"nonce-lifetime = {self.nonce_lifetime}: want more than 0 seconds")
        next(self.addresses())
        _ = self.film

    @property
    def film(self) -> ClipSpec:
        """The film every camera shows."""
        size = re.fullmatch(r"(\d{1,5})x(\d{1,5})", self.size)
        if size is None:
            raise OptionError(f"size = {self.size}: want WIDTHxHEIGHT, such as 640x360")
        gop = self.gop if self.long_gop is None else max(1, round(self.long_gop * self.fps))
        bitrate = parse_bitrate(self.bitrate)
        return ClipSpec(int(size[1]), int(size[2]), self.fps, gop, bitrate, self.codec, self.bframes, self.open_gop)

    def addresses(self) -> Iterator[str]:
        """Addresses for cameras: SUBNET.1 to SUBNET.254, then on in the next /24."""
        try:
            base = int(ipaddress.IPv4Address(f"{self.subnet}.0"))
        except ValueError as error:
            raise OptionError(f"subnet = {self.subnet}: want three numbers, such as 127.10.0") from error
        for number in range(256 * 254):
            yield str(ipaddress.IPv4Address(base + number // 254 * 256 + number % 254 + 1))


def parse_bitrate(text: int | str) -> int:
    """Bits per second from a number or one with k or M. Raises OptionError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kM]?)", str(text))
    if found is None:
        raise OptionError(f"bitrate = {text}: want bits per second, such as 500k or 4M")
    return int(float(found[1]) * {"": 1, "k": 1_000, "M": 1_000_000}[found[2]])
