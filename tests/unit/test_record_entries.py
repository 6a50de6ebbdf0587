"""Cameras whose keyframes are recovery points or CRA pictures: recorded from there, decodable, no more lost."""

from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.model import Cause
from edged.record.codecs.h264 import recovery_frames
from edged.record.codecs.h264_depacketize import GRADUAL_US
from edged.record.mp4.formats import Entry
from edged.record.quirks import Quirk
from simulators.clip import Clip
from simulators.judge import read_frames
from tests.record_film import SECOND, START_US, Receiver, Recording, film, packet, show

LEADING = 2  # pictures shown before each open keyframe, of two B-frames


def open_film(codec: str) -> Clip:
    return film(gop=24, codec=codec, bframes=LEADING, open_gop=True)


def entry(clip: Clip) -> int:
    """The number of the first keyframe that is no IDR picture."""
    idr, first, *_ = [number for number, frame in enumerate(clip.frames) if frame.is_keyframe]
    assert idr == 0
    return first


def shown(path: Path) -> int:
    """How many pictures a decoder shows, all of them whole.

    Not `decode_all`, for which any complaint is a failure: x264 lets the first picture behind a recovery point discard
    references from before it, and FFmpeg remarks that these are not there.
    """
    with av.open(str(path)) as container:
        pictures = list(container.decode(video=0))
    assert not any(picture.is_corrupt for picture in pictures), path
    assert [picture.pts for picture in pictures] == sorted(picture.pts or 0 for picture in pictures)
    return len(pictures)


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_i4_a_stream_without_idr_is_recorded_and_decodes_frame_for_frame(codec: str, tmp_path: Path) -> None:
    """From the first open keyframe until right before the film's one IDR picture comes again."""
    clip = open_film(codec)
    first = entry(clip)
    recording = Recording(clip)
    recording.play(show(clip, len(clip.frames) - first, first=first))
    (tape,) = recording.finish()
    path = tape.write_to(tmp_path / "s.mp4")
    counters = [frame.counter for frame in read_frames(path)]
    left_out = set(range(first + 1, first + 1 + LEADING))
    assert counters == [number for number in range(first, len(clip.frames)) if number not in left_out]
    assert tape.end is not None
    assert shown(path) == tape.end.frames == len(counters), "every picture that was kept is shown"
    assert Quirk.OPEN_GOP in recording.quirks
    assert (Quirk.NO_IDR in recording.quirks) == (codec == "h264")
    assert [(loss.cause, loss.frames, loss.end_us) for loss in recording.losses] == [
        (Cause.PROTOCOL, LEADING, tape.start.start_us)
    ]


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_i4_segments_of_open_gops_each_decode_alone(codec: str, tmp_path: Path) -> None:
    """All but every fourth begin at an open keyframe: they lack what is shown before it, and that is said."""
    clip = open_film(codec)
    recording = Recording(clip, segment_s=1)
    recording.play(show(clip, 24 * 8))
    tapes = recording.finish()
    assert len(tapes) == 8
    said = [loss for loss in recording.losses if loss.cause is Cause.PROTOCOL]
    assert len(said) == 6
    stored = 0
    for number, tape in enumerate(tapes):
        path = tape.write_to(tmp_path / f"{number}.mp4")
        assert tape.end is not None
        assert shown(path) == tape.end.frames == len(read_frames(path))
        stored += tape.end.frames
    assert stored + sum(loss.frames for loss in said) == 24 * 8
    ends = [(tape.start.start_us, tape.end.end_us) for tape in tapes if tape.end is not None]
    assert all(one[1] == after[0] for one, after in pairwise(ends)), "the seams are where they were"


def test_within_a_segment_nothing_is_left_out_and_a_recovery_point_is_no_sync_sample(tmp_path: Path) -> None:
    for codec, keyframes in (("h264", 2), ("h265", 6)):
        clip = open_film(codec)
        recording = Recording(clip)
        recording.play(show(clip, 24 * 5))
        (tape,) = recording.finish()
        assert tape.end is not None
        assert (tape.end.frames, tape.end.keyframes) == (24 * 5, keyframes)
        assert shown(tape.write_to(tmp_path / codec)) == 24 * 5
        assert recording.losses == []


# --- the message itself --------------------------------------------------------------------------------------------


def recovery_point(frames: int, lead: bytes = b"") -> bytes:
    """An SEI NAL unit with other messages in front."""
    bits = f"{frames + 1:b}"
    bits = "0" * (len(bits) - 1) + bits + "0" * 4 + "1"
    body = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    return b"\x06" + lead + bytes((6, len(body))) + body + b"\x80"


@pytest.mark.parametrize("lead", [b"", b"\x01\x02ab", b"\x05\xff\x03" + b"x" * 258, b"\x00\x04\x00\x00\x03\x00\x01"])
@pytest.mark.parametrize("frames", [0, 1, 24, 254])
def test_a_recovery_point_is_found_behind_other_messages(lead: bytes, frames: int) -> None:
    assert recovery_frames(recovery_point(frames, lead)) == frames


@given(st.binary(max_size=80))
def test_whatever_an_sei_holds_it_is_read_to_its_end_and_no_further(content: bytes) -> None:
    assert recovery_frames(b"\x06" + content, known=None) != -1
    assert recovery_frames(b"\x06\x05\x03abc\x80", known=7) == 7


def unit(sei: bytes, number: int, at_us: int) -> list[tuple[bytes, int]]:
    """A picture of one slice behind an SEI."""
    stamp = number * 3600
    return [
        (packet(sei, number=2 * number, stamp=stamp), at_us),
        (packet(b"\x41" + b"slice", number=2 * number + 1, stamp=stamp, marker=True), at_us),
    ]


def test_a_gradual_refresh_is_a_beginning_only_where_nothing_better_comes() -> None:
    receiver = Receiver()
    keys: list[bool] = []
    for number in range(15):
        for data, at_us in unit(recovery_point(12), number, START_US + number * SECOND):
            receiver.feed(data, at_us)
        keys.append(receiver.units[-1].key)
    assert keys == [number * SECOND >= GRADUAL_US for number in range(15)]
    assert receiver.video.entry is Entry.RECOVERY
    # One that is right at once ends the patience with those that are not.
    for number, frames in ((15, 0), (16, 12)):
        for data, at_us in unit(recovery_point(frames), number, START_US + number * SECOND):
            receiver.feed(data, at_us)
    assert [unit.key for unit in receiver.units[-2:]] == [True, False]
