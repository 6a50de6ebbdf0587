"""What every file recorded in a test must stand: PyAV decodes it, ffprobe counts it, both agree with the journal."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import av

from edged.model import SegmentSealed


def prove(file: Path, fact: SegmentSealed, *, twice: bool = True) -> None:
    """Decode `file` whole, `twice` over where ffprobe is installed; AssertionError where it is not what `fact` says."""
    with av.open(str(file)) as container:
        video = container.streams.video[0]
        video.codec_context.options = {"err_detect": "explode"}
        pictures = [picture for packet in container.demux(video) for picture in packet.decode()]
    assert len(pictures) == fact.frames, f"{file.name}: {len(pictures)} pictures, the journal says {fact.frames}"
    assert not any(picture.is_corrupt for picture in pictures), file.name
    assert (pictures[0].width, pictures[0].height) == (fact.width, fact.height), file.name
    assert pictures[0].key_frame, f"{file.name} does not begin on a keyframe"
    if twice:
        prove_by_ffprobe(file, fact)


def prove_torn(file: Path, fact: SegmentSealed) -> None:
    """Of a file whose journal line admits lost packets: every access unit is there, and a decoder gets through."""
    with av.open(str(file)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert len(packets) == fact.frames, f"{file.name}: {len(packets)} units, the journal says {fact.frames}"
        assert packets[0].is_keyframe, f"{file.name} does not begin on a keyframe"
    with av.open(str(file)) as container:
        pictures = sum(1 for _ in container.decode(video=0))
    assert 0 < pictures <= fact.frames, f"{file.name}: {pictures} pictures of {fact.frames} units"


def prove_by_ffprobe(file: Path, fact: SegmentSealed) -> None:
    """ffprobe reads every frame without a word of complaint, and counts as many."""
    if shutil.which("ffprobe") is None:
        return
    wanted = ("-show_entries", "stream=nb_read_frames,width,height", "-of", "json")
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-count_frames", *wanted, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), f"{file.name}: {done.stderr}"
    (stream,) = json.loads(done.stdout)["streams"]
    assert int(stream["nb_read_frames"]) == fact.frames, file.name
    assert (stream["width"], stream["height"]) == (fact.width, fact.height), file.name


def prove_all(files: Sequence[Path], facts: Sequence[SegmentSealed]) -> None:
    """`prove` for files and facts in the same order."""
    assert files
    for file, fact in zip(files, facts, strict=True):
        prove(file, fact)
