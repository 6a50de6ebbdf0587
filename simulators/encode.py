"""The pictures every simulated camera films, and the encoders they go through: libx264, libx265 and mjpeg of FFmpeg.

The picture is a gradient that moves under noise, so that the encoder has enough to spend the asked bit rate on.
"""

import random
from dataclasses import dataclass
from fractions import Fraction

import av
from av.video.frame import PictureType, VideoFrame

from simulators import mjpeg
from simulators.film import ClipError, ClipSpec

_MOST_PICTURES = 120  # different ones; a longer film shows them again
_TOLERANCE = 0.05  # of the bit rate; the promise to users is 10 %
_TRIES = 6
_SAMPLE = 4  # pictures to measure by
_JPEG_QUALITY = 3 * 118  # of FFmpeg's quantizer scale, 2 the best, in its own unit (FF_QP2LAMBDA)


@dataclass(frozen=True, slots=True)
class Encoded:
    """One access unit (Annex B, or a JPEG file) and which picture of the clip it shows."""

    data: bytes
    shows: int


def encode_to_rate(spec: ClipSpec) -> list[Encoded]:
    """Encode, measure, correct the encoder's target, until the bit rate is met: rate control is coarse on two GOPs.

    Raises ClipError where it cannot be met within twice the tolerance.
    """
    if spec.codec == "mjpeg":
        return _jpegs_to_rate(spec)
    pictures = _make_pictures(spec)
    target = float(spec.bitrate)
    best: list[Encoded] = []
    best_error = 1.0
    for _ in range(_TRIES):
        units = _encode(spec, pictures, int(target))
        ratio = _bits(units) * spec.fps / spec.frames / spec.bitrate
        if abs(ratio - 1) < best_error:
            best, best_error = units, abs(ratio - 1)
        if best_error <= _TOLERANCE:
            return best
        target = min(max(target / ratio, 1_000), 1e9)  # beyond these x264 refuses to start
    if best_error > 2 * _TOLERANCE:
        raise _cannot_be_met(spec, f" (off by {best_error:.0%})")
    return best


def _cannot_be_met(spec: ClipSpec, how: str) -> ClipError:
    return ClipError(
        f"{spec.bitrate} bit/s cannot be met at {spec.width}x{spec.height}, {spec.fps} frames per second"
        f"{how}: choose another bit rate or size"
    )


def _bits(units: list[Encoded]) -> int:
    return sum(len(unit.data) for unit in units) * 8


