"""The journal's line format: one fact, one line of canonical JSON (NDJSON), written by the recorder alone.

A line is a promise that what it names is durable. A torn last line (a crash in the middle of a write) is not a line:
readers stop at the last newline, and a writer that opens such a file ends the torn line first.
"""

import dataclasses
import json
import re
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from edged.archive.layout import is_camera_id
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
_LATEST_US = 253_402_300_799_999_999  # the last microsecond of the year 9999, where calendars end
_COUNT_LIMIT = 1 << 62
_SHA256 = re.compile(r"[0-9a-f]{64}")


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
        fields: dict[str, Any] = json.loads(line.decode())  # half the time of loads(bytes), which guesses encodings
        kind = _KINDS[fields["kind"]]
        if fields["v"] != VERSION:
            raise BadLine(f"journal line of version {fields['v']}, this edged reads version {VERSION}")
        if "stream" in fields:
            fields["stream"] = StreamKind(fields["stream"])
        if "cause" in fields:
            fields["cause"] = Cause(fields["cause"])
        return kind(**_checked(fields, _SHAPES[kind]))
    except (ValueError, KeyError, TypeError) as error:
        raise BadLine(f"journal line of {len(line)} bytes is not a fact ({type(error).__name__})") from error


class _Field(typing.NamedTuple):
    name: str
    types: frozenset[type]
    limit: int | None  # of an integer that must not be negative


def _shape(kind: type[Fact]) -> tuple[_Field, ...]:
    return tuple(
        _Field(name, frozenset(typing.get_args(hint) or (hint,)), _limit(name))
        for name, hint in typing.get_type_hints(kind).items()
    )


def _limit(name: str) -> int | None:
    if name == "rtcp_offset_us":
        return None
    return _LATEST_US if name.endswith("_us") else _COUNT_LIMIT


_SHAPES = {kind: _shape(kind) for kind in _KINDS.values()}


def _checked(told: Mapping[str, Any], shape: Iterable[_Field]) -> dict[str, Any]:
    """The known fields of `told`; refuses what the index could not store: one bad line must not hold up the journal
    behind it."""
    fields: dict[str, Any] = {}
    for name, types, limit in shape:
        if name not in told:
            continue
        value = fields[name] = told[name]
        kind = type(value)
        if kind not in types:
            raise TypeError(name)
        if kind is int and limit is not None and not 0 <= value <= limit:
            raise ValueError(name)
    if "end_us" in fields and fields["end_us"] < fields["start_us"]:
        raise ValueError("end_us")
    if "camera" in fields and not is_camera_id(fields["camera"]):
        raise ValueError("camera")
    if "sha256" in fields and not _SHA256.fullmatch(fields["sha256"]):
        raise ValueError("sha256")
    return fields
