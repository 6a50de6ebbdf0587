"""Which volume a stream's segments go to: its own as long as that is well, else where there is room. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Room:
    """A volume that can be written to now. `trusted`: it has been well for long enough to be gone back to."""

    volume: str
    trusted: bool
    free_bytes: int
    streams: int  # that write to it


def choose(home: str, rooms: Iterable[Room]) -> str | None:
    """The volume for a stream that belongs on `home`; None where none can be written to.

    Away from home a stream goes where most space is free for each stream that writes there, itself included, so that
    the cameras of a failed volume spread over all others. One that has just failed is better than none.
    """
    best = max(
        rooms,
        key=lambda room: (
            room.trusted,
            room.trusted and room.volume == home,
            room.free_bytes / (room.streams + 1),
            room.volume,
        ),
        default=None,
    )
    return None if best is None else best.volume
