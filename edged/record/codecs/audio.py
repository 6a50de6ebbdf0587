"""RTP packets to frames of sound: AAC (RFC 3640) and G.711 (RFC 3551, 4.5.14). No sockets, no clock.

Audio never harms the video beside it: nothing here raises, and what cannot be used is left out and said once.
"""

from typing import Protocol

from edged.base.clock import SECOND
from edged.record.codecs.bits import Bits
from edged.record.errors import BadStream
from edged.record.mp4.formats import AudioFormat
from edged.record.mp4.sample_entry import aac_codec, aac_entry, audio_entry
from edged.record.net import rtp
from edged.record.net.sdp import AudioTrack, Codec
from edged.record.quirks import OnQuirk, Quirk

AAC_FRAME = 1024  # samples (ISO/IEC 14496-3, 4.5.1.1: frameLengthFlag 0)
FRAMES_LIMIT = 256  # of one packet: five seconds of AAC; cameras send one to four
FRAMES_A_SECOND = 5000  # fifty times what a camera sends, so that what a stalled network held back is taken too
FRAME_LIMIT = 32 * 1024  # bytes of an AAC frame; 8 channels need at most 6144
_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_NONE = -1


class OnSound(Protocol):
    """Takes one frame: its RTP timestamp, how many ticks it lasts, its bytes, when its packet arrived."""

    def __call__(self, timestamp: int, ticks: int, data: bytes, mono_us: int) -> None: ...


def describe(track: AudioTrack) -> AudioFormat:
    """The audio track of the file. Raises BadStream where the camera's description makes no sense."""
    if track.codec is Codec.AAC:
        config = track.config or _usual_config(track)
        _, rate, channels = _read_config(config)
        return AudioFormat(aac_codec(config), track.clock_rate, aac_entry(config, rate, channels or track.channels))
    kind = b"ulaw" if track.codec is Codec.PCMU else b"alaw"
    return AudioFormat(kind.decode(), track.clock_rate, audio_entry(kind, track.clock_rate, track.channels))


class AudioReceiver:
    """One audio track's packets in, frames out through `on_sound`."""

    def __init__(self, track: AudioTrack, on_sound: OnSound, on_quirk: OnQuirk) -> None:
        self._track = track
        self._on_sound = on_sound
        self._on_quirk = on_quirk
        self._next_number = _NONE
        self._source = _NONE
        self._fragments = b""  # of one AAC frame that several packets carry
        self._wanted = 0  # its size
        self._since_us = 0
        self._heard = 0  # frames since then
        self._frame_ticks = AAC_FRAME
        if track.codec is Codec.AAC and track.config:
            _, rate, _ = _read_config(track.config)
            self._frame_ticks = AAC_FRAME * track.clock_rate // rate  # of SBR, where the two rates differ
        self.packets = 0
        self.lost = 0

    def packet(self, data: memoryview, start: int, stop: int, wall_us: int, mono_us: int) -> None:
        """Take any packet; what is no packet of this track is passed over. Never raises."""
        parsed = rtp.payload_span(data, start, stop)
        if parsed is None or parsed[0] & 0x7F != self._track.payload_type:
            return
        _, number, timestamp, source, at, stop = parsed
        if not self._follows(number, source):
            return
        self.packets += 1
        if at >= stop:
            return
        if mono_us - self._since_us >= SECOND:
            self._since_us, self._heard = mono_us, 0
        if self._heard >= FRAMES_A_SECOND:
            self._on_quirk(Quirk.AUDIO_UNUSABLE)
            return
        self._heard += 1
        payload = bytes(data[at:stop])
        if self._track.codec is not Codec.AAC:
            self._on_sound(timestamp, len(payload) // self._track.channels, payload, mono_us)
            return
        try:
            self._frames(payload, timestamp, mono_us)
        except BadStream:
            self._fragments = b""
            self._on_quirk(Quirk.AUDIO_UNUSABLE)

    def _follows(self, number: int, source: int) -> bool:
        if self._next_number != _NONE:
            missing = rtp.steps_between(self._next_number, number) if source == self._source else None
            if missing is not None and missing < 0:
                return False
            self.lost += missing or 0
            if missing != 0:
                self._fragments = b""
        self._next_number, self._source = (number + 1) & 0xFFFF, source
        return True

    def _frames(self, payload: bytes, timestamp: int, mono_us: int) -> None:
        """The frames behind their headers (RFC 3640, 3.2.1). Raises BadStream where they do not fit."""
        track = self._track
        header_bits = int.from_bytes(payload[:2], "big")
        header_size = track.size_length + track.index_length
        at = 2 + (header_bits + 7) // 8
        count = header_bits // header_size if header_size else 0
        if not 0 < count <= FRAMES_LIMIT or at >= len(payload):
            raise BadStream("the camera sends AAC without the headers it announced")
        self._heard += count
        bits = Bits(payload[2:at], "AAC packet")
        for index in range(count):
            size = bits.take(track.size_length)
            if bits.take(track.index_length):
                raise BadStream("the camera sends AAC in an order that has to be undone")
            if count == 1 and (self._fragments or size > len(payload) - at):
                self._fragment(payload[at:], size, timestamp, mono_us)
                return
            frame = payload[at : at + size]
            if not frame or len(frame) != size:
                raise BadStream("the camera sends AAC frames of another size than it says")
            self._on_sound(timestamp + index * self._frame_ticks & 0xFFFF_FFFF, self._frame_ticks, frame, mono_us)
            at += size

    def _fragment(self, piece: bytes, size: int, timestamp: int, mono_us: int) -> None:
        """A frame that does not fit into one packet: each says the size of the whole (RFC 3640, 3.2.3)."""
        if size > FRAME_LIMIT or (self._fragments and size != self._wanted):
            raise BadStream("the camera sends AAC frames of another size than it says")
        self._wanted = size
        self._fragments += piece
        if len(self._fragments) >= size:
            frame, self._fragments = self._fragments[:size], b""
            self._on_sound(timestamp, self._frame_ticks, frame, mono_us)


def _usual_config(track: AudioTrack) -> bytes:
    """AAC-LC at the track's rate, for a description that leaves it out (ISO/IEC 14496-3, 1.6.2.1)."""
    if track.clock_rate not in _RATES or track.channels > 7:
        raise BadStream("the camera does not say how its AAC is coded")
    return (2 << 11 | _RATES.index(track.clock_rate) << 7 | track.channels << 3).to_bytes(2, "big")


def _read_config(config: bytes) -> tuple[int, int, int]:
    """(audio object type, samples a second, channels) of an AudioSpecificConfig. Raises BadStream."""
    bits = Bits(config, "AAC configuration")
    kind = bits.take(5)
    if kind == 31:
        kind = 32 + bits.take(6)
    index = bits.take(4)
    rate = bits.take(24) if index == 15 else _RATES[index] if index < len(_RATES) else 0
    if not kind or not rate:
        raise BadStream("the camera's AAC configuration makes no sense")
    return kind, rate, bits.take(4)
