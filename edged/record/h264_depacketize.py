"""RTP packets to H.264 access units (RFC 6184: single NAL unit, STAP-A, FU-A). No sockets, no clock."""

import struct
from collections.abc import Sequence

from edged.record.buffers import FrameBuffer
from edged.record.depacketize import NONE, OnUnit
from edged.record.errors import BadStream
from edged.record.formats import VideoFormat
from edged.record.h264 import IDR, PPS, SLICE_FIRST, SLICE_LAST, SPS, describe, parameter_set_id
from edged.record.nal_units import PARAMETER_SET_BYTES, NalDepacketizer, with_parameter_set
from edged.record.quirks import OnQuirk

_LENGTH_AND_HEADER = struct.Struct(">IB")
_STAP_A, _FU_A = 24, 28


class H264Depacketizer(NalDepacketizer):
    """One H.264 track; `parameter_sets` are those of its description."""

    __slots__ = ("pps", "sps")

    def __init__(
        self,
        payload_type: int,
        parameter_sets: Sequence[bytes],
        buffer: FrameBuffer,
        on_unit: OnUnit,
        on_quirk: OnQuirk,
    ) -> None:
        super().__init__(payload_type, buffer, on_unit, on_quirk)
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
                self._key = True
        elif nal_type in (SPS, PPS):
            self._learn(nal_type, bytes(self.buffer.view[start : self.buffer.fill]))

    def _learn(self, nal_type: int, nal: bytes) -> None:
        if nal_type == SPS and nal != self.sps and len(nal) <= PARAMETER_SET_BYTES:
            self.sps, self.pps = nal, ()
            self._stale = True
        elif nal_type == PPS and (changed := with_parameter_set(self.pps, nal, parameter_set_id)) is not None:
            self.pps = changed
            self._stale = True

    def _describe(self) -> VideoFormat | None:
        return describe(self.sps, self.pps) if self.sps and self.pps else None
