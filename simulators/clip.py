"""The film every simulated camera shows: real H.264, encoded once with libx264 and replayed in a loop.

The picture is a gradient that moves under noise, so that the encoder has enough to spend the asked bit rate on. The
clip is an even number of closed GOPs: idr_pic_id of neighbouring IDR pictures must differ (H.264 7.4.3), x264
alternates it between two values, and the loop's end meets its beginning.

Encoded clips are kept in the temp folder under a name made of all their parameters.
"""

import hashlib
import os
import random
import re
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import PictureType, VideoFrame

from simulators.packets import NAL_IDR, NAL_NON_IDR, NAL_PPS, NAL_SPS, FrameTemplate, build_template

_RECIPE = 1  # part of the cache's file names: raise it when the picture or the encoder's settings change
_TOLERANCE = 0.05  # of the bit rate; the promise to users is 10 %
_TRIES = 6
_START_CODE = re.compile(rb"\x00{2,}\x01")


class ClipError(ValueError):
    """The asked film cannot be made; the message says why and what to change."""


@dataclass(frozen=True, slots=True)
class ClipSpec:
    """What the film must be. `bitrate` in bits per second, `gop` in frames from keyframe to keyframe."""

    width: int = 640
    height: int = 360
    fps: int = 25
    gop: int = 50
    bitrate: int = 1_000_000

    def __post_init__(self) -> None:
        """Raise ClipError for what cannot be filmed."""
        if not (16 <= self.width <= 7680 and 16 <= self.height <= 4320) or self.width % 2 or self.height % 2:
            raise ClipError(f"size {self.width}x{self.height}: want even numbers from 16x16 to 7680x4320")
        if not 1 <= self.fps <= 120:
            raise ClipError(f"{self.fps} frames per second: want 1 to 120")
        if not 1 <= self.gop <= 1000:
            raise ClipError(f"a GOP of {self.gop} frames: want 1 to 1000")
        if not 8_000 <= self.bitrate <= 200_000_000:
            raise ClipError(f"{self.bitrate} bit/s: want 8k to 200M")

    @property
    def frames(self) -> int:
        """Frames in the clip: an even number of GOPs, two seconds or more."""
        pairs = max(1, -(-2 * self.fps // (2 * self.gop)))
        return 2 * self.gop * pairs


@dataclass(frozen=True, slots=True)
class Clip:
    """The film, packetized: one template per frame, to be shown in a loop."""

    spec: ClipSpec
    sps: bytes
    pps: bytes
    frames: tuple[FrameTemplate, ...]
    bitrate: int
    """What the elementary stream really takes, bits per second."""


def make_clip(spec: ClipSpec, cache: Path | None = None) -> Clip:
    """The clip for `spec`, from the cache folder (default: one in the temp folder) or freshly encoded into it.

    Raises ClipError where the encoder cannot meet the bit rate at this size.
    """
    folder = cache or Path(tempfile.gettempdir()) / f"simulator-clips-{os.getuid()}"
    name = f"{_RECIPE}-{spec.width}x{spec.height}-{spec.fps}-{spec.gop}-{spec.bitrate}.h264"
    path = folder / name
    if path.exists():
        units = split_access_units(_checked(path.read_bytes()))
        if len(units) == spec.frames:
            return _packetize(spec, units)
    stream = _encode_to_rate(spec)
    _publish(path, hashlib.sha256(stream).digest() + stream)
    return _packetize(spec, split_access_units(stream))


def split_access_units(stream: bytes) -> list[list[bytes]]:
    """The NAL units of an Annex B stream, grouped by access unit. Expects one slice to a picture, as encoded here."""
    units: list[list[bytes]] = []
    current: list[bytes] = []
    for nal in split_nals(stream):
        current.append(nal)
        if nal[0] & 0x1F in (NAL_IDR, NAL_NON_IDR):
            units.append(current)
            current = []
    return units


def split_nals(stream: bytes) -> list[bytes]:
    """The NAL units between the start codes of an Annex B stream (H.264 annex B), none of them empty."""
    return [nal for nal in _START_CODE.split(stream) if nal]


def _checked(kept: bytes) -> bytes:
    """The stream of a cache file, or nothing where the file was torn."""
    digest, stream = kept[:32], kept[32:]
    return stream if hashlib.sha256(stream).digest() == digest else b""


def _publish(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.replace(draft, path)  # fleets that start together may both encode; the last one wins, whole


def _packetize(spec: ClipSpec, units: list[list[bytes]]) -> Clip:
    kinds = {nal[0] & 0x1F: nal for nal in units[0]}
    frames = tuple(build_template(unit, is_keyframe=any(nal[0] & 0x1F == NAL_IDR for nal in unit)) for unit in units)
    bits = sum(len(nal) * 8 for unit in units for nal in unit)
    return Clip(spec, kinds[NAL_SPS], kinds[NAL_PPS], frames, bits * spec.fps // len(units))


def _encode_to_rate(spec: ClipSpec) -> bytes:
    """Encode, measure, correct the encoder's target, until the bit rate is met: rate control is coarse on two GOPs."""
    pictures = _pictures(spec)
    target = float(spec.bitrate)
    best, best_error = b"", 1.0
    for _ in range(_TRIES):
        stream = _encode(spec, pictures, int(target))
        ratio = len(stream) * 8 * spec.fps / spec.frames / spec.bitrate
        if abs(ratio - 1) < best_error:
            best, best_error = stream, abs(ratio - 1)
        if best_error <= _TOLERANCE:
            return best
        target = min(max(target / ratio, 1_000), 1e9)  # beyond these x264 refuses to start
    if best_error > 2 * _TOLERANCE:
        raise ClipError(
            f"{spec.bitrate} bit/s cannot be met at {spec.width}x{spec.height}, {spec.fps} frames per second"
            f" (off by {best_error:.0%}): choose another bit rate or size"
        )
    return best


def _encode(spec: ClipSpec, pictures: list[VideoFrame], target: int) -> bytes:
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = spec.width, spec.height, "yuv420p"
    context.framerate, context.time_base = Fraction(spec.fps), Fraction(1, spec.fps)
    context.gop_size, context.bit_rate = spec.gop, target
    context.options = {
        "preset": "ultrafast",
        "profile": "baseline",
        "x264-params": f"keyint={spec.gop}:min-keyint={spec.gop}:scenecut=0:bframes=0:rc-lookahead=0:threads=1:"
        f"sliced-threads=0:aud=0:repeat-headers=1:annexb=1:vbv-maxrate={max(1, target // 1000)}:"
        f"vbv-bufsize={max(1, target // 1000)}",
    }
    packets = []
    for number, picture in enumerate(pictures):
        picture.pts = number
        picture.time_base = Fraction(1, spec.fps)
        picture.pict_type = PictureType.I if number % spec.gop == 0 else PictureType.NONE
        packets += context.encode(picture)
    packets += context.encode(None)
    # x264 signs its first frame with an SEI of its own; every SEI of the stream is to be ours.
    units = split_access_units(b"".join(bytes(packet) for packet in packets))
    wanted = (NAL_SPS, NAL_PPS, NAL_IDR, NAL_NON_IDR)
    return b"".join(b"\x00\x00\x00\x01" + nal for unit in units for nal in unit if nal[0] & 0x1F in wanted)


def _pictures(spec: ClipSpec) -> list[VideoFrame]:
    """The raw pictures: a diagonal gradient sliding to the left, its lower bits replaced by fresh noise."""
    draw = random.Random(f"{spec.width}x{spec.height}")
    pictures = []
    for number in range(spec.frames):
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
