"""One media stream of a session: its place in RTP's number space and its account. Decides only."""

import random
import struct
from collections.abc import Sequence

from simulators.line import Line, TrackRecord
from simulators.packets import Burst, FrameTemplate, Mark, frame_packets, number_packets, render, sender_report
from simulators.route import Route

REPORT_INTERVAL_US = 5_000_000
_WRAP_S = 2  # how long before its wrap a clock starts, where it is to wrap
_RR, _SR_BLOCKS_AT = 201, 8


class Track:
    """What is sent of one `kind` (video, audio, metadata), to where `route` says."""

    def __init__(
        self, kind: str, clock_rate_hz: int, route: Route, line: Line, record: TrackRecord, draw: random.Random
    ) -> None:
        self.kind = kind
        self.clock_rate_hz = clock_rate_hz
        self.route = route
        self.line = line
        self.record = record
        self._draw = draw
        self.ssrc = draw.getrandbits(32)
        self.sequence = draw.getrandbits(16)
        self.tick_base = draw.getrandbits(32)
        self.next_unit = 0
        self.next_report_us = 0
        record.ssrc = self.ssrc
        self._packets = 0
        self._octets = 0

    def begin(self, first_ticks: int, now_us: int) -> None:
        """Play from this reading of the media's clock."""
        quirks = self.line.mischief.quirks
        if "timestamp-wrap" in quirks:
            self.tick_base = -_WRAP_S * self.clock_rate_hz - first_ticks & 0xFFFFFFFF
        if "sequence-wrap" in quirks:
            self.sequence = 0xFFFF - 20
        self.next_report_us = now_us

    def timestamp(self, ticks: int) -> int:
        """A reading of the RTP clock as this session tells it."""
        return (self.tick_base + ticks) & 0xFFFFFFFF

    def change_ssrc(self) -> None:
        """From the next packet on this is another synchronization source (RFC 3550 section 8.2): other numbers too."""
        self.ssrc = self.record.ssrc = self._draw.getrandbits(32)
        self.sequence = self._draw.getrandbits(16)
        self._packets = self._octets = 0
        self.record.ssrc_changes += 1

    def frame(self, template: FrameTemplate, mark: Mark, ticks: int) -> Burst:
        """A video frame, as it goes out."""
        data = render(
            template,
            mark,
            sequence=self.sequence,
            timestamp=self.timestamp(ticks),
            ssrc=self.ssrc,
            channel=self.route.channel,
        )
        self._account(len(template.starts), template.payload_bytes)
        self._count_unit(mark.counter)
        return self.line.carry(Burst(data, template.starts))

    def unit(self, payloads: Sequence[bytes], payload_type: int, ticks: int, counter: int) -> Burst:
        """An audio packet or a document, as it goes out."""
        self._count_unit(counter)
        return self.raw(payloads, payload_type, ticks)

    def raw(self, payloads: Sequence[bytes], payload_type: int, ticks: int, *, marker: bool = True) -> Burst:
        """Packets around these payloads."""
        burst = frame_packets(payloads, payload_type)
        data = bytearray(burst.data)
        if not marker:
            data[burst.starts[-1] + 5] &= 0x7F
        number_packets(
            data,
            burst.starts,
            sequence=self.sequence,
            timestamp=self.timestamp(ticks),
            ssrc=self.ssrc,
            channel=self.route.channel,
        )
        self._account(len(burst.starts), sum(map(len, payloads)))
        return self.line.carry(Burst(data, burst.starts))

    def report(self, wall_us: int, ticks: int, name: str) -> Burst:
        """A sender report: this wall clock beside this reading of the media's clock."""
        report = sender_report(
            ssrc=self.ssrc,
            wall_us=wall_us,
            timestamp=self.timestamp(ticks),
            packets=self._packets,
            octets=self._octets,
            channel=self.route.control_channel,
            name=name,
        )
        return Burst(report, (0,))

    def hear(self, packet: bytes) -> bool:
        """Take note of a client's compound RTCP packet; whether there was a receiver report on this track in it."""
        at, heard = 0, False
        while at + 8 <= len(packet):
            size = 4 + int.from_bytes(packet[at + 2 : at + 4], "big") * 4
            if packet[at + 1] == _RR:
                heard = self._hear_blocks(packet[at : at + size]) or heard
            at += size
        return heard

    def _hear_blocks(self, report: bytes) -> bool:
        for at in range(_SR_BLOCKS_AT, _SR_BLOCKS_AT + (report[0] & 0x1F) * 24, 24):
            if len(report) < at + 24:
                break
            ssrc, lost, highest = struct.unpack_from(">III", report, at)
            if ssrc == self.ssrc:
                lost &= 0xFFFFFF
                self.record.receiver_reports += 1
                self.record.reported_lost = lost - (1 << 24) if lost & 0x800000 else lost
                self.record.reported_highest = highest
                return True
        return False

    def _account(self, packets: int, octets: int) -> None:
        self.sequence = self.sequence + packets & 0xFFFF
        self._packets += packets
        self._octets += octets
        self.record.packets += packets
        self.record.octets += octets

    def _count_unit(self, counter: int) -> None:
        self.record.units += 1
        self.record.last_unit = counter
        if self.record.first_unit is None:
            self.record.first_unit = counter
