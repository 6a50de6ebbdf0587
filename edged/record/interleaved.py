"""RTSP's interleaved frames (RFC 2326, 10.12) taken apart: video packets, RTCP and messages. No sockets, no clock.

This is the recorder's innermost loop: some 350 packets a second for each 4 Mbit/s camera, of which all but three per
picture merely continue a fragmentation unit. Those are recognised by one struct and five comparisons, and cost one
copy into the fragment; everything else takes the thorough way through `Depacketizer.packet`.
"""

import struct
from collections.abc import Callable

from edged.record.depacketize import UNIT_LIMIT, Depacketizer
from edged.record.errors import BadStream
from edged.record.rtsp_message import Message, parse_message

# "$", channel, length | V P X CC M PT, sequence number | timestamp, SSRC | FU indicator, FU header
_BEGINNING = struct.Struct(">HHHHQH")
_DOLLAR = 0x24


class InterleavedReader:
    """Takes the bytes of one playing session in any portions."""

    __slots__ = ("_message", "_plain", "_rtcp", "_rtcp_channel", "_rtp_channel", "_rtp_head", "_video")

    def __init__(
        self,
        video: Depacketizer,
        payload_type: int,
        channels: tuple[int, int],
        *,
        on_rtcp: Callable[[memoryview, int, int], None],
        on_message: Callable[[Message], None],
    ) -> None:
        self._video = video
        self._rtp_channel, self._rtcp_channel = channels
        self._rtp_head = _DOLLAR << 8 | self._rtp_channel
        self._plain = 0x8000 | payload_type  # version 2, no padding, extension, contributors or marker
        self._rtcp = on_rtcp
        self._message = on_message

    def feed(self, data: memoryview, start: int, end: int, wall_us: int, mono_us: int) -> int:
        """Take what is whole in ``data[start:end]``, which arrived at the times given; returns where the rest begins.

        The rest, shorter than 64 KiB plus a frame's head, is to be fed again in front of what comes next.
        Raises BadStream, and whatever the callbacks raise.
        """
        video = self._video
        unpack = _BEGINNING.unpack_from
        buffer = video.buffer
        rtp_head, plain = self._rtp_head, self._plain
        while start < end:
            stamp, middle, expected = video.stamp, video.middle, video.next_number
            out, fill = buffer.view, buffer.fill
            room = len(out)
            first = start
            packets = 0
            while end - start >= 18:
                head, length, kind, number, its_stamp, unit = unpack(data, start)
                stop = start + 4 + length
                filled = fill + length - 14
                if (
                    unit != middle
                    or kind != plain
                    or number != expected
                    or its_stamp != stamp
                    or head != rtp_head
                    or stop > end
                    or length < 15
                    or filled > room
                ):
                    break
                out[fill:filled] = data[start + 18 : stop]
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
            stop = self._one(data, start, end, wall_us, mono_us)
            if stop == start:
                break
            start = stop
        return start

    def _one(self, data: memoryview, start: int, end: int, wall_us: int, mono_us: int) -> int:
        """Take one frame or message of any kind; returns the position behind it, or `start` where it is not whole."""
        if start >= end:
            return start
        if data[start] != _DOLLAR:
            parsed = parse_message(data, start, end)
            if parsed is None:
                return start
            message, stop = parsed
            self._message(message)
            return stop
        if end - start < 4:
            return start
        channel = data[start + 1]
        stop = start + 4 + (data[start + 2] << 8 | data[start + 3])
        if stop > end:
            return start
        if channel == self._rtp_channel:
            self._video.packet(data, start + 4, stop, wall_us, mono_us)
        elif channel == self._rtcp_channel:
            self._rtcp(data, start + 4, stop)
        return stop
