"""What PyAV and ffprobe find in a file, whatever it holds, and what the recorder's own recovery would."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from edged.record.fmp4_read import Salvage, salvage
from simulators import h265, mjpeg
from simulators.judge import Frame
from simulators.packets import read_mark


@dataclass(frozen=True, slots=True)
class Probe:
    """What ffprobe counts, decoding everything."""

    video_frames: int
    audio_frames: int
    audio_packets: int
    codecs: tuple[str, ...]
    durations: tuple[float, ...]  # seconds, of the packets of each stream


def probe(path: Path) -> Probe:
    """Raises AssertionError where ffprobe has anything to complain about."""
    command = ["ffprobe", "-v", "warning", "-err_detect", "explode", "-count_frames", "-count_packets"]
    command += [
        "-show_streams",
        "-show_entries",
        "packet=stream_index,pts_time,duration_time",
        "-of",
        "json",
        str(path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "", done.stderr
    found = json.loads(done.stdout)
    streams: list[dict[str, Any]] = found["streams"]
    by_kind = {one["codec_type"]: one for one in streams}
    durations = []
    for one in streams:
        own = [entry for entry in found["packets"] if entry["stream_index"] == one["index"]]
        times = [float(entry["pts_time"]) for entry in own]
        durations.append(max(times) - min(times) + float(own[-1]["duration_time"]) if own else 0.0)
    sound = by_kind.get("audio", {})
    return Probe(
        int(by_kind["video"]["nb_read_frames"]),
        int(sound.get("nb_read_frames", 0)),
        int(sound.get("nb_read_packets", 0)),
        tuple(one["codec_name"] for one in streams),
        tuple(durations),
    )


def salvage_bytes(content: bytes) -> Salvage | None:
    """What recovery finds whole in a file of this content."""
    return salvage(lambda at, count: content[at : at + count], len(content))


def frames_in(path: Path) -> list[Frame]:
    """The marked access units of an H.264 or H.265 file, in decoding order; each must have one mark."""
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        read = h265.read_mark if stream.codec_context.name == "hevc" else read_mark
        for one in container.demux(stream):
            if one.size == 0:
                continue
            (mark,) = [found for nal in _nals(bytes(one)) if (found := read(nal)) is not None]
            assert one.pts is not None
            assert one.time_base is not None
            pts_us = round(one.pts * one.time_base * 1_000_000)
            frames.append(Frame(mark.counter, mark.capture_us, one.pts, one.is_keyframe, mark.camera, pts_us))
    return frames


def _nals(sample: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(sample):
        size = int.from_bytes(sample[at : at + 4], "big")
        found.append(sample[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def painted_frames(path: Path) -> list[Frame]:
    """The pictures of a JPEG file, by the marks painted into them; each must have one."""
    frames = []
    with av.open(str(path)) as container:
        for one in container.demux(container.streams.video[0]):
            for picture in one.decode():
                plane = picture.planes[0]
                mark = mjpeg.read_picture(bytes(plane), plane.line_size, plane.width)
                assert mark is not None
                assert picture.pts is not None
                assert picture.time_base is not None
                pts_us = round(picture.pts * picture.time_base * 1_000_000)
                frames.append(Frame(mark.counter, mark.capture_us, picture.pts, one.is_keyframe, mark.camera, pts_us))
    return frames
