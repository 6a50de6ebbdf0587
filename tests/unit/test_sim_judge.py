"""The judge must see what is wrong: it is the witness of every test of the recorder."""

import json
import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.packet import Packet

from simulators.clip import make_clip
from simulators.feed import Feed
from simulators.film import ClipSpec
from simulators.judge import Frame, JudgeError, check_gapless, decode_all, read_frames
from simulators.packets import render, without_packets
from tests.sim_viewer import nals_of

SPEC = ClipSpec(160, 90, 25, 5, 200_000)


def write(path: Path, counters: list[int], *, camera: int = 3, lose_slice_of: int | None = None) -> Path:
    """An MP4 holding these frames of a camera, in this order, as a faithful recorder would have written them."""
    feed = Feed(make_clip(SPEC), camera, 1_000_000_000, random.Random(1))
    source = av.CodecContext.create("h264", "r")
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("h264", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.time_base = 160, 90, Fraction(1, 90_000)
        start = b"\0\0\0\1"
        stream.codec_context.extradata = start + feed.clip.sps + start + feed.clip.pps
        for number, counter in enumerate(counters):
            template = feed.frame(counter)
            data = render(template, feed.mark(counter), sequence=0, timestamp=0, ssrc=0, channel=0)
            if counter == lose_slice_of:
                data = without_packets(template, data, {len(template.starts) - 1})
            packet = Packet(b"".join(start + nal for nal in nals_of(bytes(data))))
            packet.pts = packet.dts = number * 3600
            packet.time_base = Fraction(1, 90_000)
            packet.is_keyframe = template.is_keyframe
            packet.stream = stream
            container.mux(packet)
    del source
    return path


def test_a_whole_recording_is_found_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "whole.mp4", list(range(10, 60)))
    frames = read_frames(path)
    assert frames[0] == Frame(10, 1_000_400_000, 0, True, 3, 0)
    assert frames[-1] == Frame(59, 1_002_360_000, 49 * 3600, False, 3, 1_960_000)
    assert check_gapless(frames).ok
    assert decode_all(path) == 50


def test_missing_doubled_reordered_and_foreign_frames_are_named(tmp_path: Path) -> None:
    frames = read_frames(write(tmp_path / "bad.mp4", [10, 11, 13, 13, 15, 14, 16]))
    report = check_gapless(frames)
    assert (report.missing, report.doubled, report.reordered) == ((12,), (13,), (14,))
    assert not report.ok
    assert not check_gapless([]).ok
    others = read_frames(write(tmp_path / "other.mp4", [17], camera=4))
    assert check_gapless(read_frames(write(tmp_path / "good.mp4", [15, 16])) + others).foreign == (17,)


def test_damage_does_not_decode(tmp_path: Path) -> None:
    path = write(tmp_path / "lost.mp4", list(range(50)), lose_slice_of=20)
    with pytest.raises(JudgeError, match=r"lost\.mp4"):
        decode_all(path)
    whole = write(tmp_path / "whole.mp4", list(range(50)))
    data = bytearray(whole.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 400] = random.Random(5).randbytes(400)
    (tmp_path / "scratched.mp4").write_bytes(data)
    with pytest.raises(JudgeError, match=r"scratched\.mp4"):
        decode_all(tmp_path / "scratched.mp4")


def test_a_recording_that_starts_between_keyframes_does_not_decode(tmp_path: Path) -> None:
    with pytest.raises(JudgeError):
        decode_all(write(tmp_path / "late.mp4", list(range(12, 40))))


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "noise.mp4").write_bytes(random.Random(5).randbytes(3000))
    for call in (read_frames, decode_all):
        with pytest.raises(JudgeError, match=r"noise\.mp4"):
            call(tmp_path / "noise.mp4")
        with pytest.raises(JudgeError, match=r"absent\.mp4"):
            call(tmp_path / "absent.mp4")


def test_the_command(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1.mp4", list(range(10))), write(tmp_path / "2.mp4", list(range(10, 20)))
    three = write(tmp_path / "3.mp4", list(range(25, 30)))

    def judge(*files: Path) -> tuple[int, dict[str, object]]:
        command = [sys.executable, "-m", "simulators", "judge", *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode, json.loads(done.stdout)

    code, verdict = judge(one, two)
    assert (code, verdict["ok"], verdict["frames"]) == (0, True, 20)
    code, verdict = judge(one, two, three)
    assert (code, verdict["missing"]) == (1, [20, 21, 22, 23, 24])
    assert judge(tmp_path / "absent.mp4")[0] == 2
