"""RTP packets to JPEG pictures (RFC 2435). No sockets, no clock.

A picture with a lost packet is left out whole: behind the gap nothing of it can be told from noise.
"""

from dataclasses import replace

from edged.record.buffers import FrameBuffer
from edged.record.codecs.depacketize import NONE, Depacketizer, OnUnit
from edged.record.codecs.jpeg import (
    DYNAMIC,
    END,
    TABLES_FOLLOW,
    WITH_RESTARTS,
    Picture,
    describe,
    header,
    scaled_tables,
)
from edged.record.errors import BadStream
from edged.record.mp4.formats import VideoFormat
from edged.record.quirks import OnQuirk

_UNKNOWN = Picture(0, 0, 0, 0, 0, 0, b"")


class JpegDepacketizer(Depacketizer):
    """One JPEG track. `size` is what its description says, for pictures too large for RTP to say (2040 pixels)."""

    __slots__ = ("_header", "_known", "_shown", "_size", "_tables")

    def __init__(
        self, payload_type: int, size: tuple[int, int], buffer: FrameBuffer, on_unit: OnUnit, on_quirk: OnQuirk
    ) -> None:
        super().__init__(payload_type, buffer, on_unit, on_quirk)
        self._size = size
        self._known = _UNKNOWN  # the picture whose headers `_header` holds
        self._header = b""
        self._shown = _UNKNOWN
        self._tables: dict[int, tuple[int, bytes]] = {}  # by Q: the tables sent once (RFC 2435, 3.1.8)

    def _take(self, data: memoryview, at: int, stop: int) -> None:
        self._picture = True  # whatever becomes of it, the marker ends this picture
        if stop - at < 8:
            self._tear()
            return
        offset = int.from_bytes(data[at + 1 : at + 4], "big")
        if offset == 0:
            self._begin(data, at, stop)
            return
        kind = data[at + 4]
        at += 12 if kind >= WITH_RESTARTS else 8
        if self.open_at == NONE or offset != self.buffer.fill - self.open_at - len(self._header):
            self._tear()
            return
        if at < stop:
            self.buffer.append(data[at:stop])

    def _begin(self, data: memoryview, at: int, stop: int) -> None:
        """The first packet of a picture: its headers (3.1), and the tables where they come with it."""
        self._drop_open()
        kind, quality = data[at + 4], data[at + 5]
        if kind % WITH_RESTARTS > 1 or kind >= 2 * WITH_RESTARTS:
            raise BadStream(f"the camera sends JPEG of a type that is not defined ({kind})")
        width, height = data[at + 6] * 8 or self._size[0], data[at + 7] * 8 or self._size[1]
        if not width or not height:
            raise BadStream(
                "the camera sends JPEG pictures larger than RTP can say",
                hint="set the camera to H.264, or to pictures of at most 2040 pixels",
            )
        at += 8
        restart = 0
        if kind >= WITH_RESTARTS and at + 4 <= stop:
            restart = int.from_bytes(data[at : at + 2], "big")
            at += 4
        precision, tables = 0, b""
        if quality >= TABLES_FOLLOW:
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            if at + 4 + length > stop:
                self._tear()
                return
            precision, tables = data[at + 1], bytes(data[at + 4 : at + 4 + length])
            at += 4 + length
            if tables and quality != DYNAMIC:
                self._tables[quality] = precision, tables
            elif not tables:
                if quality not in self._tables:
                    self._tear()  # the picture that brought them was lost
                    return
                precision, tables = self._tables[quality]
        if at >= stop:
            self._tear()
            return
        picture = Picture(kind, quality, width, height, restart, precision, tables)
        if picture != self._known:
            whole = picture if quality >= TABLES_FOLLOW else replace(picture, tables=scaled_tables(quality))
            self._header, self._known = header(whole), picture
        self.open_at = self.buffer.fill
        self.buffer.append(self._header)
        self.buffer.append(data[at:stop])

    def _end_unit(self) -> None:
        self._picture = False
        if self.open_at != NONE:
            buffer, self.open_at = self.buffer, NONE
            if buffer.view[buffer.fill - 2 : buffer.fill] != END:
                buffer.append(END)
            known, shown = self._known, self._shown
            if (known.width, known.height, known.kind) != (shown.width, shown.height, shown.kind):
                self._shown, self._stale = known, True
            self._picture = self._key = True
        super()._end_unit()

    def _describe(self) -> VideoFormat | None:
        return describe(self._shown)
