"""Which cameras leave a volume that is full of footage that must be kept, or stop, and when they go on. Decides only.

The last resort, after everything that may be deleted has been (LAW 3.5: past the ceiling, past the floor, oldest
first; then stop new recording on the lowest-priority cameras; never footage below its floor). What runs out then is
the reserve, and it is shared out: while more than half of it is left all cameras are recorded; between a half and an
eighth as much of what they write as there is room left in between, the most important cameras first, and of those that
are as important the ones that an evidence hold awaits footage of; below an eighth none, because journals, indexes and
open files need a place to end.

Nobody stops while another volume has its reserve whole: who would have to is recorded there from then on.

Cameras go on when the whole reserve is seen to be free again, all together: free space that is only hoped for, or a
little of it, would make them come and go.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

STOPPING_FROM = 2  # 1/2 of the reserve
STOPPED_BY = 8  # 1/8 of the reserve
# A reserve larger than a quarter of the disk (a small disk, the default reserve) must not stop an empty one.
LARGEST_SHARE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """One adopted camera of the volume: its priority (higher is more important), whether what it records now is
    evidence under a hold, what it writes while it is recorded, and whether it is stopped at present."""

    camera: str
    priority: int
    held: bool = False
    bytes_per_s: int
    stopped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A volume as it is seen right now, and the bytes that its configuration wants free. `exhausted`: the sweep has
    looked since the reserve was broken into, and there is nothing more that it may delete."""

    size_bytes: int
    free_bytes: int
    reserve_bytes: int
    exhausted: bool

    @property
    def reserve(self) -> int:
        """The reserve that counts here, in bytes."""
        return min(self.reserve_bytes, self.size_bytes // LARGEST_SHARE)

    @property
    def low(self) -> bool:
        """Whether the reserve is broken into."""
        return self.free_bytes < self.reserve


@dataclass(frozen=True, slots=True, kw_only=True)
class Haven:
    """Another volume that has its reserve whole: the bytes beyond that, and how many cameras write there."""

    volume: str
    spare_bytes: int
    writers: int


def shelter(cameras: Iterable[str], havens: Sequence[Haven]) -> dict[str, str]:
    """Where each of `cameras` is recorded instead, by id: spread by spare room for each that writes there. Empty where
    there is no haven."""
    spare = {haven.volume: haven.spare_bytes for haven in havens}
    writing = {haven.volume: haven.writers for haven in havens}
    moves = {}
    for camera in sorted(cameras) if spare else ():
        moves[camera] = max(spare, key=lambda volume: (spare[volume] / (writing[volume] + 1), volume))
        writing[moves[camera]] += 1
    return moves


def to_stop(room: Room, writers: Sequence[Writer]) -> frozenset[str]:
    """The cameras that must not be recorded now. Where none is stopped and there is room, none."""
    if not room.low:
        return frozenset()
    rates = {writer.camera: max(1, writer.bytes_per_s) for writer in writers}
    kept = _shared_out(room, sum(rates.values()))
    # What has stopped stays stopped until the reserve is whole; among themselves the cameras may change places.
    kept = min(kept, sum(rates[writer.camera] for writer in writers if not writer.stopped))
    stop = set()
    before = 0
    for writer in sorted(writers, key=lambda w: (-w.priority, not w.held, w.stopped, rates[w.camera], w.camera)):
        if before >= kept:
            stop.add(writer.camera)
        before += rates[writer.camera]
    return frozenset(stop)


def _shared_out(room: Room, wanted: int) -> int:
    """How much of `wanted`, in bytes a second, the rest of the reserve may still serve."""
    begin, end = room.reserve // STOPPING_FROM, room.reserve // STOPPED_BY
    if room.free_bytes <= end:
        return 0
    if not room.exhausted or room.free_bytes >= begin:
        return wanted
    return -(-wanted * (room.free_bytes - end) // (begin - end))
