"""The film every simulated camera shows: really encoded, once, and replayed in a loop.

The clip is an even number of closed GOPs: idr_pic_id of neighbouring IDR pictures must differ (H.264 7.4.3), x264
alternates it between two values, and the loop's end meets its beginning. Frames stand in decoding order, which is the
order they are sent in; with B-frames each says which picture it shows.

Encoded clips are kept in the temp folder under a name made of all their parameters.
"""

import hashlib
import json
import os
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from simulators import h265, mjpeg
from simulators.encode import Encoded, encode_to_rate
from simulators.film import ClipError, ClipSpec
from simulators.packets import (
    NAL_IDR,
    NAL_NON_IDR,
    NAL_PPS,
    NAL_SPS,
    FrameTemplate,
    build_template,
    is_recovery_point,
)

_RECIPE = 2  # part of the cache's file names: raise it when the picture or the encoder's settings change
_START_CODE = re.compile(rb"\x00{2,}\x01")


@dataclass(frozen=True, slots=True)
class Clip:
    """The film, packetized: one template per frame in decoding order, to be shown in a loop."""

    spec: ClipSpec
    sps: bytes
    pps: bytes
    frames: tuple[FrameTemplate, ...]
    bitrate: int
    """What the elementary stream really takes, bits per second."""
    vps: bytes = b""
    ages: tuple[int, ...] = ()
    """How many frames' time ago each frame was captured when its turn to be sent comes; empty without B-frames."""


def make_clip(spec: ClipSpec, cache: Path | None = None) -> Clip:
    """The clip for `spec`, from the cache folder (default: one in the temp folder) or freshly encoded into it.

    Raises ClipError where the encoder cannot meet the bit rate at this size.
    """
    folder = cache or Path(tempfile.gettempdir()) / f"simulator-clips-{os.getuid()}"
    b_frames = f"-b{spec.bframes}" if spec.bframes else ""
    b_frames += "-open" if spec.open_gop else ""
    name = f"{_RECIPE}-{spec.width}x{spec.height}-{spec.fps}-{spec.gop}-{spec.bitrate}{b_frames}.{spec.codec}"
    path = folder / name
    if path.exists():
        units = _unpack(path.read_bytes())
        if len(units) == spec.frames:
            return _packetize(spec, units)
    units = encode_to_rate(spec)
    _publish(path, _pack(units))
    return _packetize(spec, units)


def other_size(spec: ClipSpec) -> ClipSpec:
    """The same film, half as wide and high (in units of 16, and 160x128 at least): other parameter sets."""
    width, height = max(160, spec.width // 32 * 16), max(128, spec.height // 32 * 16)
    if (width, height) == (spec.width, spec.height):
        width += 32
    return replace(spec, width=width, height=height)


def split_nals(stream: bytes) -> list[bytes]:
    """The NAL units between the start codes of an Annex B stream (H.264 annex B), none of them empty."""
    return [nal for nal in _START_CODE.split(stream) if nal]


def _pack(units: list[Encoded]) -> bytes:
    head = json.dumps([(unit.shows, len(unit.data)) for unit in units]).encode() + b"\n"
    content = head + b"".join(unit.data for unit in units)
    return hashlib.sha256(content).digest() + content


def _unpack(kept: bytes) -> list[Encoded]:
    """The units of a cache file, or none where the file was torn."""
    digest, content = kept[:32], kept[32:]
    if hashlib.sha256(content).digest() != digest:
        return []
    head, _, stream = content.partition(b"\n")
    units, at = [], 0
    for shows, size in json.loads(head):
        units.append(Encoded(stream[at : at + size], shows))
        at += size
    return units


def _publish(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.replace(draft, path)  # fleets that start together may both encode; the last one wins, whole


def _packetize(spec: ClipSpec, units: list[Encoded]) -> Clip:
    depth = max(unit.shows - number for number, unit in enumerate(units))
    ages = tuple(number + depth - unit.shows for number, unit in enumerate(units)) if depth else ()
    if spec.codec == "mjpeg":
        try:
            frames = tuple(mjpeg.build_template(unit.data) for unit in units)
        except mjpeg.JpegError as error:
            raise ClipError(f"mjpeg at {spec.width}x{spec.height}: {error}") from error
        return Clip(spec, b"", b"", frames, _rate(frames, spec))
    nals = [split_nals(unit.data) for unit in units]
    if spec.codec == "h265":
        frames = tuple(map(h265.build_template, nals))
        sets = {h265.kind_of(nal): nal for nal in nals[0]}
        sps, pps, vps = sets[h265.NAL_SPS], sets[h265.NAL_PPS], sets[h265.NAL_VPS]
    else:
        # x264 signs its first frame with an SEI of its own; but for recovery points every SEI is to be ours.
        wanted = (NAL_SPS, NAL_PPS, NAL_IDR, NAL_NON_IDR)
        nals = [[nal for nal in unit if nal[0] & 0x1F in wanted or is_recovery_point(nal)] for unit in nals]
        frames = tuple(
            build_template(unit, is_keyframe=any(nal[0] & 0x1F == NAL_IDR or is_recovery_point(nal) for nal in unit))
            for unit in nals
        )
        sets = {nal[0] & 0x1F: nal for nal in nals[0]}
        sps, pps, vps = sets[NAL_SPS], sets[NAL_PPS], b""
    bits = sum(len(nal) * 8 for unit in nals for nal in unit)
    return Clip(spec, sps, pps, frames, bits * spec.fps // len(units), vps, ages)


def _rate(frames: tuple[FrameTemplate, ...], spec: ClipSpec) -> int:
    return sum(frame.payload_bytes for frame in frames) * 8 * spec.fps // len(frames)
