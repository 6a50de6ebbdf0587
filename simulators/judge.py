"""The independent judge: from recorded files alone, was every frame kept, once, in order, and does it decode?

Reads with PyAV and shares nothing with the recorder it judges, nor with the simulators but the layout of the marks.
H.264 and H.265 are judged by the SEI in every access unit. Motion JPEG has none: it is decoded and judged by the blocks
painted at the top of the picture. AAC is judged by the data stream element each access unit begins with, G.711 by the
digits among its samples; a recorder that encodes anew is caught by that.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from os import PathLike
from typing import Any

import av

from simulators import h265, mjpeg
from simulators.clip import split_nals
from simulators.packets import Mark, read_mark
from simulators.sound import find_g711_marks, read_aac_mark

_US = 1_000_000


class JudgeError(ValueError):
    """A file that cannot stand as a recording of a simulated camera; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One access unit as found in a file. `pts` in the stream's time base, `pts_us` in microseconds."""

    counter: int
    capture_us: int
    pts: int
    is_keyframe: bool
    camera: int
    pts_us: int


@dataclass(frozen=True, slots=True)
class GaplessReport:
    """What is wrong with a sequence of frames, by counter; `foreign` are frames of another camera than the first."""

    frames: int
    first: int | None
    last: int | None
    missing: tuple[int, ...]
    doubled: tuple[int, ...]
    reordered: tuple[int, ...]
    foreign: tuple[int, ...]

    @property
    def ok(self) -> bool:
        """Whether there are frames, and nothing is wrong with them."""
        return self.frames > 0 and not (self.missing or self.doubled or self.reordered or self.foreign)


def read_frames(path: str | PathLike[str]) -> list[Frame]:
    """Every access unit of the file's video stream, in decoding order.

    Raises JudgeError for a file that does not open, has no video, or has an access unit without exactly one mark.
    """
    frames: list[Frame] = []
    try:
        with av.open(str(path)) as container:
            stream = _video(container, path)
            find_marks = _mark_finder(stream)
            for packet in container.demux(stream):
                if packet.size == 0:  # PyAV's end-of-stream packet
                    continue
                frames.append(_judge_packet(packet, find_marks, path, len(frames)))
    except av.FFmpegError as error:
        raise JudgeError(f"{path}: {error}") from error
    return frames


def decode_all(path: str | PathLike[str]) -> int:
    """Decode every frame and return how many. Raises JudgeError at the first error, corrupt or lost picture."""
    decoded = packets = 0
    try:
        with av.open(str(path)) as container:
            stream = _video(container, path)
            # Two guards, each of which found by itself all damage that the other found: errors, and marked pictures.
            stream.codec_context.options = {"err_detect": "explode"}
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    raise JudgeError(f"{path}: packet {packets} is marked corrupt")
                packets += packet.size > 0
                for picture in packet.decode():
                    if picture.is_corrupt:
                        raise JudgeError(f"{path}: picture {decoded} is corrupt")
                    decoded += 1
    except av.FFmpegError as error:
        raise JudgeError(f"{path}: decoding fails after {decoded} pictures: {error}") from error
    if decoded != packets or not decoded:
        raise JudgeError(f"{path}: {packets} access units gave {decoded} pictures")
    return decoded


def check_gapless(frames: Iterable[Frame]) -> GaplessReport:
    """Compare the counters of one camera's frames, files in order, with an unbroken row."""
    kept = list(frames)
    own = [frame.counter for frame in kept if frame.camera == kept[0].camera]
    present = set(own)
    seen: set[int] = set()
    doubled = []
    for counter in own:
        if counter in seen:
            doubled.append(counter)
        seen.add(counter)
    return GaplessReport(
        frames=len(kept),
        first=min(own, default=None),
        last=max(own, default=None),
        missing=tuple(n for n in range(min(own), max(own) + 1) if n not in present) if own else (),
        doubled=tuple(doubled),
        reordered=tuple(later for earlier, later in pairwise(own) if later < earlier),
        foreign=tuple(frame.counter for frame in kept if frame.camera != kept[0].camera),
    )


