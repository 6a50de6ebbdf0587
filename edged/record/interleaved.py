"""RTSP's interleaved frames (RFC 2326, 10.12) taken apart: packets by channel, and messages. No sockets, no clock.

This is the recorder's innermost loop: some 350 packets a second for each 4 Mbit/s camera, of which all but three per
picture merely continue a fragmentation unit. Those are recognised by one struct and five comparisons, and cost one
copy into the fragment. The three are mostly plain packets that come in their turn, which need no parsing either;
everything else takes the thorough way through `Depacketizer.packet`.

Bytes that are neither a frame nor a message are passed over, up to the next frame of a channel that was agreed.
"""

import struct
from collections.abc import Callable, Mapping

from edged.record.codecs.depacketize import UNIT_LIMIT, Depacketizer
from edged.record.errors import BadStream
from edged.record.net.rtsp_message import Message, parse_message
from edged.record.quirks import OnQuirk, Quirk

OnPacket = Callable[[memoryview, int, int, int, int], None]  # data, start, stop, wall_us, mono_us

GARBAGE_LIMIT = 256 * 1024  # bytes in a row that are no frame: by then a camera of 4 Mbit/s made no sense for 0.5 s
SLOW_LIMIT = 20_000  # packets of one portion that are no fragments; two seconds of any camera have a tenth of that
_SEARCH = 4096  # bytes looked through at once for the next frame
_DOLLAR = 0x24
_RTP_HEAD = struct.Struct(">BBHBB")
_MARKER = 0x80  # RFC 3550, 5.1: of the two bytes that a packet begins with
_NO_MARKER = 0xFFFF ^ _MARKER


