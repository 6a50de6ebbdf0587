"""H.265: RTP packets to access units, parameter sets to a sample entry, files that other players read."""

import struct
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.record.codecs.h265 import describe, parse_sps
from edged.record.errors import BadStream
from edged.record.mp4.fmp4 import random_access
from edged.record.net.sdp import Codec, find_video
from edged.record.quirks import Quirk
from simulators.h265 import read_mark
from simulators.judge import check_gapless, decode_all, read_frames
from tests.deep import examples
from tests.record_film import FRAME_TICKS, SECOND, START_US, Receiver, Recording, Shown, film, packet, show
from tests.record_judge import probe, salvage_bytes

SLICE, KEY = b"\x02\x01", b"\x26\x01"  # TRAIL_R, IDR_W_RADL


def fragments(nal: bytes, pieces: int, *, number: int, stamp: int) -> list[bytes]:
    """FU packets of one NAL unit."""
    body = nal[2:]
    size = -(-len(body) // pieces)
    packets = []
    for index in range(pieces):
        last = index == pieces - 1
        header = nal[0] >> 1 & 63 | (index == 0) << 7 | last << 6
        payload = bytes([nal[0] & 0x81 | 49 << 1, nal[1], header]) + body[index * size : (index + 1) * size]
        packets.append(packet(payload, number=number + index, stamp=stamp, marker=last))
    return packets


def aggregate(*nals: bytes) -> bytes:
    return b"\x60\x01" + b"".join(struct.pack(">H", len(nal)) + nal for nal in nals)


def test_a_film_comes_out_as_it_went_in() -> None:
    clip = film(codec="h265")
    receiver = Receiver(codec=Codec.H265)
    shown = show(clip, 120)
    receiver.feed(b"".join(frame.data for frame in shown))
    assert [unit.key for unit in receiver.units] == [frame.key for frame in shown]
    assert [unit.timestamp for unit in receiver.units] == [frame.stamp for frame in shown]
    marks = [[read_mark(nal) for nal in unit.nals()] for unit in receiver.units]
    assert [[mark.counter for mark in one if mark] for one in marks] == [[frame.counter] for frame in shown]
    assert receiver.video.lost == receiver.video.torn_units == 0
    assert receiver.video.format == describe(clip.vps, clip.sps, (clip.pps,))


@settings(max_examples=examples(30))
@given(st.lists(st.integers(1, 9000), min_size=1, max_size=60))
def test_portions_do_not_matter(sizes: list[int]) -> None:
    stream = b"".join(frame.data for frame in show(film(codec="h265"), 30))
    whole, split = Receiver(codec=Codec.H265), Receiver(codec=Codec.H265)
    whole.feed(stream)
    at = turn = 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        split.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert split.units == whole.units
    assert split.video.packets == whole.video.packets


def test_prefix_and_suffix_sei_are_never_dropped() -> None:
    receiver = Receiver(codec=Codec.H265)
    delimiter, prefix, suffix = b"\x46\x01\x50", b"\x4e\x01\x05signature", b"\x50\x01\x05behind the picture"
    receiver.feed(packet(aggregate(delimiter, prefix), number=0, stamp=9))
    receiver.feed(packet(KEY + b"picture", number=1, stamp=9))
    receiver.feed(packet(suffix, number=2, stamp=9, marker=True))
    assert receiver.units[0].nals() == [delimiter, prefix, KEY + b"picture", suffix]
    assert receiver.units[0].key


@pytest.mark.parametrize("missing", [0, 2, 4])
def test_a_torn_nal_unit_is_left_out_and_its_neighbours_stay(missing: int) -> None:
    receiver = Receiver(codec=Codec.H265)
    receiver.feed(packet(SLICE + b"before", number=0, stamp=0, marker=True))
    sei = b"\x4e\x01sei"
    packets = [packet(sei, number=1, stamp=3600), *fragments(KEY + bytes(3000), 5, number=2, stamp=3600)]
    del packets[1 + missing]
    packets.append(packet(SLICE + b"after", number=7, stamp=7200, marker=True))
    for one in packets:
        receiver.feed(one)
    assert [unit.nals() for unit in receiver.units] == [[SLICE + b"before"], [sei, SLICE + b"after"]]
    assert receiver.video.lost == receiver.video.torn_units == 1


def test_a_fragment_of_another_unit_does_not_continue_this_one() -> None:
    receiver = Receiver(codec=Codec.H265)
    first, *_ = fragments(KEY + bytes(300), 3, number=0, stamp=0)
    *_, last = fragments(SLICE + bytes(300), 3, number=-1, stamp=0)
    receiver.feed(first)
    receiver.feed(last)
    receiver.feed(packet(SLICE + b"after", number=2, stamp=3600, marker=True))
    assert [unit.nals() for unit in receiver.units] == [[SLICE + b"after"]]
    assert receiver.video.torn_units == 1


@settings(max_examples=examples(200))
@given(st.lists(st.binary(min_size=1, max_size=30), max_size=12), st.data())
def test_any_payloads_leave_whole_nal_units(payloads: list[bytes], data: st.DataObject) -> None:
    receiver = Receiver(codec=Codec.H265)
    try:
        for number, payload in enumerate(payloads):
            first = data.draw(st.sampled_from([0x02, 0x26, 0x60, 0x62, 0x4E]))
            skip, stamp = data.draw(st.integers(0, 2)), data.draw(st.integers(0, 3))
            payload = bytes([first]) + payload
            receiver.feed(packet(payload, number=number * 3 + skip, stamp=stamp, marker=data.draw(st.booleans())))
    except BadStream:
        pass
    for unit in receiver.units:
        assert all(len(nal) >= 2 for nal in unit.nals()), "no NAL unit is empty or torn"


def test_what_has_to_be_put_in_order_is_refused() -> None:
    with pytest.raises(BadStream, match="don-diff"):
        find_video(b"m=video 0 RTP/AVP 98\na=rtpmap:98 H265/90000\na=fmtp:98 sprop-max-don-diff=2\n")
    with pytest.raises(BadStream, match="packet form"):
        Receiver(codec=Codec.H265).feed(packet(b"\x64\x01xxxx", number=0, stamp=1))


# --- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("described", [True, False], ids=["sprop", "no-sprop"])
@pytest.mark.parametrize("bframes", [0, 2])
def test_i4_every_file_decodes_and_holds_every_frame(described: bool, bframes: int, tmp_path: Path) -> None:
    clip = film(codec="h265", bframes=bframes)
    recording = Recording(clip, segment_s=3, sets=None if described else [])
    recording.play(show(clip, 250))
    tapes = recording.finish()
    assert len(tapes) > 2
    paths = [tape.write_to(tmp_path / f"{index}.mp4") for index, tape in enumerate(tapes)]
    assert [decode_all(path) for path in paths] == [tape.end.frames for tape in tapes if tape.end]
    assert [probe(path).video_frames for path in paths] == [tape.end.frames for tape in tapes if tape.end]
    assert check_gapless(frame for path in paths for frame in read_frames(path)).ok
    for path in paths:
        times = sorted(frame.pts_us for frame in read_frames(path))
        assert {after - before for before, after in pairwise(times)} == {40_000}
    assert (Quirk.B_FRAMES in recording.quirks) is (bframes > 0)
    spans = [(tape.start.start_us, tape.end.end_us) for tape in tapes if tape.end]
    assert all(one[1] == after[0] for one, after in pairwise(spans))
    with av.open(str(paths[0])) as container:
        context = container.streams.video[0].codec_context
        assert (context.codec_tag, context.width, context.height) == ("hvc1", 320, 180)
    assert tapes[0].codec.startswith("hvc1.1.6.L")
    assert (Quirk.NO_SPROP in recording.quirks) is not described


def test_changed_parameter_sets_begin_a_new_segment() -> None:
    clip = film(codec="h265")
    recording = Recording(clip)
    at_us = recording.play(show(clip, 25))
    changed_vps = clip.vps[:-1] + bytes([clip.vps[-1] ^ 0x10])
    other = show(clip, 25, first=25, stamp=0xFFFF_0000 + 25 * FRAME_TICKS, sequence=50)
    changed = [Shown(one.counter, one.data.replace(clip.vps, changed_vps), one.key, one.stamp) for one in other]
    recording.play(changed, at_us)
    tapes = recording.finish()
    assert [tape.end.frames for tape in tapes if tape.end] == [25, 25]
    assert tapes[0].video != tapes[1].video
    assert Quirk.PARAMETERS_CHANGE in recording.quirks


def test_i7_a_file_cut_anywhere_gives_its_whole_fragments(tmp_path: Path) -> None:
    clip = film(codec="h265")
    recording = Recording(clip)
    recording.play(show(clip, 150))
    tape = recording.finish()[0]
    content = b"".join(tape.pieces)
    ends = [sum(map(len, tape.pieces[: count + 1])) for count in range(len(tape.pieces))]
    for cut in sorted({*range(0, len(content), 1499), *ends}):
        found = salvage_bytes(content[:cut])
        whole = [end for end in ends if end <= cut]
        assert (found.length if found else None) == (whole[-1] if whole else None)
        if found:
            assert (found.codec, found.width, found.height) == (tape.codec, 320, 180)
    found = salvage_bytes(content[: ends[2] + 3000])
    assert found is not None
    path = tmp_path / "cut.mp4"
    path.write_bytes(content[: found.length] + random_access(found.points))
    assert decode_all(path) == found.frames


# --- parameter sets ------------------------------------------------------------------------------------------------


@given(st.binary(min_size=1, max_size=80))
def test_any_parameter_set_is_understood_or_refused(noise: bytes) -> None:
    try:
        picture = parse_sps(b"\x42\x01" + noise)
    except BadStream:
        return
    assert 0 < picture.width <= 16384
    assert 0 < picture.height <= 16384


@pytest.mark.parametrize(
    ("size", "options", "pixels", "codec"),
    [
        ((1920, 1080), "", "yuv420p", "hvc1.1.6.L120"),
        ((640, 362), "", "yuv420p", "hvc1.1.6.L63"),
        ((704, 480), "temporal-layers=2", "yuv420p", "hvc1.1.6.L90"),
        ((1280, 720), "", "yuv420p10le", "hvc1.2.4.L93"),
    ],
)
def test_the_encoders_own_sets_are_understood(size: tuple[int, int], options: str, pixels: str, codec: str) -> None:
    with av.open("null", "w", format="null") as container:
        stream = container.add_stream("libx265", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        context = stream.codec_context
        context.options = {"preset": "ultrafast", "x265-params": f"log-level=none:repeat-headers=1:{options}"}
        packets = [*context.encode(av.VideoFrame(*size, pixels)), *context.encode(None)]
    stream_bytes = b"".join(bytes(packet) for packet in packets).replace(b"\0\0\0\1", b"\0\0\1")
    sets = {nal[0] >> 1 & 63: nal for nal in stream_bytes.split(b"\0\0\1")[1:]}
    found = describe(sets[32], sets[33], [sets[34]])
    assert (found.width, found.height) == size
    assert found.codec.startswith(codec)


def test_the_first_frames_of_a_stream_begin_at_a_keyframe() -> None:
    clip = film(codec="h265")
    recording = Recording(clip, sets=[])
    recording.play(show(clip, 60, first=10))
    tape = recording.finish()[0]
    assert tape.start.start_us == START_US + 15 * 40_000
    assert tape.end is not None
    assert tape.end.end_us - tape.start.start_us == 45 * SECOND // 25
