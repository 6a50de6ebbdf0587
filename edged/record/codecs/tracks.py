"""Which receiver takes a track's packets, and what the file will say about it."""

from edged.record.buffers import FrameBuffer
from edged.record.codecs import audio
from edged.record.codecs.depacketize import Depacketizer, OnUnit
from edged.record.codecs.h264_depacketize import H264Depacketizer
from edged.record.codecs.h265_depacketize import H265Depacketizer
from edged.record.codecs.jpeg_depacketize import JpegDepacketizer
from edged.record.errors import BadStream
from edged.record.mp4.formats import AudioFormat
from edged.record.net.sdp import CLOCK_RATE, AudioTrack, Codec, VideoTrack
from edged.record.quirks import OnQuirk, Quirk


def video_receiver(track: VideoTrack, buffer: FrameBuffer, on_unit: OnUnit, on_quirk: OnQuirk) -> Depacketizer:
    """The receiver for `track`; what its description does otherwise than it should goes to `on_quirk`."""
    if track.clock_rate != CLOCK_RATE:
        on_quirk(Quirk.WRONG_CLOCK_RATE)
    if track.codec is Codec.JPEG:
        return JpegDepacketizer(track.payload_type, track.size, buffer, on_unit, on_quirk)
    if not track.parameter_sets:
        on_quirk(Quirk.NO_SPROP)
    kind = H265Depacketizer if track.codec is Codec.H265 else H264Depacketizer
    return kind(track.payload_type, track.parameter_sets, buffer, on_unit, on_quirk)


def audio_format(track: AudioTrack | None, on_quirk: OnQuirk) -> AudioFormat | None:
    """What the audio track will be in the file; None where there is none that can be recorded."""
    if track is None:
        return None
    try:
        return audio.describe(track)
    except BadStream:
        on_quirk(Quirk.AUDIO_UNUSABLE)
        return None
