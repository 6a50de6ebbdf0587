"""RTP packets to H.265 access units (RFC 7798: single NAL unit, AP, FU, without DONL). No sockets, no clock."""

import struct
from collections.abc import Sequence

from edged.record.buffers import FrameBuffer
from edged.record.codecs.depacketize import NONE, OnUnit
from edged.record.codecs.h265 import (
    KEY_FIRST,
    KEY_LAST,
    OPEN_KEYS,
    PICTURE_LAST,
    PPS,
    SPS,
    VPS,
    describe,
    picture_parameter_set_id,
    unit_type,
)
from edged.record.codecs.nal_units import PARAMETER_SET_BYTES, NalDepacketizer, with_parameter_set
from edged.record.errors import BadStream
from edged.record.mp4.formats import Entry, VideoFormat
from edged.record.quirks import OnQuirk

_LENGTH_AND_HEADER = struct.Struct(">IBB")
_AP, _FU = 48, 49
_HEADER = 2  # bytes of a NAL unit's header


class H265Depacketizer(NalDepacketizer):
    """One H.265 track; `parameter_sets` are those of its description."""

    __slots__ = ("pps", "sps", "vps")
    beginning = struct.Struct(">HHHHQ3s")
    nothing = b""

    def __init__(
        self,
        payload_type: int,
        parameter_sets: Sequence[bytes],
        buffer: FrameBuffer,
        on_unit: OnUnit,
        on_quirk: OnQuirk,
    ) -> None:
        super().__init__(payload_type, buffer, on_unit, on_quirk)
        self.vps = self.sps = b""
        self.pps: tuple[bytes, ...] = ()
        for one in parameter_sets:
            self._learn(unit_type(one[0]), one)

    def _take(self, data: memoryview, at: int, stop: int) -> None:
        nal_type = unit_type(data[at])
        if nal_type == _FU:
            self._fragment(data, at, stop)
        elif nal_type < _AP:
            self._drop_open()
            if stop - at >= _HEADER:
                self._whole(data, at, stop)
        elif nal_type == _AP:
            self._drop_open()
            self._aggregate(data, at + _HEADER, stop, _HEADER)
        else:
            raise BadStream(f"the camera sends H.265 in a packet form that was not agreed ({nal_type})")

    def _fragment(self, data: memoryview, at: int, stop: int) -> None:
        """RFC 7798, 4.4.3."""
        if stop - at < 4:
            return
        first, second, header = data[at], data[at + 1], data[at + 2]
        buffer = self.buffer
        if header & 0x80:
            self._drop_open()
            self.open_at = buffer.fill
            self.middle = bytes((first, second, header & 0x3F))
            buffer.append(_LENGTH_AND_HEADER.pack(0, first & 0x81 | (header & 0x3F) << 1, second))
        elif self.open_at == NONE or self.middle != bytes((first, second, header & 0x3F)):
            self._tear()  # its beginning was lost
            return
        buffer.append(data[at + 3 : stop])
        if header & 0x40:
            self._complete()

    def _note(self, start: int) -> None:
        nal_type = unit_type(self.buffer.view[start])
        if nal_type <= PICTURE_LAST:
            self._picture = True
            if KEY_FIRST <= nal_type <= KEY_LAST:
                self._key = True
                if nal_type in OPEN_KEYS:
                    self._entry = Entry.OPEN
        elif nal_type in (VPS, SPS, PPS):
            self._learn(nal_type, bytes(self.buffer.view[start : self.buffer.fill]))

    def _learn(self, nal_type: int, nal: bytes) -> None:
        if len(nal) > PARAMETER_SET_BYTES:
            return
        if nal_type == VPS and nal != self.vps:
            self.vps = nal
            self._stale = True
        elif nal_type == SPS and nal != self.sps:
            self.sps, self.pps = nal, ()
            self._stale = True
        elif nal_type == PPS and (changed := with_parameter_set(self.pps, nal, picture_parameter_set_id)) is not None:
            self.pps = changed
            self._stale = True

    def _describe(self) -> VideoFormat | None:
        return describe(self.vps, self.sps, self.pps) if self.vps and self.sps and self.pps else None
