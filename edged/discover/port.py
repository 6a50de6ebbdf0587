"""What discovery asks of a camera, and how a camera may fail to answer. No SOAP, no HTTP: adapters stand behind it."""

from dataclasses import dataclass, field
from typing import Protocol

from edged.base.errors import OwnerMustAct, TryAgain


class CameraUnreachable(TryAgain):
    """No connection, no answer in time, or the camera says it is busy."""

    code = "DIS-010"
    hint = "check its power, cable and address"


class CameraRefusesLogin(OwnerMustAct):
    """The camera wants a login: none is configured, or the one configured was rejected."""

    code = "DIS-020"
    hint = "set discovery.login, or login under a [[camera]] with this id; some makes want a separate ONVIF user"


class CameraSpeaksOddly(OwnerMustAct):
    """The camera answered, but not with what ONVIF promises."""

    code = "DIS-030"
    hint = "update its firmware, or give its stream as url under a [[camera]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """One user name and password."""

    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceIdentity:
    """GetDeviceInformation (ONVIF Core 8.3.1). Each is "" where the device leaves it out. Confidential (I9)."""

    manufacturer: str = field(default="", repr=False)
    model: str = field(default="", repr=False)
    firmware: str = field(default="", repr=False)
    serial: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One media profile with a video encoder. Numbers are 0 where the camera does not say."""

    token: str
    name: str = field(repr=False)  # free text: may name a place
    codec: str  # upper case as ONVIF writes it: H264, H265, JPEG, ...; "" where there is no encoder
    width: int
    height: int
    fps: float = 0.0
    bitrate_kbps: int = 0


class OnvifPort(Protocol):
    """One camera at one address. Every method raises CameraUnreachable or CameraSpeaksOddly."""

    async def clock(self) -> int | None:
        """The camera's UTC clock minus the host's, microseconds, asked without authentication; ±0.5 s.

        None where the camera gives no UTC time, or asks for a login before it tells (ONVIF Core 8.3.5 forbids that).
        """

    async def identity(self) -> DeviceIdentity:
        """Who the device says it is. Raises CameraRefusesLogin."""

    async def profiles(self) -> tuple[Profile, ...]:
        """The media profiles, in the camera's order. Raises CameraRefusesLogin."""

    async def stream_uri(self, profile: str) -> str:
        """The rtsp URL of the profile with this token, at the camera's own address, without credentials.

        Raises CameraRefusesLogin.
        """
