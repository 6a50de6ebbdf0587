"""What PyAV and ffprobe find in a file, whatever it holds, and what the recorder's own recovery would."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from edged.record.mp4.fmp4_read import Salvage, salvage
from simulators import mjpeg
from simulators.judge import Frame


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
