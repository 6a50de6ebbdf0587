"""The MP4 that is written, judged by PyAV; and what is read back of one that a crash cut short."""

from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.record.codecs.h264 import parse_sps
from edged.record.errors import BadStream
from edged.record.mp4 import fmp4
from edged.record.mp4.fmp4_read import Salvage, salvage
from simulators.judge import check_gapless, decode_all, read_frames
from tests.deep import examples
from tests.record_film import SECOND, START_US, Recording, Tape, film, show


def salvage_bytes(content: bytes) -> Salvage | None:
    return salvage(lambda at, count: content[at : at + count], len(content))


def recorded(seconds: int = 5) -> Tape:
    clip = film()
    recording = Recording(clip)
    recording.play(show(clip, seconds * 25))
    return recording.finish()[0]


def test_i4_pyav_finds_every_frame_at_its_time(tmp_path: Path) -> None:
    path = recorded().write_to(tmp_path / "s.mp4")
    assert decode_all(path) == 125
    frames = read_frames(path)
    assert check_gapless(frames).ok
    assert [frame.pts_us for frame in frames] == [index * 40_000 for index in range(125)]
    assert [index for index, frame in enumerate(frames) if frame.is_keyframe] == [0, 25, 50, 75, 100]
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert (video.width, video.height, video.codec_context.name) == (320, 180, "h264")


def test_a_player_seeks_by_the_index(tmp_path: Path) -> None:
    path = recorded().write_to(tmp_path / "s.mp4")
    with av.open(str(path)) as container:
        container.seek(3_500_000)
        packet = next(packet for packet in container.demux(video=0) if packet.pts is not None)
        assert packet.is_keyframe
        assert packet.pts is not None
        assert packet.time_base is not None
        assert packet.pts * packet.time_base == 3


def test_the_index_says_its_own_length() -> None:
    index = fmp4.random_access([fmp4.SyncPoint(0, 700, 1), fmp4.SyncPoint(90_000, 9000, 1)])
    assert int.from_bytes(index[:4], "big") == int.from_bytes(index[-4:], "big") == len(index)


@given(st.integers(0, 2**41))
def test_wall_clock_times_survive_ntp_exactly(rest: int) -> None:
    assert fmp4.wall_time(fmp4.ntp_time(rest)) == rest or rest >= (2**32 - fmp4.NTP_TO_UNIX) * SECOND
    assert fmp4.wall_time(fmp4.ntp_time(START_US + rest % SECOND)) == START_US + rest % SECOND


def test_a_whole_file_is_read_back_as_it_was_written() -> None:
    tape = recorded()
    assert tape.end is not None
    content = b"".join(tape.pieces)
    found = salvage_bytes(content + tape.end.index)
    assert found is not None
    assert (found.length, found.start_us, found.duration_us) == (len(content), START_US, 5 * SECOND)
    assert (found.frames, found.keyframes) == (tape.end.frames, tape.end.keyframes) == (125, 5)
    assert (found.codec, found.width, found.height) == (tape.codec, 320, 180)
    assert fmp4.random_access(found.points) == tape.end.index, "so that a recovered file seeks like any other"


def test_i7_a_file_cut_anywhere_gives_its_whole_fragments(tmp_path: Path) -> None:
    tape = recorded()
    content = b"".join(tape.pieces)
    ends = [sum(map(len, tape.pieces[: count + 1])) for count in range(len(tape.pieces))]
    for cut in sorted({*range(0, len(content), 997), *ends, *(end - 1 for end in ends)}):
        whole = [end for end in ends if end <= cut]
        found = salvage_bytes(content[:cut])
        if not whole:
            assert found is None
            continue
        assert found is not None
        assert found.length == whole[-1]
        assert found.end_us == tape.ends_us[len(whole) - 1]
    found = salvage_bytes(content[: ends[2] + 5000])
    assert found is not None
    path = tmp_path / "cut.mp4"
    path.write_bytes(content[: found.length] + fmp4.random_access(found.points))
    assert decode_all(path) == found.frames
    assert check_gapless(read_frames(path)).ok


def test_i7_blocks_that_were_never_written_are_no_footage() -> None:
    """A file system may give back the length of a file whose last blocks read as zeros."""
    tape = recorded()
    content = b"".join(tape.pieces)
    intact = len(content) - len(tape.pieces[-1])
    for hole in (intact + 10, intact + 1500, len(content) - 5000):
        found = salvage_bytes(content[:hole] + bytes(len(content) - hole))
        assert found is not None
        assert found.length == intact


@settings(max_examples=examples(150))
@given(st.binary(max_size=200), st.integers(0, 3000))
def test_any_bytes_are_salvaged_or_not(noise: bytes, at: int) -> None:
    assert salvage_bytes(noise) is None
    content = bytearray(b"".join(recorded(2).pieces))
    content[at : at + len(noise)] = noise
    found = salvage_bytes(bytes(content))
    assert found is None or 0 < found.length <= len(content)


@given(st.binary(min_size=1, max_size=60))
def test_any_parameter_set_is_understood_or_refused(noise: bytes) -> None:
    try:
        picture = parse_sps(b"\x67" + noise)
    except BadStream:
        return
    assert 0 < picture.width <= 16384
    assert 0 < picture.height <= 16384


@pytest.mark.parametrize("size", [(1920, 1080), (1280, 720), (640, 362), (2560, 1440)])
def test_the_picture_size_is_the_encoders(size: tuple[int, int]) -> None:
    with av.open("null", "w", format="null") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        context = stream.codec_context
        context.options = {"preset": "ultrafast", "repeat-headers": "1"}
        context.open()
        packets = [*context.encode(av.VideoFrame(*size, "yuv420p")), *context.encode(None)]
    stream_bytes = b"".join(bytes(packet) for packet in packets)
    sps = next(nal for nal in stream_bytes.split(b"\0\0\1") if nal[0] & 31 == 7).rstrip(b"\0")
    picture = parse_sps(sps)
    assert (picture.width, picture.height) == size
