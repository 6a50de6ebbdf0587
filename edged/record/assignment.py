"""The desired state: what the controller wants recorded, as one file that is replaced atomically.

It holds stream addresses and credentials, so it is mode 0600 and never logged (I9).
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from edged.base.errors import OwnerMustAct
from edged.base.files import canonical_json, replace_file
from edged.model import StreamKind

VERSION = 1
Transport = Literal["tcp", "udp"]


class BadAssignment(OwnerMustAct):
    """assignment.json cannot be used; the recorder goes on with what it had."""

    code = "REC-010"
    hint = "the controller rewrites it at its next start; check which version wrote it"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignedVolume:
    """A volume to write to, and the identity its VOLUME.json must show."""

    id: str
    path: str
    uuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignedStream:
    """One stream to record. `url` (rtsp:// or rtsps://) carries no credentials.

    `tls_ca` is a file of PEM certificates that a camera's certificate must lead to, `tls_pin` the SHA-256 fingerprint
    of the certificate itself in hexadecimal; where both are given both must hold, where neither is the system's own
    authorities decide. `redirect_hosts` are the hosts, beside its own, that the camera may send its viewers to.
    """

    camera: str
    stream: StreamKind
    url: str
    username: str
    password: str = dataclasses.field(repr=False)
    volume: str
    transport: Transport = "tcp"  # of the media; the conversation itself is always TCP, with rtsps:// inside TLS
    tls_ca: str = ""
    tls_pin: str = ""
    redirect_hosts: tuple[str, ...] = ()
    audio: bool = False  # recorded as well; several jurisdictions restrict it
    no_room: bool = False  # wanted, but not to be recorded: its volume is full of footage that must be kept

    def __post_init__(self) -> None:
        """Raise ValueError for a transport that is none."""
        if self.transport not in get_args(Transport):
            raise ValueError("the transport is neither tcp nor udp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Everything the recorder needs to know. Durations in seconds."""

    generation: int
    recorder: str
    segment_seconds: float
    fragment_seconds: float
    sync_seconds: float
    volumes: tuple[AssignedVolume, ...]
    streams: tuple[AssignedStream, ...]


def write_assignment(path: Path, assignment: Assignment) -> None:
    """Replace the file at `path`. Raises OSError."""
    replace_file(path, canonical_json({"v": VERSION, **dataclasses.asdict(assignment)}), mode=0o600)


def read_assignment(path: Path) -> Assignment:
    """Raises FileNotFoundError where there is none yet, OSError, BadAssignment."""
    raw = path.read_bytes()
    try:
        fields: dict[str, Any] = json.loads(raw)
        if fields.pop("v") != VERSION:
            raise BadAssignment(f"{path.name} is of another version than {VERSION}")
        fields["volumes"] = tuple(AssignedVolume(**volume) for volume in fields["volumes"])
        fields["streams"] = tuple(_read_stream(stream) for stream in fields["streams"])
        return Assignment(**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # The content may hold a password: name the kind of error alone.
        raise BadAssignment(f"{path.name} is not an assignment ({type(error).__name__})") from None


def _read_stream(fields: dict[str, Any]) -> AssignedStream:
    hosts = tuple(str(host) for host in fields.get("redirect_hosts", ()))
    return AssignedStream(**{**fields, "stream": StreamKind(fields["stream"]), "redirect_hosts": hosts})
