"""GStreamer's moving ball as a counter of frames: where it is says which frame it is, for 800 frames.

So a recording of a server not written here can be compared, picture by picture, with the film as the same source draws
it without an encoder, a network or a recorder in between.
"""

import subprocess
from collections.abc import Iterable
from pathlib import Path

import av
from av.video.frame import VideoFrame

Position = tuple[float, float]  # pixels, of the ball's middle
_BRIGHT = bytes(value > 127 for value in range(256))
_APART = 2.0  # pixels by which an encoder's noise and rounding may move the ball


def drawn(width: int, height: int, count: int) -> list[Position]:
    """Where the ball is in the first `count` frames, as gst-launch draws them."""
    caps = f"video/x-raw,format=GRAY8,width={width},height={height},framerate=25/1"
    source = ("videotestsrc", f"num-buffers={count}", "pattern=ball")
    command = ["gst-launch-1.0", "-q", *source, "!", caps, "!", "fdsink", "fd=1"]
    raw = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60).stdout
    size = width * height
    assert len(raw) == size * count
    return [_middle(raw[at : at + size], width) for at in range(0, len(raw), size)]


def recorded(files: Iterable[Path]) -> list[Position]:
    """Where the ball is in every picture of these files, in the order shown."""
    found = []
    for file in files:
        with av.open(str(file)) as container:
            found += [_middle(*_gray(picture)) for picture in container.decode(video=0)]
    return found


def first_frame(film: list[Position], positions: list[Position]) -> int:
    """Which frame of `film` the first position is; each that follows must be the frame after. AssertionError if not."""
    begin = min(range(len(film)), key=lambda number: _distance(film[number], positions[0]))
    assert begin + len(positions) <= len(film), "the film drawn is shorter than what was recorded"
    for number, (wanted, found) in enumerate(zip(film[begin:], positions, strict=False)):
        assert _distance(wanted, found) < _APART, f"picture {number} shows another frame than {begin + number}"
    return begin


def _distance(one: Position, other: Position) -> float:
    return max(abs(one[0] - other[0]), abs(one[1] - other[1]))


def _gray(picture: VideoFrame) -> tuple[bytes, int]:
    gray = picture.reformat(format="gray")
    plane = gray.planes[0]
    rows, pitch = bytes(plane), plane.line_size
    return b"".join(rows[at : at + gray.width] for at in range(0, pitch * gray.height, pitch)), gray.width


def _middle(gray: bytes, width: int) -> Position:
    bright = gray.translate(_BRIGHT)
    rows = [at // width for at in range(0, len(bright), width) if 1 in bright[at : at + width]]
    columns = [column for column in range(width) if 1 in bright[column::width]]
    assert rows
    assert columns
    return (columns[0] + columns[-1]) / 2, (rows[0] + rows[-1]) / 2
