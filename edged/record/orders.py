"""What the successor of a running recorder tells it over its status socket, as lines of JSON. Decides only.

    succeed   I am here: leave the assignment and the socket to me. The recorder answers with YIELDING and goes on
              recording what it records. If the successor ends before it says leave, the recorder takes all back.
    release   Let go of these streams. With `before_keyframe` the recorder waits for the camera's next keyframe to be
              near, so that a camera that allows one session alone is without one for as short as can be.
    leave     All is released: seal what is left and end.

A recorder that does not know these lines ignores them, and its successor ends it as a service manager would.
"""

import json
from dataclasses import dataclass
from typing import Any

from edged.base.files import canonical_json
from edged.model import StreamKind

VERSION = 1
LINE_LIMIT = 1024 * 1024  # a thousand streams released at once need 50 KiB
YIELDING = b'{"yielding":true}\n'

StreamKey = tuple[str, StreamKind]  # camera id and which of its streams


@dataclass(frozen=True, slots=True)
class Succeed:
    """The process with this id takes over."""

    pid: int


@dataclass(frozen=True, slots=True)
class Release:
    """Let go of these streams."""

    streams: tuple[StreamKey, ...]
    before_keyframe: bool = False


@dataclass(frozen=True, slots=True)
class Leave:
    """Nothing is left to hand over."""


Order = Succeed | Release | Leave


class BadOrder(ValueError):
    """A line is no order that this version knows."""


def encode_order(order: Order) -> bytes:
    """`order` as one line, newline included."""
    match order:
        case Succeed(pid):
            fields: dict[str, Any] = {"do": "succeed", "pid": pid}
        case Release(streams, before_keyframe):
            fields = {"do": "release", "streams": [list(key) for key in streams], "before_keyframe": before_keyframe}
        case Leave():
            fields = {"do": "leave"}
    return canonical_json({"v": VERSION, **fields}) + b"\n"


def decode_order(line: bytes) -> Order:
    """The order in `line`. Raises BadOrder."""
    try:
        fields = json.loads(line)
        if fields["v"] != VERSION:
            raise BadOrder(f"an order of version {fields['v']}, this edged knows version {VERSION}")
        match fields["do"]:
            case "succeed":
                return Succeed(int(fields["pid"]))
            case "release":
                keys = tuple((str(camera), StreamKind(stream)) for camera, stream in fields["streams"])
                return Release(keys, bool(fields["before_keyframe"]))
            case "leave":
                return Leave()
            case _:
                raise BadOrder("an order that this edged does not know")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, BadOrder):
            raise
        raise BadOrder(f"a line of {len(line)} bytes is no order ({type(error).__name__})") from None
