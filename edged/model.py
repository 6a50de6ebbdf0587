"""The glossary as types: one word per thing, shared by every station.

Times are integer microseconds UTC and end in ``_us``; monotonic readings end in ``_mono_us`` and are comparable only
within one ``boot_id``.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from edged.base.spans import Span


class StreamKind(StrEnum):
    """Which RTSP stream of a camera: the one recorded by law, or the small one."""

    MAIN = "main"
    SUB = "sub"


class Cause(StrEnum):
    """Why there is no footage: the closed list used by the journal, gaps, outages, MQTT and metric labels."""

    UNREACHABLE = "unreachable"  # no connection to the camera
    CREDENTIALS = "credentials"  # the camera rejects user name or password
    REFUSED = "refused"  # the camera answered with an error
    STALLED = "stalled"  # the connection stays, frames stop
    CLOSED = "closed"  # the camera or the network ended a running stream
    PROTOCOL = "protocol"  # what the camera sends cannot be recorded
    LOSS = "loss"  # packets were lost on the way
    DISK = "disk"  # the volume was too slow, full, read-only or gone
    RECORDER = "recorder"  # the recorder was not running
    PLANNED = "planned"  # stopped on purpose
    UNKNOWN = "unknown"  # no fact explains it


class StreamState(StrEnum):
    """What the recorder is doing about one stream right now."""

    CONNECTING = "connecting"
    STREAMING = "streaming"
    DOWN = "down"


# Listed: a place of Order 799 art. 7. Other: a public place outside that list (art. 9).
Place = Literal["listed", "other"]

# What a place is besides listed or not: each brings minimums of its own (rule packs, scope.designations).
Designation = Literal["key_target", "guard_service", "entertainment"]

# When footage past its floor goes: only once its volume needs space, or by age.
Keep = Literal["until-full", "floor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRule:
    """What the operator asks for beyond the law: a minimum in civil days, 0 for none, and when footage goes after it.

    It adds to what the law demands and takes nothing from it: neither a minimum nor a duty to delete.
    """

    at_least_days: int = 0
    keep: Keep = "until-full"


@dataclass(frozen=True, slots=True)
class Situation:
    """All of a camera that law goes by. `designations` are sorted."""

    place: Place
    designations: tuple[Designation, ...] = ()
    own: OwnRule = OwnRule()


class CameraState(StrEnum):
    """Where a camera stands in the roster."""

    FOUND = "found"  # discovered, waits for adoption
    ADOPTED = "adopted"  # is to be recorded
    REMOVED = "removed"  # no longer recorded; its footage keeps its floor


# --- facts: what the recorder writes into the journal (DESIGN 6) -------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentSealed:
    """A segment was closed and published. One file, one stream, at most 60 s, starting on a keyframe."""

    camera: str
    stream: StreamKind
    start_us: int  # arrival of the first packet of the first frame, host wall clock
    end_us: int  # end of the last frame; equals the next segment's start where the stream went on
    run: int  # persisted counter: a clock that steps back can never reuse a name
    seq: int  # counts segments within the run
    bytes: int
    frames: int
    keyframes: int
    codec: str  # of all tracks (RFC 6381), e.g. avc1.64001f,mp4a.40.2
    width: int
    height: int
    sha256: str  # of the bytes as they went out, lower-case hex
    lost_packets: int  # 0 where recovered: only the losses know
    recovered: bool  # sealed after a crash, cut to its last whole fragment
    boot_id: str
    start_mono_us: int  # 0 where recovered: a crash leaves no reading
    rtcp_offset_us: int | None = None  # camera's sender-report time minus arrival; never used to label


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamUp:
    """The first frame of a session arrived."""

    camera: str
    stream: StreamKind
    at_us: int
    mono_us: int
    boot_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamDown:
    """A session ended, or could not begin. Written at every change of cause, not at every try."""

    camera: str
    stream: StreamKind
    at_us: int
    mono_us: int
    boot_id: str
    cause: Cause
    last_frame_us: int | None  # end of the last good frame stored by this recorder process
    code: str  # the error's stable code


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Something that should be inside the recorded time is not: packets lost on the way, or frames not written.

    Two with the same stream, start and cause are one loss, told again when more of it was known.
    """

    camera: str
    stream: StreamKind
    start_us: int
    end_us: int
    # LOSS (packets, the span stays covered but damaged), DISK (frames, the span is a gap) or PROTOCOL (frames that no
    # decoder could have shown from where their segment begins, the span stays covered)
    cause: Cause
    packets: int
    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderStart:
    """A recorder process began; written to every volume."""

    recorder: str
    run: int
    at_us: int
    mono_us: int
    boot_id: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderStop:
    """A recorder process ended in order; written to every volume. After a crash it is absent."""

    recorder: str
    run: int
    at_us: int
    mono_us: int
    boot_id: str


Fact = SegmentSealed | StreamUp | StreamDown | Loss | RecorderStart | RecorderStop


# --- status: what the recorder says once a second over its Unix socket -------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatus:
    """One stream as the recorder sees it. Counters count since the recorder process started."""

    camera: str
    stream: StreamKind
    state: StreamState
    since_us: int
    cause: Cause | None  # why it is not streaming
    code: str  # stable code of the last error, "" where none
    last_frame_us: int | None  # arrival of the last whole frame
    committed_us: int | None  # end of the last frame written to the volume: the truth outages go by
    frames: int
    keyframes: int
    bytes: int
    packets: int
    lost_packets: int
    sessions: int
    codec: str
    width: int
    height: int
    quirks: tuple[str, ...] = ()  # what the camera does otherwise than it should, by name


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeStatus:
    """One volume as the recorder's writer thread sees it."""

    volume: str
    ok: bool
    reason: str  # "" where ok, else why the volume is fenced
    queued_bytes: int
    written_bytes: int
    overflows: int  # fragments dropped because the queue was full


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderStatus:
    """One line of the status socket."""

    recorder: str
    pid: int
    version: str
    run: int
    boot_id: str
    started_us: int
    at_us: int
    mono_us: int
    generation: int  # of the assignment in force; 0 where none was read yet
    streams: tuple[StreamStatus, ...]
    volumes: tuple[VolumeStatus, ...]


# --- what the archive answers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gap:
    """A span without footage, with its cause."""

    span: Span
    cause: Cause


@dataclass(frozen=True, slots=True)
class Coverage:
    """All time of one stream within a window: what is recorded, and what is not and why (I4)."""

    window: Span
    recorded: tuple[Span, ...]
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The minimum retention of a segment: whole local civil days, and the rule ids that give them."""

    days: int
    rules: tuple[str, ...]
