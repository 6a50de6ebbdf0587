"""What discovery hands over: one record per device, and what changed about it. Types alone."""

from dataclasses import dataclass, field
from enum import StrEnum

from edged.discover.port import Profile


class Change(StrEnum):
    """How a device that answered relates to the cameras known before."""

    NEW = "new"
    SAME = "same"
    MOVED = "moved"  # a known camera at another address; perhaps changed as well
    CHANGED = "changed"  # a known camera with other profiles, stream, firmware or endpoint reference
    CLONE = "clone"  # claims the endpoint reference of a camera with another serial number: a camera of its own


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a device that answered cannot be recorded as it is. Carries no address and no model (I9)."""

    code: str  # stable, as of the error classes
    text: str  # what happened; what to do


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A camera as it was known before. A field that is None was not kept and is not compared."""

    camera_id: str
    endpoint_reference: str = field(default="", repr=False)
    serial: str = field(default="", repr=False)
    address: str = field(default="", repr=False)
    firmware: str | None = field(default=None, repr=False)
    profiles: tuple[Profile, ...] | None = field(default=None, repr=False)
    stream_uri: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A device that answered. All that is confidential stays out of its repr (I9).

    `camera_id` is "" where the device gave neither an endpoint reference nor a serial number; such a record always has
    a `problem` and cannot be kept. `endpoint_reference` is "" for a clone, whose claim to it is disputed.
    """

    camera_id: str
    change: Change
    differs: tuple[str, ...]  # of a known camera: names of the fields here that differ
    endpoint_reference: str = field(repr=False)  # normal form: lower case, no urn: or uuid: prefix
    serial: str = field(repr=False)
    address: str = field(repr=False)  # the address it answered from
    xaddr: str = field(repr=False)  # its device service, at that address
    manufacturer: str = field(repr=False)
    model: str = field(repr=False)
    firmware: str = field(repr=False)
    clock_offset_us: int | None  # the camera's UTC minus the host's; None where it does not tell
    profiles: tuple[Profile, ...] = field(repr=False)
    main_profile: str = field(repr=False)  # token of the profile that `stream_uri` belongs to
    stream_uri: str = field(repr=False)  # rtsp, at `address`, without credentials; "" where there is a problem
    problem: Problem | None
    sub_profile: str = field(default="", repr=False)  # token of the small profile; "" where none was asked for or fits
    sub_stream_uri: str = field(default="", repr=False)  # as `stream_uri`

    def as_known(self, before: Known | None = None) -> Known:
        """What is known of this camera from now on; what a problem kept from being learnt stays as `before` had it."""
        learnt = self.problem is None
        return Known(
            camera_id=self.camera_id,
            endpoint_reference=self.endpoint_reference,
            serial=self.serial,
            address=self.address,
            firmware=self.firmware if learnt else before.firmware if before else None,
            profiles=self.profiles if learnt else before.profiles if before else None,
            stream_uri=self.stream_uri if learnt else before.stream_uri if before else None,
        )
