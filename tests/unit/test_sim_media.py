"""H.265, Motion JPEG, B-frames, sound and documents: what the simulated camera decides about them without a socket."""

import random
import struct
from itertools import pairwise
from pathlib import Path

import av
import pytest
from av.packet import Packet

from simulators import h265, metadata, mjpeg
from simulators.clip import make_clip, other_size
from simulators.feed import Feed
from simulators.film import ClipError, ClipSpec
from simulators.packets import Burst, Mark, render
from simulators.sound import find_g711_marks, make_sound, read_aac_mark

HEVC = ClipSpec(160, 90, 25, 5, 200_000, "h265")
JPEG = ClipSpec(160, 120, 25, 5, 300_000, "mjpeg")
MARK = Mark(2**31 + 3, 1_700_000_000_000_000, 513)
_ZIGZAG_TABLES_AT = 12


def payloads_of(data: bytes | bytearray, starts: tuple[int, ...]) -> list[bytes]:
    return [packet[16:] for packet in Burst(data, starts).packets()]


def nals_of_h265(payloads: list[bytes]) -> list[bytes]:
    """Put together by RFC 7798, as a receiver would."""
    nals: list[bytes] = []
    for payload in payloads:
        assert len(payload) <= 1400
        kind = payload[0] >> 1 & 0x3F
        if kind == 48:
            at = 2
            while at < len(payload):
                size = int.from_bytes(payload[at : at + 2], "big")
                nals.append(payload[at + 2 : at + 2 + size])
                at += 2 + size
        elif kind == 49:
            if payload[2] & 0x80:
                nals.append(bytes((payload[0] & 0x81 | (payload[2] & 0x3F) << 1, payload[1])))
            nals[-1] += payload[3:]
        else:
            nals.append(payload)
    return nals


def jpeg_of(payloads: list[bytes]) -> bytes:
    """The JPEG file a receiver makes of RFC 2435 packets, with headers of its own; the Huffman tables are FFmpeg's."""
    first = payloads[0]
    width, height = first[6] * 8, first[7] * 8
    assert (first[4], first[5]) == (1, 255)
    length = int.from_bytes(first[10:12], "big")
    tables = [first[_ZIGZAG_TABLES_AT : _ZIGZAG_TABLES_AT + 64], first[_ZIGZAG_TABLES_AT + 64 :][:64]]
    assert length == 128
    scan = bytearray()
    for number, payload in enumerate(payloads):
        assert int.from_bytes(payload[1:4], "big") == len(scan)
        scan += payload[8 + (4 + length) * (number == 0) :]
    head = b"\xff\xd8"
    for number, table in enumerate(tables):
        head += b"\xff\xdb" + struct.pack(">HB", 67, number) + table
    parts = bytes((1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1))
    head += b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + parts
    head += b"\xff\xda" + struct.pack(">HB", 12, 3) + bytes((1, 0, 2, 0x11, 3, 0x11, 0, 63, 0))
    return head + bytes(scan) + b"\xff\xd9"


def test_h265_packets_hold_the_same_nal_units_around_the_mark() -> None:
    rng = random.Random(3)
    sets = [bytes((kind << 1, 1)) + rng.randbytes(20) for kind in (32, 33, 34)]
    for size in (1, 1397, 1398, 1399, 2794, 2795, 50_000):
        picture = bytes((19 << 1, 1)) + rng.randbytes(size)
        template = h265.build_template([*sets, picture])
        data = render(template, MARK, sequence=65_535, timestamp=7, ssrc=9, channel=2)
        nals = nals_of_h265(payloads_of(data, template.starts))
        assert (nals[:3], nals[-1], len(nals)) == (sets, picture, 5)
        assert h265.read_mark(nals[3]) == MARK
        assert template.is_keyframe
        heads = [packet[:16] for packet in Burst(data, template.starts).packets()]
        assert [head[5] >> 7 for head in heads] == [0] * (len(heads) - 1) + [1]
    assert not h265.build_template([bytes((1 << 1, 1)) + b"picture"]).is_keyframe