class InterleavedReader:
    """Takes the bytes of one playing session in any portions; `others` takes the packets of further channels."""

    __slots__ = (
        "_channels",
        "_garbage",
        "_head_size",
        "_message",
        "_others",
        "_plain",
        "_quirk",
        "_rtp_channel",
        "_rtp_head",
        "_video",
    )

    def __init__(
        self,
        video: Depacketizer,
        payload_type: int,
        channel: int,
        others: Mapping[int, OnPacket],
        *,
        on_message: Callable[[Message], None],
        on_quirk: OnQuirk,
    ) -> None:
        self._video = video
        self._rtp_channel = channel
        self._others = others
        self._rtp_head = _DOLLAR << 8 | channel
        self._plain = 0x8000 | payload_type  # version 2, no padding, extension, contributors or marker
        self._head_size = video.beginning.size
        self._message = on_message
        self._quirk = on_quirk
        self._garbage = 0  # bytes passed over since the last frame

    def feed(self, data: memoryview, start: int, end: int, wall_us: int, mono_us: int) -> int:
        """Take what is whole in ``data[start:end]``, which arrived at the times given; returns where the rest begins.

        The rest, shorter than 64 KiB plus a frame's head, is to be fed again in front of what comes next.
        Raises BadStream, and whatever the callbacks raise.
        """
        video = self._video
        unpack = video.beginning.unpack_from
        size = self._head_size
        # what the frame's head and the RTP packet's beginning take of the frame's length
        overhead = size - 4
        buffer = video.buffer
        rtp_head, plain = self._rtp_head, self._plain
        slow = 0
        while start < end:
            stamp, middle, expected = video.stamp, video.middle, video.next_number
            out, fill = buffer.view, buffer.fill
            room = len(out)
            first = start
            packets = 0
            while end - start >= size:
                head, length, kind, number, its_stamp, unit = unpack(data, start)
                stop = start + 4 + length
                filled = fill + length - overhead
                if (
                    unit != middle
                    or kind != plain
                    or number != expected
                    or its_stamp != stamp
                    or head != rtp_head
                    or stop > end
                    or length <= overhead
                    or filled > room
                ):
                    break
                out[fill:filled] = data[start + size : stop]
                fill = filled
                expected = (number + 1) & 0xFFFF
                packets += 1
                start = stop
            if start != first:
                video.next_number = expected
                video.packets += packets
                buffer.fill = fill
                if fill - video.unit_start > UNIT_LIMIT:
                    raise BadStream(f"the camera sent a picture of more than {UNIT_LIMIT} bytes")
            # What the loop ended with is still the frame at `start`.
            if end - start >= size and (
                number == expected
                and kind & _NO_MARKER == plain
                and head == rtp_head
                and length > overhead
                and stop <= end
                and not (its_stamp ^ stamp) & 0xFFFF_FFFF
            ):
                self._garbage = 0
                video.next_number = (number + 1) & 0xFFFF
                video.packets += 1
                video.payload(data, start + 16, stop, its_stamp, kind & _MARKER, wall_us, mono_us)
            else:
                stop = self._one(data, start, end, wall_us, mono_us)
                if stop == start:
                    break
            start = stop
            slow += 1
            if slow > SLOW_LIMIT:
                raise BadStream("the camera floods the recorder with tiny packets")
        return start

    def _one(self, data: memoryview, start: int, end: int, wall_us: int, mono_us: int) -> int:
        """Take one frame or message of any kind; returns the position behind it, or `start` where it is not whole."""
        if start >= end:
            return start
        if self._garbage:
            found = self._next_frame(bytes(data[start : min(end, start + _SEARCH)]))
            if found or end - start < _RTP_HEAD.size:
                return self._pass_over(start, start + found)
            self._garbage = 0
        if data[start] != _DOLLAR:
            return self._take_message(data, start, end)
        if end - start < 4:
            return start
        channel = data[start + 1]
        stop = start + 4 + (data[start + 2] << 8 | data[start + 3])
        if channel != self._rtp_channel and channel not in self._others and self._holds_frames(data, start, stop, end):
            return self._pass_over(start, start + 1)
        if stop > end:
            return start
        if channel == self._rtp_channel and stop - start >= 16 and data[start + 5] & 0x7F == self._plain & 0x7F:
            self._video.packet(data, start + 4, stop, wall_us, mono_us)
        elif (take := self._others.get(channel)) is not None:
            take(data, start + 4, stop, wall_us, mono_us)
        elif stop == end:
            return start  # what comes next tells a packet that was not agreed from a dollar sign among garbage
        elif data[stop] == _DOLLAR or 0x41 <= data[stop] <= 0x5A:
            self._quirk(Quirk.STRAY_PACKETS)
        else:
            return self._pass_over(start, start + 1)
        return stop

    def _take_message(self, data: memoryview, start: int, end: int) -> int:
        try:
            parsed = parse_message(data, start, end)
        except BadStream:
            return self._pass_over(start, start + 1)
        if parsed is None:
            return start
        message, stop = parsed
        self._message(message)
        return stop

    def _pass_over(self, start: int, stop: int) -> int:
        """Leave out what is no frame; returns `stop`."""
        self._quirk(Quirk.GARBAGE)
        self._garbage += stop - start
        if self._garbage > GARBAGE_LIMIT:
            raise BadStream("the camera sends bytes that are neither RTSP messages nor interleaved frames")
        return stop

    def _holds_frames(self, data: memoryview, start: int, stop: int, end: int) -> bool:
        """Whether two frames, one behind the other, begin inside of what ``data[start:stop]`` seems to be a frame of.

        A dollar sign among garbage can claim 64 KiB; waiting for them all would hold back what is known already.
        """
        content = bytes(data[start + 1 : min(stop, end)])
        at = self._next_frame(content)
        if len(content) - at < _RTP_HEAD.size:
            return False
        following = at + 4 + int.from_bytes(content[at + 2 : at + 4], "big")
        return len(content) - following >= _RTP_HEAD.size and self._next_frame(content[following:]) == 0

    def _next_frame(self, content: bytes) -> int:
        """Where in `content` the next frame of a channel that was agreed begins, or may begin as far as is known."""
        at = content.find(b"$")
        while at >= 0:
            if len(content) - at < _RTP_HEAD.size:
                return at
            _, channel, length, first, kind = _RTP_HEAD.unpack_from(content, at)
            is_video = channel == self._rtp_channel and kind & 0x7F == self._plain & 0x7F
            if (is_video or channel in self._others) and first >> 6 == 2 and length >= 8:
                return at
            at = content.find(b"$", at + 1)
        return len(content)
