"""What a track holds, as the container and the journal name it. Made by the codec files, compared by the segmenter."""

from dataclasses import dataclass
from enum import Enum


class Entry(Enum):
    """What decoding can begin at: kinds of keyframe."""

    CLOSED = "closed"  # nothing behind it needs what came before: IDR, JPEG
    OPEN = "open"  # as H.265 CRA: a sync sample, but what is shown before it may need what was sent before it
    RECOVERY = "recovery"  # the same in H.264, told by a recovery point: no sync sample by the letter (14496-15, 5.3.3)


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """A video track; where it changes, a new segment begins.

    `codec` is named after RFC 6381, `width` and `height` are pixels, `entry` is the sample entry for the file
    (ISO/IEC 14496-12, 8.5.2), `variant` tells apart what neither shows.
    """

    codec: str
    width: int
    height: int
    entry: bytes
    variant: int = 0


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """An audio track. `rate` is the ticks a second of its timestamps."""

    codec: str
    rate: int
    entry: bytes