def read_sound(path: str | PathLike[str]) -> list[Frame]:
    """Every marked unit of the file's audio stream, in order: AAC access units, or the camera's G.711 packets, in
    whatever pieces the file holds them; `is_keyframe` is always true.

    Raises JudgeError for a file that does not open, has no audio, or has audio without marks.
    """
    found: list[Frame] = []
    samples = bytearray()
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise JudgeError(f"{path}: no audio stream")
            stream = container.streams.audio[0]
            codec, rate_hz = stream.codec_context.name, stream.codec_context.sample_rate
            start_us: int | None = None
            for packet in container.demux(stream):
                if packet.size == 0 or packet.pts is None:
                    continue
                at_us = round(packet.pts * packet.time_base * _US)
                if codec == "aac":
                    mark = read_aac_mark(bytes(packet))
                    if mark is None:
                        raise JudgeError(f"{path}: audio unit {len(found)} has no mark")
                    found.append(Frame(mark.counter, mark.capture_us, packet.pts, True, mark.camera, at_us))
                elif codec in ("pcm_alaw", "pcm_mulaw"):
                    start_us = at_us if start_us is None else start_us
                    samples += bytes(packet)
                else:
                    raise JudgeError(f"{path}: audio is {codec}, which no simulated camera sends")
            for at, mark in find_g711_marks(bytes(samples)):
                at_us = (start_us or 0) + at * _US // rate_hz
                found.append(Frame(mark.counter, mark.capture_us, at, True, mark.camera, at_us))
    except av.FFmpegError as error:
        raise JudgeError(f"{path}: {error}") from error
    except ValueError as error:
        raise (
            error if isinstance(error, JudgeError) else JudgeError(f"{path}: a mark in the audio is damaged")
        ) from error
    if not found:
        raise JudgeError(f"{path}: no marks in the audio")
    return found


def _mark_finder(stream: Any) -> Callable[[Any], list[Mark]]:
    """How the marks of one packet of this stream are found; raises ValueError where one is damaged."""
    codec, extradata = stream.codec_context.name, stream.codec_context.extradata
    if codec == "mjpeg":
        return _picture_marks
    read = h265.read_mark if codec == "hevc" else read_mark
    length_size = _length_size(extradata, codec == "hevc")

    def find(packet: Any) -> list[Mark]:
        nals = split_nals(bytes(packet)) if length_size is None else _split_sized(bytes(packet), length_size)
        return [mark for nal in nals if (mark := read(nal)) is not None]

    return find


def _picture_marks(packet: Any) -> list[Mark]:
    found = []
    for picture in packet.decode():
        luma = picture.planes[0]
        mark = mjpeg.read_picture(bytes(luma), luma.line_size, picture.width)
        found += [mark] if mark is not None else []
    return found


def _judge_packet(
    packet: Any, find_marks: Callable[[Any], list[Mark]], path: str | PathLike[str], number: int
) -> Frame:
    try:
        marks = find_marks(packet)
    except ValueError as error:
        raise JudgeError(f"{path}: the mark of access unit {number} is damaged") from error
    if len(marks) != 1:
        raise JudgeError(f"{path}: access unit {number} has {len(marks)} marks instead of 1")
    if packet.pts is None:
        raise JudgeError(f"{path}: access unit {number} has no presentation time")
    mark = marks[0]
    pts_us = round(packet.pts * packet.time_base * _US)
    return Frame(mark.counter, mark.capture_us, packet.pts, packet.is_keyframe, mark.camera, pts_us)


def _video(container: Any, path: str | PathLike[str]) -> Any:
    if not container.streams.video:
        raise JudgeError(f"{path}: no video stream")
    return container.streams.video[0]


def _length_size(extradata: bytes | None, hevc: bool) -> int | None:
    """How many bytes hold a NAL unit's length (ISO 14496-15, avcC and hvcC), or None for start codes."""
    at = 21 if hevc else 4
    if extradata and extradata[0] == 1 and len(extradata) > at:
        return (extradata[at] & 3) + 1
    return None


def _split_sized(data: bytes, length_size: int) -> list[bytes]:
    nals, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + length_size], "big")
        at += length_size
        nals.append(data[at : at + length])
        at += length
    return [nal for nal in nals if nal]


def main(argv: list[str]) -> int:
    """`python -m simulators judge FILE...`: exit code 0 if all is well, 1 if not, 2 for a file that is none."""
    parser = argparse.ArgumentParser(prog="simulators judge", description="Judge one camera's files, given in order.")
    parser.add_argument("file", nargs="+")
    try:
        verdict = _judge_files(parser.parse_args(argv).file)
    except JudgeError as error:
        print(json.dumps({"ok": False, "error": str(error)}))
        print(f"simulators: {error}", file=sys.stderr)
        return 2
    print(json.dumps(verdict))
    return 0 if verdict["ok"] else 1


def _judge_files(paths: Sequence[str]) -> dict[str, Any]:
    files: list[dict[str, Any]] = []
    frames: list[Frame] = []
    sound: list[Frame] = []
    for path in paths:
        found = read_frames(path)
        frames += found
        sound += read_sound(path) if _has_sound(path) else []
        files.append(
            {
                "file": path,
                "frames": len(found),
                "decoded": decode_all(path),
                "starts_on_keyframe": bool(found) and found[0].is_keyframe,
            }
        )
    report = check_gapless(frames)
    verdict = {"ok": report.ok, **asdict(report), "files": files}
    if sound:
        heard = check_gapless(sound)
        verdict |= {"ok": report.ok and heard.ok, "sound": {"ok": heard.ok, **asdict(heard)}}
    return verdict


def _has_sound(path: str) -> bool:
    try:
        with av.open(path) as container:
            return bool(container.streams.audio)
    except av.FFmpegError as error:
        raise JudgeError(f"{path}: {error}") from error