def test_an_h265_clip_decodes_over_its_loop() -> None:
    clip = make_clip(HEVC)
    decoder = av.CodecContext.create("hevc", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoded = 0
    for counter in [*range(len(clip.frames)), *range(10)]:
        template = clip.frames[counter]
        data = render(template, Mark(counter, 0, 1), sequence=0, timestamp=0, ssrc=0, channel=0)
        nals = nals_of_h265(payloads_of(data, template.starts))
        assert [mark.counter for nal in nals if (mark := h265.read_mark(nal))] == [counter]
        packet = Packet(b"".join(b"\0\0\0\1" + nal for nal in nals))
        decoded += sum(not picture.is_corrupt for picture in decoder.decode(packet))
    decoded += len(decoder.decode(None))
    assert decoded == len(clip.frames) + 10


@pytest.mark.parametrize("mark", [Mark(0, 0, 0), Mark(2**32 - 1, 2**52 - 1, 4095), MARK])
def test_the_painted_mark_is_read_from_the_decoded_picture(mark: Mark) -> None:
    clip = make_clip(JPEG)
    for template in clip.frames[:3]:
        data = render(template, mark, sequence=0, timestamp=0, ssrc=0, channel=0)
        decoder = av.CodecContext.create("mjpeg", "r")
        assert isinstance(decoder, av.VideoCodecContext)
        (picture,) = decoder.decode(Packet(jpeg_of(payloads_of(data, template.starts))))
        luma = picture.planes[0]
        assert (picture.width, picture.height) == (160, 120)
        assert mjpeg.read_picture(bytes(luma), luma.line_size, picture.width) == mark


def test_no_painted_mark_needs_stuffing_or_another_length() -> None:
    template = make_clip(JPEG).frames[0]
    assert template.write_mark is not None
    rng = random.Random(2)
    marks = [Mark(rng.getrandbits(32), rng.getrandbits(52), rng.getrandbits(12)) for _ in range(300)]
    written = [template.write_mark(mark) for mark in marks]
    assert {len(one) for one in written} == {len(written[0])}
    assert not any(b"\xff" in one for one in written)
    assert template.mark_at + len(written[0]) < template.starts[1]


def test_a_scratched_or_missing_painted_mark_is_no_mark() -> None:
    grey = bytes((128,)) * (160 * 120)
    assert mjpeg.read_picture(grey, 160, 160) is None
    white_unit = bytearray(bytes((mjpeg.BLACK,)) * (160 * 120))
    for unit in range(1, mjpeg.MARK_UNITS):  # pattern 0 everywhere, whose checksum would be another one's
        x, y = unit % 10 * 16 + (8 if unit == 2 else 0), unit // 10 * 16
        for row in range(8):
            white_unit[(y + row) * 160 + x : (y + row) * 160 + x + 8] = bytes((mjpeg.WHITE,)) * 8
    with pytest.raises(ValueError, match="checksum"):
        mjpeg.read_picture(bytes(white_unit), 160, 160)


@pytest.mark.parametrize("rate", [300_000, 1_000_000, 4_000_000])
def test_the_asked_jpeg_rate_is_met(rate: int, tmp_path: Path) -> None:
    clip = make_clip(ClipSpec(320, 240, 25, 50, rate, "mjpeg") if rate > 300_000 else JPEG, tmp_path)
    assert abs(clip.bitrate - rate) <= rate / 10
    assert all(frame.is_keyframe for frame in clip.frames)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"codec": "av1"}, "want one of h264"),
        ({"codec": "mjpeg", "width": 2048, "height": 1080}, "multiples of 8 up to 2040"),
        ({"codec": "mjpeg", "width": 644}, "multiples of 8"),
        ({"codec": "mjpeg", "width": 64, "height": 64}, "too small for the mark"),
        ({"codec": "mjpeg", "bframes": 1}, "no B-frames"),
        ({"bframes": 9}, "0 to 8"),
        ({"gop": 7501}, "1 to 7500"),
    ],
)
def test_impossible_films_are_refused(asked: dict[str, int], sentence: str) -> None:
    with pytest.raises(ClipError, match=sentence):
        ClipSpec(**asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_b_frames_are_sent_in_decoding_order_and_tell_when_they_are_shown(codec: str) -> None:
    clip = make_clip(ClipSpec(160, 90, 25, 10, 200_000, codec, bframes=2))
    feed = Feed(clip, 1, 10**15, random.Random(1))
    count = len(clip.frames)
    shown = [feed.ticks(n) // 3600 for n in range(count, 2 * count)]
    assert sorted(shown) == list(range(min(shown), min(shown) + count))
    assert shown != sorted(shown)
    assert all(feed.mark(n).capture_us <= feed.captured_us(n) for n in range(count))
    assert [feed.mark(n).counter for n in range(5)] == [0, 1, 2, 3, 4]
    # A keyframe is shown before everything that is sent after it: the GOPs are closed.
    assert all(min(shown[at : at + 10]) == shown[at] for at in range(0, count, 10))


def test_a_long_gop_has_one_keyframe() -> None:
    clip = make_clip(ClipSpec(160, 90, 25, 500, 100_000))
    assert [n for n, frame in enumerate(clip.frames) if frame.is_keyframe] == [0, 500]


def test_the_film_changes_at_a_keyframe_to_another_size() -> None:
    spec = ClipSpec(320, 240, 25, 5, 300_000)
    first, second = make_clip(spec), make_clip(other_size(spec))
    assert first.sps != second.sps
    feed = Feed(first, 1, 0, random.Random(1))
    feed.switch(second, 12)
    shown = [feed.frame(n) for n in range(20)]
    assert shown[:15] == list(first.frames[:15])
    assert shown[15:] == list(second.frames[15:20])
    assert shown[15].is_keyframe
    assert other_size(ClipSpec(160, 128)) != ClipSpec(160, 128)


def test_every_aac_unit_carries_its_mark_and_still_decodes() -> None:
    sound = make_sound("aac")
    assert sound is not None
    decoder = av.CodecContext.create("aac", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.extradata = sound.config
    samples = 0
    for counter in range(50):
        payload = sound.payload(Mark(counter, counter * 64_000, 7))
        size = int.from_bytes(payload[2:4], "big") >> 3
        assert payload[:2] == b"\0\x10"
        assert size == len(payload) - 4
        assert read_aac_mark(payload[4:]) == Mark(counter, counter * 64_000, 7)
        samples += sum(frame.samples for frame in decoder.decode(Packet(payload[4:])))
    assert samples == 50 * 1024
    assert read_aac_mark(sound.units[0]) is None
    with pytest.raises(ValueError):
        read_aac_mark(payload[4:20] + b"z" + payload[21:])


@pytest.mark.parametrize("kind", ["pcma", "pcmu"])
def test_g711_marks_are_found_in_any_pieces(kind: str) -> None:
    sound = make_sound(kind)
    assert sound is not None
    stream = b"".join(sound.payload(Mark(n, n, 1)) for n in range(7))
    assert [(at, mark.counter) for at, mark in find_g711_marks(stream)] == [(n * 160, n) for n in range(7)]
    assert [mark.counter for _, mark in find_g711_marks(stream[100:-130])] == [1, 2, 3, 4, 5]
    assert find_g711_marks(sound.units[0] * 3) == []


def test_sound_keeps_its_own_time() -> None:
    feed = Feed(make_clip(ClipSpec(160, 90, 25, 5, 100_000)), 1, 10**15, random.Random(1), sound=make_sound("pcmu"))
    times = [feed.sound_mark(n).capture_us for n in range(100)]
    assert all(later - earlier == 20_000 for earlier, later in pairwise(times))
    assert [feed.newest_sound(at) for at in (times[3], times[3] - 1, times[3] + 19_999)] == [2, 1, 2]
    assert feed.sound_ticks(5) == 800
    assert feed.ticks_at(times[5], 8000) == 800


def test_documents_end_where_the_marker_is_expected() -> None:
    for counter in (0, 19):
        parts = metadata.payloads(counter, 1, 1_700_000_000_000_000)
        assert all(len(part) <= 1400 for part in parts)
        text = b"".join(parts).decode()
        assert text.startswith("<?xml")
        assert text.endswith("</tt:MetadataStream>")
        assert f"document-{counter}" in text
    assert len(metadata.payloads(19, 1, 0)) == 2
