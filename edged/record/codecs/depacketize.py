"""RTP packets to whole pictures: what all video codecs have in common. No sockets, no clock.

Units grow in one buffer, as an MP4 stores them: the fragment that goes to disk is that very buffer, so a byte is
copied once on its way from the receive buffer. Nothing is filtered or reordered: SEI messages hold camera signatures,
and a stripped one cannot be proved afterwards.

What a lost packet tore is left out, whole parts around it stay: damaged footage is still evidence.
"""

import struct
from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

from edged.record.buffers import FrameBuffer
from edged.record.errors import BadStream
from edged.record.mp4.formats import Entry, VideoFormat
from edged.record.net import rtp
from edged.record.quirks import OnQuirk, Quirk

UNIT_LIMIT = 8 * 1024 * 1024  # a 4K keyframe is under 2 MiB; without a limit one camera could take all memory
NONE = -1


class OnUnit(Protocol):
    """Takes a whole access unit, which lies in the buffer from `start` on; may detach what lies there."""

    def __call__(self, start: int, timestamp: int, key: bool, wall_us: int, mono_us: int) -> None: ...


class Depacketizer(ABC):
    """One video track's packets in, access units out through `on_unit`.

    The attributes that the interleaved reader's fast path needs are public; everything else goes through `packet`.
    """

    __slots__ = (
        "_entry",
        "_key",
        "_on_quirk",
        "_on_unit",
        "_payload_type",
        "_picture",
        "_stale",
        "_torn",
        "buffer",
        "entry",
        "format",
        "lost",
        "middle",
        "mono_us",
        "next_number",
        "open_at",
        "packets",
        "stamp",
        "torn_units",
        "unit_start",
        "wall_us",
    )
    # "$", channel, length | V P X CC M PT, sequence number | timestamp, SSRC | what a continuing payload begins with
    beginning: ClassVar[struct.Struct] = struct.Struct(">HHHHQH")
    nothing: ClassVar[int | bytes] = NONE  # what no payload begins with

    def __init__(self, payload_type: int, buffer: FrameBuffer, on_unit: OnUnit, on_quirk: OnQuirk) -> None:
        self._on_unit = on_unit
        self._on_quirk = on_quirk
        self._payload_type = payload_type
        self.buffer = buffer
        self.unit_start = 0
        self.open_at = NONE  # where the part begins that further packets continue
        self.middle = self.nothing  # the beginning of a payload that continues it
        self.stamp = NONE  # timestamp and SSRC of the open unit, as one 64-bit number
        self.next_number = NONE
        self.wall_us = 0  # arrival of the open unit's first packet
        self.mono_us = 0
        self._picture = False
        self._key = False
        self._entry = Entry.CLOSED
        self._torn = False
        self._stale = False  # what `format` is made of has changed
        self.packets = 0
        self.lost = 0
        self.torn_units = 0  # access units of which at least one part is missing
        self.entry = Entry.CLOSED  # of the keyframe given out last
        self.format: VideoFormat | None = None  # what the track holds, as of the last keyframe; None until it is known

    def packet(self, data: memoryview, start: int, stop: int, wall_us: int, mono_us: int) -> None:
        """Take any packet; what is no packet of this track is passed over. Raises BadStream."""
        parsed = rtp.payload_span(data, start, stop)
        if parsed is None or parsed[0] & 0x7F != self._payload_type:
            self._on_quirk(Quirk.STRAY_PACKETS)
            return
        if data[start] & 0x30:
            self._on_quirk(Quirk.PADDING if data[start] & 0x20 else Quirk.EXTENSION)
        kind, number, timestamp, source, at, stop = parsed
        stamp = timestamp << 32 | source
        if not self._follows(number, stamp):
            return
        self.packets += 1
        if at >= stop:
            return  # padding alone, sent to keep a path open: it has a number, and no part in any picture
        self.payload(data, at, stop, stamp, kind & 0x80, wall_us, mono_us)

    def payload(
        self, data: memoryview, at: int, stop: int, stamp: int, marker: int, wall_us: int, mono_us: int
    ) -> None:
        """Take the payload ``data[at:stop]``, which is not empty, of a packet whose number is accounted for.

        `stamp` as the attribute of that name; `marker` is not 0 on the picture's last packet. Raises BadStream.
        """
        if stamp != self.stamp:
            if self.stamp != NONE:
                if self._picture and not self._torn:
                    self._on_quirk(Quirk.NO_MARKER)
                self._end_unit()
            self.stamp = stamp
        if self.buffer.fill == self.unit_start:
            self.wall_us, self.mono_us = wall_us, mono_us
        self._take(data, at, stop)
        if self.buffer.fill - self.unit_start > UNIT_LIMIT:
            raise BadStream(f"the camera sent a picture of more than {UNIT_LIMIT} bytes")
        if marker and self._picture:
            # A marker behind parameter sets alone (seen from several makers) does not end the picture's unit.
            self._end_unit()

    def take_ready(self) -> memoryview:
        """Hand over the whole units collected so far; the open unit goes on in another buffer."""
        # Where `on_unit` raised after it had detached the fragment, less is there than was.
        cut, self.unit_start = min(self.unit_start, self.buffer.fill), 0
        if self.open_at != NONE:
            self.open_at -= cut
        return self.buffer.detach(cut)

    @abstractmethod
    def _take(self, data: memoryview, at: int, stop: int) -> None:
        """Take the payload ``data[at:stop]``, which is not empty. Raises BadStream."""

    @abstractmethod
    def _describe(self) -> VideoFormat | None:
        """What the track holds by now; None where that is not known yet. Raises BadStream."""

    def _follows(self, number: int, stamp: int) -> bool:
        """Account for the sequence number; False for a packet that came before."""
        if self.next_number != NONE:
            another_source = (stamp ^ self.stamp) & 0xFFFF_FFFF
            missing = None if another_source else rtp.steps_between(self.next_number, number)
            if missing is None:  # counting began anew: what is open cannot be completed, how much is missing is unknown
                self._on_quirk(Quirk.SSRC_CHANGE if another_source else Quirk.SEQUENCE_JUMP)
                self._tear()
            elif missing < 0:
                return False
            elif missing:
                self.lost += missing
                self._tear()
        self.next_number = (number + 1) & 0xFFFF
        return True

    def _drop_open(self) -> None:
        """A part that will not be completed leaves."""
        if self.open_at != NONE:
            self.buffer.fill = self.open_at
            self.open_at, self.middle = NONE, self.nothing
            self._torn = True

    def _tear(self) -> None:
        self._drop_open()
        self._torn = True

    def _end_unit(self) -> None:
        self._drop_open()
        if self._torn:
            self.torn_units += 1
            self._torn = False
        if not self._picture:
            return  # parameter sets under a timestamp of their own belong to the picture that follows
        key = self._key
        self._picture = self._key = False
        self.entry, self._entry = self._entry, Entry.CLOSED
        if key and self._stale:
            self.format = self._describe()
            self._stale = False
        self._on_unit(self.unit_start, self.stamp >> 32, key, self.wall_us, self.mono_us)
        self.unit_start = self.buffer.fill
