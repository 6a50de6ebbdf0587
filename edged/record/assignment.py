"""The desired state: what the controller wants recorded, as one file that is replaced atomically.

It holds stream addresses and credentials, so it is mode 0600 and never logged (I9).
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edged.base.errors import OwnerMustAct
from edged.base.files import canonical_json, replace_file
from edged.model import StreamKind

VERSION = 1


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
    """One stream to record. `url` carries no credentials."""

    camera: str
    stream: StreamKind
    url: str
    username: str
    password: str = dataclasses.field(repr=False)
    volume: str


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
        fields["streams"] = tuple(
            AssignedStream(**{**stream, "stream": StreamKind(stream["stream"])}) for stream in fields["streams"]
        )
        return Assignment(**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # The content may hold a password: name the kind of error alone.
        raise BadAssignment(f"{path.name} is not an assignment ({type(error).__name__})") from None
