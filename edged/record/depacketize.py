"""RTP packets to H.264 access units (RFC 6184: single NAL unit, STAP-A, FU-A). No sockets, no clock.

Units grow in one buffer, each NAL unit behind its length in four bytes, as an MP4 stores them (ISO 14496-15, 5.3.3):
the fragment that goes to disk is that very buffer, so a byte is copied once on its way from the receive buffer.
Nothing is filtered or reordered: SEI messages hold camera signatures, and a stripped one cannot be proved afterwards.

What a lost packet tore is left out, whole NAL units around it stay: damaged footage is still evidence.
"""

import struct
from collections.abc import Sequence
from typing import Protocol

from edged.record import rtp
from edged.record.buffers import FrameBuffer
from edged.record.errors import BadStream
from edged.record.h264 import IDR, PPS, SLICE_FIRST, SLICE_LAST, SPS, parameter_set_id

UNIT_LIMIT = 8 * 1024 * 1024  # a 4K keyframe is under 2 MiB; without a limit one camera could take all memory
PARAMETER_SETS_LIMIT = 32  # distinct PPS kept; streams use one or two

_LENGTH = struct.Struct(">I")
_LENGTH_AND_HEADER = struct.Struct(">IB")
_STAP_A, _FU_A = 24, 28
_NONE = -1


class OnUnit(Protocol):
    """Takes a whole access unit, which lies in the buffer from `start` on; may detach what lies there."""

    def __call__(self, start: int, timestamp: int, key: bool, wall_us: int, mono_us: int) -> None: ...


