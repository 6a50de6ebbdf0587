"""Cameras that do things otherwise than their standards say: recorded on, and said by name."""

import random
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.model import RecorderStatus, StreamKind, StreamState, StreamStatus
from edged.record.codecs.tracks import video_receiver
from edged.record.errors import BadStream
from edged.record.interleaved import GARBAGE_LIMIT
from edged.record.net.sdp import Codec, VideoTrack
from edged.record.quirks import Quirk
from edged.record.status import decode_status, encode_status
from simulators.judge import check_gapless, decode_all, read_frames
from tests.deep import examples
from tests.record_film import (
    FRAME_TICKS,
    SECOND,
    START_US,
    Receiver,
    Recording,
    Shown,
    film,
    packet,
    show,
)

RTSP = b"RTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n"


def split(data: bytes) -> list[bytes]:
    """Interleaved packets."""
    packets, at = [], 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at + 2 : at + 4], "big")
        packets.append(data[at:end])
        at = end
    return packets


def rebuilt(one: bytes, first: int, *, lead: bytes = b"", tail: bytes = b"") -> bytes:
    """An interleaved packet with another first byte, `lead` behind its header and `tail` behind its payload."""
    rtp = bytes([first]) + one[5:16] + lead + one[16:] + tail
    return one[:2] + struct.pack(">H", len(rtp)) + rtp


def without_markers(data: bytes) -> bytes:
    return b"".join(one[:5] + bytes([one[5] & 0x7F]) + one[6:] for one in split(data))


def altered(frames: list[Shown], change: dict[int, bytes]) -> list[Shown]:
    return [
        Shown(frame.counter, change.get(index, frame.data), frame.key, frame.stamp)
        for index, frame in enumerate(frames)
    ]


def gapless(recording: Recording, folder: Path) -> int:
    """How many frames the recording holds; all of them in an unbroken row, decodable."""
    paths = [tape.write_to(folder / f"{index}.mp4") for index, tape in enumerate(recording.finish())]
    frames = [frame for path in paths for frame in read_frames(path)]
    assert check_gapless(frames).ok
    assert sum(map(decode_all, paths)) == len(frames)
    return len(frames)


def test_a_camera_that_keeps_to_the_standard_has_none(tmp_path: Path) -> None:
    recording = Recording(film())
    recording.play(show(film(), 100))
    assert gapless(recording, tmp_path) == 100
    assert recording.quirks == []


def test_missing_markers(tmp_path: Path) -> None:
    shown = show(film(), 101)
    recording = Recording(film())
    recording.play(altered(shown, {index: without_markers(one.data) for index, one in enumerate(shown)}))
    assert gapless(recording, tmp_path) == 100, "the last frame's end was never seen"
    assert recording.quirks == [Quirk.NO_MARKER]


def test_a_lost_marker_is_a_loss_and_no_quirk() -> None:
    receiver = Receiver()
    receiver.feed(packet(b"\x61first slice", number=0, stamp=0))
    receiver.feed(packet(b"\x61next picture", number=2, stamp=3600, marker=True))
    assert len(receiver.units) == 2
    assert receiver.video.lost == 1
    assert Quirk.NO_MARKER not in receiver.quirks


def test_another_source_with_its_own_numbers(tmp_path: Path) -> None:
    clip = film()
    first, second = show(clip, 100), show(clip, 100, first=100, sequence=777, stamp=0xFFFF_0000 + 100 * FRAME_TICKS)
    changed = [b"".join(one[:12] + b"\0\0\0\x63" + one[16:] for one in split(frame.data)) for frame in second]
    recording = Recording(clip)
    recording.play(first + altered(second, dict(enumerate(changed))))
    assert gapless(recording, tmp_path) == 200
    assert recording.quirks == [Quirk.SSRC_CHANGE]
    assert recording.video.lost == 0


def test_numbers_that_begin_anew(tmp_path: Path) -> None:
    clip = film()
    recording = Recording(clip)
    recording.play(show(clip, 100) + show(clip, 100, first=100, sequence=30_000, stamp=0xFFFF_0000 + 100 * FRAME_TICKS))
    assert gapless(recording, tmp_path) == 200
    assert recording.quirks == [Quirk.SEQUENCE_JUMP]


@pytest.mark.parametrize(
    ("first", "lead", "tail", "quirk"),
    [(0xA0, b"", b"\0\0\3", Quirk.PADDING), (0x90, b"\xab\xac\0\1four", b"", Quirk.EXTENSION)],
)
def test_padding_and_extensions(first: int, lead: bytes, tail: bytes, quirk: Quirk, tmp_path: Path) -> None:
    shown = show(film(), 100)
    for index, frame in enumerate(shown):
        frame.data = b"".join(rebuilt(one, first, lead=lead, tail=tail) for one in split(shown[index].data))
    recording = Recording(film())
    recording.play(shown)
    assert gapless(recording, tmp_path) == 100
    assert recording.quirks == [quirk]


def test_a_packet_of_padding_alone_has_a_number_and_no_content() -> None:
    receiver = Receiver()
    receiver.feed(packet(b"\x61a", number=0, stamp=0, marker=True))
    empty = struct.pack(">BBHII", 0xA0, 96, 1, 0, 7) + b"\0\0\0\4"
    receiver.feed(struct.pack(">BBH", 0x24, 0, len(empty)) + empty)
    receiver.feed(packet(b"\x61b", number=2, stamp=3600, marker=True))
    assert len(receiver.units) == 2
    assert receiver.video.lost == receiver.video.torn_units == 0


