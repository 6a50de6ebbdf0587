"""What H.264 and H.265 have in common over RTP: NAL units, each stored behind its length (ISO 14496-15, 5.3.3)."""

import struct
from abc import abstractmethod
from collections.abc import Callable

from edged.record.codecs.depacketize import NONE, Depacketizer
from edged.record.errors import BadStream

PARAMETER_SETS_LIMIT = 32  # distinct PPS kept; streams use one or two
PARAMETER_SET_BYTES = 4096  # the longest one believed; real ones are under 100
LENGTH = struct.Struct(">I")


class NalDepacketizer(Depacketizer):
    """A video track made of NAL units."""

    __slots__ = ()

    @abstractmethod
    def _note(self, start: int) -> None:
        """Remember what the NAL unit ``buffer.view[start:buffer.fill]`` means for its access unit."""

    def _whole(self, data: memoryview, at: int, stop: int) -> None:
        start = self.buffer.fill
        self.buffer.append(LENGTH.pack(stop - at))
        self.buffer.append(data[at:stop])
        self._note(start + 4)

    def _aggregate(self, data: memoryview, at: int, stop: int, least: int) -> None:
        """NAL units of at least `least` bytes, each behind its length in two bytes (RFC 6184, 5.7.1; 7798, 4.4.2)."""
        while stop - at > 2:
            size = data[at] << 8 | data[at + 1]
            at += 2
            if at + size > stop:
                self._tear()
                return
            if size >= least:
                self._whole(data, at, at + size)
            at += size

    def _complete(self) -> None:
        """The fragmented NAL unit that is open has come to its end."""
        start, self.open_at, self.middle = self.open_at, NONE, self.nothing
        LENGTH.pack_into(self.buffer.view, start, self.buffer.fill - start - 4)
        self._note(start + 4)


def with_parameter_set(
    known: tuple[bytes, ...], nal: bytes, its_id: Callable[[bytes], int]
) -> tuple[bytes, ...] | None:
    """`known` with `nal` in the place of the set that had its id; None where that changes nothing, or it has no id."""
    if nal in known or len(nal) > PARAMETER_SET_BYTES:
        return None
    try:
        number = its_id(nal)
    except BadStream:
        return None
    return (*(one for one in known if its_id(one) != number), nal)[-PARAMETER_SETS_LIMIT:]