def _encode(spec: ClipSpec, pictures: list[VideoFrame], target: int) -> list[Encoded]:
    h265 = spec.codec == "h265"
    context = av.CodecContext.create("libx265" if h265 else "libx264", "w")
    context.width, context.height, context.pix_fmt = spec.width, spec.height, "yuv420p"
    context.framerate, context.time_base = Fraction(spec.fps), Fraction(1, spec.fps)
    context.gop_size, context.bit_rate = spec.gop, target
    rate = max(1, target // 1000)
    shared = (
        f"keyint={spec.gop}:min-keyint={spec.gop}:scenecut=0:bframes={spec.bframes}:b-adapt=0:open-gop={spec.open_gop:d}"
        f":aud=0:repeat-headers=1:annexb=1:vbv-maxrate={rate}:vbv-bufsize={rate}"
    )
    if h265:
        # One thread and no pools: the same film every time, and no threads left behind.
        context.options = {
            "preset": "ultrafast",
            "x265-params": f"{shared}:b-pyramid=0:rc-lookahead={spec.bframes + 1}:info=0:pools=none:frame-threads=1"
            ":wpp=0:log-level=none",
        }
    else:
        context.options = {
            "preset": "ultrafast",
            "profile": "main" if spec.bframes else "baseline",
            "x264-params": f"{shared}:b-pyramid=none:rc-lookahead=0:threads=1:sliced-threads=0",
        }
    packets = []
    for number in range(spec.frames):
        picture = pictures[number % len(pictures)]
        picture.pts = number
        picture.time_base = Fraction(1, spec.fps)
        picture.pict_type = PictureType.I if number % spec.gop == 0 and not spec.open_gop else PictureType.NONE
        packets += context.encode(picture)
    packets += context.encode(None)
    return [Encoded(bytes(packet), packet.pts or 0) for packet in packets]


def _jpegs_to_rate(spec: ClipSpec) -> list[Encoded]:
    """Every picture stands alone and costs what is in it: the rate is met by how many of its pixels are noise."""
    wanted = spec.bitrate / spec.fps / 8
    low, high = 0, spec.width * spec.height
    while high - low > 16:
        noisy = (low + high) // 2
        sample = _jpegs(spec, noisy, _SAMPLE)
        if sum(map(mjpeg.sent_bytes, sample)) / _SAMPLE > wanted:
            high = noisy
        else:
            low = noisy
    jpegs = _jpegs(spec, low, spec.frames)
    error = abs(sum(map(mjpeg.sent_bytes, jpegs)) / wanted / spec.frames - 1)
    if error > 2 * _TOLERANCE:
        raise _cannot_be_met(spec, f" as JPEG (off by {error:.0%})")
    return [Encoded(jpeg, number) for number, jpeg in enumerate(jpegs)]


def _jpegs(spec: ClipSpec, noisy: int, count: int) -> list[bytes]:
    pictures = _jpeg_pictures(spec, noisy, min(count, _MOST_PICTURES))
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = spec.width, spec.height, "yuvj420p"
    context.framerate, context.time_base = Fraction(spec.fps), Fraction(1, spec.fps)
    context.thread_count = 1
    # RFC 2435 knows only the typical Huffman tables.
    context.options = {"huffman": "default", "flags": "+qscale", "global_quality": str(_JPEG_QUALITY)}
    packets = []
    for number in range(count):
        picture = pictures[number % len(pictures)]
        picture.pts = number
        picture.time_base = Fraction(1, spec.fps)
        packets += context.encode(picture)
    packets += context.encode(None)
    return [bytes(packet) for packet in packets]


def _jpeg_pictures(spec: ClipSpec, noisy: int, count: int) -> list[VideoFrame]:
    """Grey stripes that wander, the last pixels noise, and on top the black field the mark is painted on."""
    draw = random.Random(f"{spec.width}x{spec.height}")
    field = mjpeg.first_lines(spec.width)
    pictures = []
    for number in range(count):
        picture = VideoFrame(spec.width, spec.height, "yuvj420p")
        for index, plane in enumerate(picture.planes):
            pitch, rows = plane.line_size, plane.height
            if index:
                plane.update(bytes((128,)) * (pitch * rows))
                continue
            stripes = b"".join(bytes((96 + (row // 16 + number) % 8 * 8,)) * pitch for row in range(rows))
            filmed = stripes[: len(stripes) - noisy] + draw.randbytes(noisy)
            plane.update(bytes((mjpeg.BLACK,)) * (field * pitch) + filmed[field * pitch :])
        pictures.append(picture)
    return pictures


def _make_pictures(spec: ClipSpec) -> list[VideoFrame]:
    """The raw pictures: a diagonal gradient sliding to the left, its lower bits replaced by fresh noise."""
    draw = random.Random(f"{spec.width}x{spec.height}")
    pictures = []
    for number in range(min(spec.frames, _MOST_PICTURES)):
        picture = VideoFrame(spec.width, spec.height, "yuv420p")
        for index, plane in enumerate(picture.planes):
            noise_bits = 0x1F if index == 0 else 0x03
            pitch, rows = plane.line_size, plane.height
            ramp = bytes((at // 2 + 90 * index) & 0xFF for at in range(512)) * (pitch // 512 + 3)
            lines = (ramp[at : at + pitch] for at in ((row + number * 4) % 512 for row in range(rows)))
            size = pitch * rows
            smooth = int.from_bytes(b"".join(lines), "big")
            noise = int.from_bytes(draw.randbytes(size), "big")
            keep = int.from_bytes(bytes((0xFF ^ noise_bits,)) * size, "big")
            fuzz = int.from_bytes(bytes((noise_bits,)) * size, "big")
            plane.update((smooth & keep | noise & fuzz).to_bytes(size, "big"))
        pictures.append(picture)
    return pictures
