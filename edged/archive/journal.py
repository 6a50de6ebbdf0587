"""The journal's line format: one fact, one line of canonical JSON (NDJSON), written by the recorder alone.

A line is a promise that what it names is durable. A torn last line (a crash in the middle of a write) is not a line:
readers stop at the last newline, and a writer that opens such a file ends the torn line first.
"""

import dataclasses
import json
from typing import Any

from edged.base.errors import OwnerMustAct
from edged.base.files import canonical_json
from edged.model import (
    Cause,
    Fact,
    Loss,
    RecorderStart,
    RecorderStop,
    SegmentSealed,
    StreamDown,
    StreamKind,
    StreamUp,
)

VERSION = 1
_KINDS: dict[str, type[Fact]] = {
    "segment": SegmentSealed,
    "stream_up": StreamUp,
    "stream_down": StreamDown,
    "loss": Loss,
    "recorder_start": RecorderStart,
    "recorder_stop": RecorderStop,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


class BadLine(OwnerMustAct):
    """A journal line cannot be understood: torn by a crash, damaged, or written by a newer edged."""

    code = "ARC-010"
    hint = "a torn line after a crash is harmless; otherwise check the volume and the version that wrote it"


def encode(fact: Fact) -> bytes:
    """`fact` as one line, newline included."""
    return canonical_json({"v": VERSION, "kind": _NAMES[type(fact)], **dataclasses.asdict(fact)}) + b"\n"


def decode(line: bytes) -> Fact:
    """The fact in `line`. Unknown fields are ignored (a newer writer may add some). Raises BadLine."""
    try:
        fields: dict[str, Any] = json.loads(line)
        kind = _KINDS[fields["kind"]]
        if fields["v"] != VERSION:
            raise BadLine(f"journal line of version {fields['v']}, this edged reads version {VERSION}")
        if "stream" in fields:
            fields["stream"] = StreamKind(fields["stream"])
        if "cause" in fields:
            fields["cause"] = Cause(fields["cause"])
        wanted = {f.name for f in dataclasses.fields(kind)}
        return kind(**{name: value for name, value in fields.items() if name in wanted})
    except (ValueError, KeyError, TypeError) as error:
        raise BadLine(f"journal line of {len(line)} bytes is not a fact ({type(error).__name__})") from error
