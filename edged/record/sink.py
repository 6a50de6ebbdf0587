"""What the segmenter decides, and who it tells: segments that begin and end, fragments, losses."""

from dataclasses import dataclass
from typing import Protocol

from edged.model import Cause
from edged.record.mp4.formats import VideoFormat
from edged.record.quirks import Quirk


@dataclass(frozen=True, slots=True)
class SegmentStart:
    """A segment begins: when, and under which clock."""

    start_us: int
    start_mono_us: int
    run: int


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    """A segment is complete: what its journal line will say, and the index to write behind its last fragment."""

    index: bytes
    end_us: int
    frames: int
    keyframes: int
    codec: str
    width: int
    height: int
    lost_packets: int
    rtcp_offset_us: int | None


class Sink(Protocol):
    """Where the segmenter's decisions go. None of the calls may block."""

    def begin(self, start: SegmentStart, video: VideoFormat, codec: str) -> None:
        """A segment begins; `codec` names all of its tracks (RFC 6381)."""

    def write(self, head: bytes, body: memoryview, end_us: int) -> bool:
        """Take one fragment; False where there is no room for it, and then nothing of it was taken."""

    def end(self, end: SegmentEnd) -> None: ...

    def loss(self, start_us: int, end_us: int, cause: Cause, packets: int, frames: int) -> None: ...

    def current_run(self) -> int: ...

    def lost_packets(self) -> int:
        """Packets lost since the session began."""

    def quirk(self, quirk: Quirk) -> None:
        """The camera does this otherwise than it should; may be said as often as it is seen."""