class Depacketizer:
    """One video track's packets in, access units out through `on_unit`.

    The attributes that the interleaved reader's fast path needs are public; everything else goes through `packet`.
    """

    __slots__ = (
        "_key",
        "_on_unit",
        "_payload_type",
        "_picture",
        "_torn",
        "buffer",
        "lost",
        "middle",
        "mono_us",
        "nal_start",
        "next_number",
        "packets",
        "pps",
        "sps",
        "stamp",
        "torn_units",
        "unit_start",
        "wall_us",
    )

    def __init__(
        self, payload_type: int, parameter_sets: Sequence[bytes], buffer: FrameBuffer, on_unit: OnUnit
    ) -> None:
        self._on_unit = on_unit
        self._payload_type = payload_type
        self.buffer = buffer
        self.unit_start = 0
        self.nal_start = _NONE  # where the open fragmentation unit's length goes
        self.middle = _NONE  # FU indicator and header that continue it (RFC 6184, 5.8)
        self.stamp = _NONE  # timestamp and SSRC of the open unit, as one 64-bit number
        self.next_number = _NONE
        self.wall_us = 0  # arrival of the open unit's first packet
        self.mono_us = 0
        self._picture = False
        self._key = False
        self._torn = False
        self.packets = 0
        self.lost = 0
        self.torn_units = 0  # access units of which at least one NAL unit is missing
        self.sps = b""
        self.pps: tuple[bytes, ...] = ()
        for one in parameter_sets:
            self._learn(one[0] & 31, one)

    def packet(self, data: memoryview, start: int, stop: int, wall_us: int, mono_us: int) -> None:
        """Take any packet; what is no packet of this track is passed over. Raises BadStream."""
        parsed = rtp.payload_span(data, start, stop)
        if parsed is None or parsed[0] & 0x7F != self._payload_type:
            return
        kind, number, timestamp, source, at, stop = parsed
        stamp = timestamp << 32 | source
        if not self._follows(number, stamp):
            return
        self.packets += 1
        if stamp != self.stamp:
            if self.stamp != _NONE:
                self._end_unit()
            self.stamp = stamp
        if self.buffer.fill == self.unit_start:
            self.wall_us, self.mono_us = wall_us, mono_us
        nal_type = data[at] & 31
        if nal_type == _FU_A:
            self._fragment(data, at, stop)
        elif 0 < nal_type < _STAP_A:
            self._drop_open()
            self._whole(data, at, stop)
        elif nal_type == _STAP_A:
            self._drop_open()
            self._aggregate(data, at + 1, stop)
        else:
            raise BadStream(f"the camera sends H.264 in a packet form that was not agreed ({nal_type})")
        if self.buffer.fill - self.unit_start > UNIT_LIMIT:
            raise BadStream(f"the camera sent a picture of more than {UNIT_LIMIT} bytes")
        if kind & 0x80 and self._picture:
            # A marker behind parameter sets alone (seen from several makers) does not end the picture's unit.
            self._end_unit()

    def take_ready(self) -> memoryview:
        """Hand over the whole units collected so far; the open unit goes on in another buffer."""
        # Where `on_unit` raised after it had detached the fragment, less is there than was.
        cut, self.unit_start = min(self.unit_start, self.buffer.fill), 0
        if self.nal_start != _NONE:
            self.nal_start -= cut
        return self.buffer.detach(cut)

    def _follows(self, number: int, stamp: int) -> bool:
        """Account for the sequence number; False for a packet that came before."""
        if self.next_number != _NONE:
            another_source = (stamp ^ self.stamp) & 0xFFFF_FFFF
            missing = None if another_source else rtp.steps_between(self.next_number, number)
            if missing is None:  # counting began anew: what is open cannot be completed, how much is missing is unknown
                self._tear()
            elif missing < 0:
                return False
            elif missing:
                self.lost += missing
                self._tear()
        self.next_number = (number + 1) & 0xFFFF
        return True

    def _fragment(self, data: memoryview, at: int, stop: int) -> None:
        if stop - at < 3:
            return
        indicator, header = data[at], data[at + 1]
        buffer = self.buffer
        if header & 0x80:
            self._drop_open()
            self.nal_start = buffer.fill
            self.middle = indicator << 8 | header & 0x1F
            buffer.append(_LENGTH_AND_HEADER.pack(0, indicator & 0xE0 | header & 0x1F))
        elif self.nal_start == _NONE or (self.middle ^ header) & 0x1F:
            self._tear()  # its beginning was lost
            return
        buffer.append(data[at + 2 : stop])
        if header & 0x40:
            start, self.nal_start, self.middle = self.nal_start, _NONE, _NONE
            _LENGTH.pack_into(buffer.view, start, buffer.fill - start - 4)
            self._note(header & 0x1F, start + 4)

    def _whole(self, data: memoryview, at: int, stop: int) -> None:
        start = self.buffer.fill
        self.buffer.append(_LENGTH.pack(stop - at))
        self.buffer.append(data[at:stop])
        self._note(data[at] & 31, start + 4)

    def _aggregate(self, data: memoryview, at: int, stop: int) -> None:
        while stop - at > 2:
            size = data[at] << 8 | data[at + 1]
            at += 2
            if size == 0:
                continue
            if at + size > stop:
                self._tear()
                return
            self._whole(data, at, at + size)
            at += size

    def _note(self, nal_type: int, start: int) -> None:
        """Remember what the NAL unit at the end of the data means for its access unit."""
        if SLICE_FIRST <= nal_type <= SLICE_LAST:
            self._picture = True
            if nal_type == IDR:
                self._key = True
        elif nal_type in (SPS, PPS):
            self._learn(nal_type, bytes(self.buffer.view[start : self.buffer.fill]))

    def _learn(self, nal_type: int, nal: bytes) -> None:
        if nal_type == SPS and nal != self.sps:
            self.sps, self.pps = nal, ()
        elif nal_type == PPS and nal not in self.pps:
            try:
                its_id = parameter_set_id(nal)
            except BadStream:
                return
            others = [known for known in self.pps if parameter_set_id(known) != its_id]
            self.pps = (*others, nal)[-PARAMETER_SETS_LIMIT:]

    def _drop_open(self) -> None:
        """A fragmentation unit that will not be completed leaves."""
        if self.nal_start != _NONE:
            self.buffer.fill = self.nal_start
            self.nal_start = self.middle = _NONE
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
        self._on_unit(self.unit_start, self.stamp >> 32, key, self.wall_us, self.mono_us)
        self.unit_start = self.buffer.fill