def test_a_very_long_gop_is_cut_into_short_fragments(tmp_path: Path) -> None:
    clip = film(gop=300)
    recording = Recording(clip, segment_s=4)
    recording.play(show(clip, 900))
    assert recording.quirks == [Quirk.LONG_GOP]
    assert gapless(recording, tmp_path) == 900
    ends = [START_US, *(end for tape in recording.tapes for end in tape.ends_us)]
    assert max(after - before for before, after in pairwise(ends)) <= 2 * SECOND


def test_what_the_description_says_wrong() -> None:
    said: list[Quirk] = []
    track = VideoTrack(None, None, 96, (), Codec.H264, clock_rate=8000)
    buffer = Receiver().buffer
    video_receiver(track, buffer, lambda *_: None, said.append)
    assert said == [Quirk.WRONG_CLOCK_RATE, Quirk.NO_SPROP]


def test_timestamps_of_another_rate_and_jumps_are_told_apart() -> None:
    clip = film()
    slow = Recording(clip)
    for index, frame in enumerate(show(clip, 25 * 15)):
        numbers = [one[:8] + struct.pack(">I", index * 320) + one[12:] for one in split(frame.data)]
        slow.feed(b"".join(numbers), START_US + index * 40_000)
    assert slow.quirks == [Quirk.WRONG_CLOCK_RATE]
    jump = Recording(clip)
    at_us = jump.play(show(clip, 50, sequence=0))
    packets = sum(len(split(frame.data)) for frame in show(clip, 50))
    jump.play(show(clip, 50, first=50, sequence=packets, stamp=0x5000_0000), at_us)
    assert jump.quirks == [Quirk.TIMESTAMP_JUMP]


# --- bytes between packets -----------------------------------------------------------------------------------------


GARBAGE = {
    "zeros": bytes(50),
    "text": b"this is no packet\r\n\r\n",
    "capitals": b"DESCRIBE me if you can",
    "dollars": b"$$$$$$$$$$$$$$",
    "frame of a strange channel that never ends": b"$\x63\xff\xff",
    "frame of our channel with another payload type": b"$\0\0\x0c" + b"\x80\x11" + bytes(4),
    "status line of another protocol": b"HTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_i4_garbage_between_packets_costs_nothing_else(garbage: bytes, tmp_path: Path) -> None:
    shown = show(film(), 100)
    changes = {index: garbage + shown[index].data for index in (30, 31, 60)}
    recording = Recording(film())
    recording.play(altered(shown, changes))
    assert gapless(recording, tmp_path) == 100
    assert recording.video.lost == 0
    assert recording.quirks in ([Quirk.GARBAGE], [Quirk.STRAY_PACKETS])


def test_channels_that_were_not_asked_for_are_passed_over(tmp_path: Path) -> None:
    shown = show(film(), 100)
    stray = packet(b"<xml/>", number=1, stamp=1, channel=8, kind=107)
    recording = Recording(film())
    recording.play(altered(shown, {index: stray + shown[index].data for index in range(100)}))
    assert gapless(recording, tmp_path) == 100
    assert recording.quirks == [Quirk.STRAY_PACKETS]


@settings(max_examples=examples(60))
@given(st.binary(min_size=1, max_size=200), st.lists(st.integers(1, 3000), min_size=1, max_size=30))
def test_garbage_reads_the_same_however_it_is_cut_up(noise: bytes, sizes: list[int]) -> None:
    shown = show(film(), 20)
    stream = b"".join(frame.data + (noise if frame.counter in (5, 9) else b"") for frame in shown) + RTSP
    whole, split_up = Receiver(), Receiver()
    results = []
    for receiver, steps in ((whole, [len(stream)]), (split_up, sizes)):
        at = turn = 0
        try:
            while at < len(stream):
                size = steps[turn % len(steps)]
                receiver.feed(stream[at : at + size])
                at, turn = at + size, turn + 1
            results.append("")
        except BadStream as error:
            results.append(str(error))
    assert results[0] == results[1]
    assert split_up.units == whole.units


def test_garbage_without_end_is_given_up() -> None:
    receiver = Receiver()
    noise = random.Random(5).randbytes(GARBAGE_LIMIT + 70_000).replace(b"$", b"%")
    for at in range(0, GARBAGE_LIMIT - 50_000, 50_000):
        receiver.feed(noise[at : at + 50_000])
    with pytest.raises(BadStream, match="neither"):
        receiver.feed(noise[:150_000])


# --- the status ----------------------------------------------------------------------------------------------------


def status(quirks: tuple[str, ...]) -> RecorderStatus:
    stream = StreamStatus(
        camera="c1",
        stream=StreamKind.MAIN,
        state=StreamState.STREAMING,
        since_us=1,
        cause=None,
        code="",
        last_frame_us=1,
        committed_us=1,
        frames=1,
        keyframes=1,
        bytes=1,
        packets=1,
        lost_packets=0,
        sessions=1,
        codec="avc1.64001f,mp4a.40.2",
        width=640,
        height=360,
        quirks=quirks,
    )
    return RecorderStatus(
        recorder="r1",
        pid=1,
        version="0",
        run=1,
        boot_id="b",
        started_us=1,
        at_us=1,
        mono_us=1,
        generation=1,
        streams=(stream,),
        volumes=(),
    )


def test_the_status_names_them_and_one_without_is_understood() -> None:
    told = status((Quirk.NO_MARKER, Quirk.PADDING))
    line = encode_status(told)
    assert b'"quirks":["no-marker","padding"]' in line
    assert decode_status(line) == told
    older = line.replace(b',"quirks":["no-marker","padding"]', b"")
    assert older != line
    assert decode_status(older) == status(())


def test_every_quirk_is_explained() -> None:
    assert all(quirk.meaning.startswith("it") for quirk in Quirk)
