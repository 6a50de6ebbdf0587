"""Sound that cameras send, really encoded, as frames and as RTP packets."""

import math
import struct
from fractions import Fraction

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame

from edged.record.net.sdp import AudioTrack, Codec
from tests.record_film import AUDIO_CHANNEL, packet

AAC_TYPE = 97


def aac_track(rate: int = 16_000, config: bytes = b"\x14\x08") -> AudioTrack:
    return AudioTrack("audio", AAC_TYPE, Codec.AAC, rate, 1, config)


def g711_track(codec: Codec) -> AudioTrack:
    return AudioTrack("audio", 0 if codec is Codec.PCMU else 8, codec, 8000, 1)


def encode(name: str, rate: int, samples: int, count: int) -> list[bytes]:
    """`count` frames of a tone, `samples` each."""
    aac = name == "aac"
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, AudioCodecContext)
    context.sample_rate, context.layout, context.format = rate, "mono", "fltp" if aac else "s16"
    context.time_base = Fraction(1, rate)
    frames = []
    for number in range(count + 2):
        frame = AudioFrame(context.format.name, "mono", samples)
        frame.sample_rate, frame.pts, frame.time_base = rate, number * samples, Fraction(1, rate)
        wave = [math.sin(2 * math.pi * 440 * (number * samples + at) / rate) * 0.3 for at in range(samples)]
        raw = (
            struct.pack(f"<{samples}f", *wave) if aac else struct.pack(f"<{samples}h", *(int(v * 32767) for v in wave))
        )
        frame.planes[0].update(raw.ljust(frame.planes[0].buffer_size, b"\0"))
        frames += context.encode(frame)
    return [bytes(one) for one in frames if one.size][:count]


def aac_payload(*frames: bytes) -> bytes:
    """RFC 3640, 3.3.6: the headers of all frames, then the frames."""
    headers = b"".join(struct.pack(">H", len(frame) << 3) for frame in frames)
    return struct.pack(">H", 16 * len(frames)) + headers + b"".join(frames)


def sound_packet(payload: bytes, track: AudioTrack, *, number: int, stamp: int) -> bytes:
    return packet(
        payload, number=number, stamp=stamp, marker=True, channel=AUDIO_CHANNEL, kind=track.payload_type, ssrc=9
    )
