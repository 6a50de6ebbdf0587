"""RTP packets to H.264 access units (RFC 6184: single NAL unit, STAP-A, FU-A). No sockets, no clock."""

import struct
from collections.abc import Sequence

from edged.base.clock import SECOND
from edged.record.buffers import FrameBuffer
from edged.record.codecs.depacketize import NONE, OnUnit
from edged.record.codecs.h264 import (
    IDR,
    PPS,
    SEI,
    SEI_BYTES,
    SLICE_FIRST,
    SLICE_LAST,
    SPS,
    describe,
    parameter_set_id,
    recovery_frames,
)
from edged.record.codecs.nal_units import PARAMETER_SET_BYTES, NalDepacketizer, with_parameter_set
from edged.record.errors import BadStream
from edged.record.mp4.formats import Entry, VideoFormat
from edged.record.quirks import OnQuirk

_LENGTH_AND_HEADER = struct.Struct(">IB")
_STAP_A, _FU_A = 24, 28
GRADUAL_US = 10 * SECOND  # the longest that is waited for a keyframe, where the pictures come right little by little


class H264Depacketizer(NalDepacketizer):
    """One H.264 track; `parameter_sets` are those of its description."""

    __slots__ = ("_entered_us", "_recovery", "pps", "sps")

    def __init__(
        self,
        payload_type: int,
        parameter_sets: Sequence[bytes],
        buffer: FrameBuffer,
        on_unit: OnUnit,
        on_quirk: OnQuirk,
    ) -> None:
        super().__init__(payload_type, buffer, on_unit, on_quirk)
        self._recovery: int | None = None  # what a recovery point in front of the next slice says
        self._entered_us: int | None = None  # arrival of the last keyframe that is right at once, or since when none is
        self.sps = b""
        self.pps: tuple[bytes, ...] = ()
        for one in parameter_sets:
            self._learn(one[0] & 31, one)

    def _take(self, data: memoryview, at: int, stop: int) -> None:
        nal_type = data[at] & 31
        if nal_type == _FU_A:
            self._fragment(data, at, stop)
        elif 0 < nal_type < _STAP_A:
            self._drop_open()
            self._whole(data, at, stop)
        elif nal_type == _STAP_A:
            self._drop_open()
            self._aggregate(data, at + 1, stop, 1)
        else:
            raise BadStream(f"the camera sends H.264 in a packet form that was not agreed ({nal_type})")

    def _fragment(self, data: memoryview, at: int, stop: int) -> None:
        """RFC 6184, 5.8."""
        if stop - at < 3:
            return
        indicator, header = data[at], data[at + 1]
        buffer = self.buffer
        if header & 0x80:
            self._drop_open()
            self.open_at = buffer.fill
            self.middle = indicator << 8 | header & 0x1F
            buffer.append(_LENGTH_AND_HEADER.pack(0, indicator & 0xE0 | header & 0x1F))
        elif self.open_at == NONE or (int(self.middle) ^ header) & 0x1F:
            self._tear()  # its beginning was lost
            return
        buffer.append(data[at + 2 : stop])
        if header & 0x40:
            self._complete()

    def _note(self, start: int) -> None:
        nal_type = self.buffer.view[start] & 31
        if SLICE_FIRST <= nal_type <= SLICE_LAST:
            self._picture = True
            if nal_type == IDR:
                self._key, self._entry = True, Entry.CLOSED
                self._entered_us = self.mono_us
            elif self._recovery is not None and self._can_enter(self._recovery):
                self._key, self._entry = True, Entry.RECOVERY
            self._recovery = None
        elif nal_type == SEI:
            if self.buffer.fill - start <= SEI_BYTES:
                self._recovery = recovery_frames(bytes(self.buffer.view[start : self.buffer.fill]), self._recovery)
        elif nal_type in (SPS, PPS):
            self._learn(nal_type, bytes(self.buffer.view[start : self.buffer.fill]))

    def _can_enter(self, frames: int) -> bool:
        """Whether a recovery point after which all is right `frames` frames later will do as a keyframe.

        One that is right at once does. A gradual one, which leaves pictures damaged for a while, only where the camera
        sends nothing better.
        """
        if frames == 0:
            self._entered_us = self.mono_us
            return True
        if self._entered_us is None:
            self._entered_us = self.mono_us
        return self.mono_us - self._entered_us >= GRADUAL_US

    def _learn(self, nal_type: int, nal: bytes) -> None:
        if nal_type == SPS and nal != self.sps and len(nal) <= PARAMETER_SET_BYTES:
            self.sps, self.pps = nal, ()
            self._stale = True
        elif nal_type == PPS and (changed := with_parameter_set(self.pps, nal, parameter_set_id)) is not None:
            self.pps = changed
            self._stale = True

    def _describe(self) -> VideoFormat | None:
        return describe(self.sps, self.pps) if self.sps and self.pps else None
