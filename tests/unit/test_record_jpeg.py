"""JPEG over RTP: headers made anew, tables in-band and standard, restarts, loss; files that other players read."""

import io
import struct
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.record.codecs import jpeg
from edged.record.errors import BadStream
from edged.record.mp4.fmp4 import random_access
from edged.record.net.sdp import Codec, find_video
from edged.record.quirks import Quirk
from simulators.judge import check_gapless, decode_all
from tests.deep import examples
from tests.record_film import JPEG_TYPE, START_US, TYPE, Receiver, Recording, film, packet, show
from tests.record_judge import painted_frames, probe, salvage_bytes

LUMA_50, CHROMA_50 = jpeg.scaled_tables(50)[:64], jpeg.scaled_tables(50)[64:]


def encode(width: int, height: int, threads: int = 1) -> bytes:
    """A JPEG file with the usual Huffman tables, of a picture that is no two lines the same."""
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuvj420p"
    context.thread_count = threads  # several make one slice each, with restart markers between
    context.time_base, context.options = Fraction(1, 25), {"huffman": "default"}
    picture = av.VideoFrame(width, height, "yuvj420p")
    for plane in picture.planes:
        plane.update(bytes(at * 7 // 16 % 256 for at in range(plane.buffer_size)))
    return bytes(context.encode(picture)[0])


def segments(content: bytes) -> tuple[dict[int, bytes], bytes]:
    """(marker segments by their kind, the scan's data) of a JPEG file."""
    found: dict[int, bytes] = {}
    at = 2
    while True:
        kind, size = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        found[kind] = found.get(kind, b"") + content[at + 4 : at + 2 + size]
        at += 2 + size
        if kind == 0xDA:
            return found, content[at:-2]


def send(
    scan: bytes,
    *,
    kind: int = 1,
    quality: int = 255,
    size: tuple[int, int] = (64, 48),
    tables: bytes = LUMA_50 + CHROMA_50,
    restart: int = 0,
    number: int = 0,
    stamp: int = 0,
    room: int = 400,
    precision: int = 0,
    marker: bool = True,
    payload_type: int = TYPE,
) -> list[bytes]:
    """A picture's packets (RFC 2435, 3.1)."""
    packets: list[bytes] = []
    for at in range(0, len(scan), room):
        payload = struct.pack(">II", at, kind << 24 | quality << 16 | size[0] // 8 << 8 | size[1] // 8)
        if kind >= 64:
            payload += struct.pack(">HH", restart, 0xFFFF)
        if at == 0 and quality >= 128:
            payload += struct.pack(">BBH", 0, precision, len(tables)) + tables
        payload += scan[at : at + room]
        last = at + room >= len(scan)
        packets.append(
            packet(payload, number=number + len(packets), stamp=stamp, marker=last and marker, kind=payload_type)
        )
    return packets


def decode(content: bytes) -> av.VideoFrame:
    with av.open(io.BytesIO(content), "r", format="mjpeg") as container:
        container.streams.video[0].codec_context.options = {"err_detect": "explode"}
        (picture,) = container.decode(video=0)
    return picture


def planes(content: bytes) -> list[bytes]:
    return [bytes(plane) for plane in decode(content).planes]


@pytest.mark.parametrize("size", [(64, 48), (2040, 16), (648, 360)])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_picture_decodes_to_what_was_encoded(size: tuple[int, int], threads: int) -> None:
    original = encode(*size, threads)
    parts, scan = segments(original)
    assert len(parts[0xDB]) in (65, 130), "one table for all components, or two"
    tables = parts[0xDB][1:65] + (parts[0xDB][66:130] if len(parts[0xDB]) == 130 else b"")
    restart = int.from_bytes(parts.get(0xDD, b""), "big")
    assert bool(restart) is (threads > 1 and size[1] > 16)
    kind = 65 if restart else 1
    receiver = Receiver(codec=Codec.JPEG)
    for one in send(scan, kind=kind, size=size, tables=tables, restart=restart):
        receiver.feed(one)
    (unit,) = receiver.units
    assert unit.key
    assert planes(unit.data) == planes(original)
    assert receiver.video.format is not None
    assert (receiver.video.format.width, receiver.video.format.height) == size


def test_a_grey_picture_of_half_the_colours() -> None:
    """Type 0, 4:2:2: two blocks of brightness, one of each colour; nothing but "as before" and "end of block"."""
    bits = ("001010" * 2 + "0000" * 2) * (64 // 16 * 48 // 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big")
    receiver = Receiver(codec=Codec.JPEG)
    for one in send(scan, kind=0):
        receiver.feed(one)
    picture = decode(receiver.units[0].data)
    assert (picture.format.name, picture.width, picture.height) == ("yuvj422p", 64, 48)
    luma = picture.planes[0]
    assert {bytes(luma)[line * luma.line_size :][:64] for line in range(48)} == {bytes([128]) * 64}


@pytest.mark.parametrize("quality", [1, 30, 50, 75, 99])
def test_the_standard_tables(quality: int) -> None:
    """RFC 2435, 4.2: Q = 50 is annex K unscaled; 1 is its coarsest, 99 nearly without loss."""
    receiver = Receiver(codec=Codec.JPEG)
    for one in send(b"\0" * 900, quality=quality):
        receiver.feed(one)
    found, scan = segments(receiver.units[0].data)
    assert scan == b"\0" * 900
    luma, chroma = found[0xDB][1:65], found[0xDB][66:]
    assert (luma[0], chroma[0]) == {1: (255, 255), 30: (27, 28), 50: (16, 17), 75: (8, 9), 99: (1, 1)}[quality]


@pytest.mark.parametrize("quality", [0, 100, 127])
def test_a_quality_that_is_not_defined_is_refused(quality: int) -> None:
    with pytest.raises(BadStream, match="quality"):
        Receiver(codec=Codec.JPEG).feed(send(b"\0" * 90, quality=quality)[0])


def test_restart_markers_are_announced() -> None:
    receiver = Receiver(codec=Codec.JPEG)
    for one in send(b"\x12" * 900, kind=65, restart=7):
        receiver.feed(one)
    found, scan = segments(receiver.units[0].data)
    assert (found[0xDD], scan) == (struct.pack(">H", 7), b"\x12" * 900)


def test_tables_sent_once_are_kept_and_those_of_255_are_not() -> None:
    receiver = Receiver(codec=Codec.JPEG)
    fine = bytes([3]) * 128
    for number, (quality, tables) in enumerate([(200, fine), (200, b""), (255, LUMA_50 + CHROMA_50), (201, b"")]):
        for one in send(b"\x12" * 300, quality=quality, tables=tables, number=number, stamp=number):
            receiver.feed(one)
    assert [segments(unit.data)[0][0xDB][1] for unit in receiver.units] == [3, 3, 16]
    assert receiver.video.torn_units == 1, "the picture whose tables never came"


def test_sixteen_bit_tables() -> None:
    receiver = Receiver(codec=Codec.JPEG)
    for one in send(b"\x12" * 300, precision=1, tables=bytes(128) + CHROMA_50):
        receiver.feed(one)
    found, _ = segments(receiver.units[0].data)
    assert (found[0xDB][0], found[0xDB][129]) == (0x10, 0x01)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_torn_picture_is_left_out_whole(missing: int) -> None:
    receiver = Receiver(codec=Codec.JPEG)
    packets = send(b"\x12" * 1000, number=0) + send(b"\x34" * 1000, number=3, stamp=1)
    packets += send(b"\x56" * 1000, number=6, stamp=2)
    del packets[3 + missing]
    for one in packets:
        receiver.feed(one)
    assert [segments(unit.data)[1][:1] for unit in receiver.units] == [b"\x12", b"\x56"]
    assert receiver.video.lost == 1
    assert receiver.video.torn_units > 0


def test_a_piece_that_does_not_fit_on_tears_the_picture() -> None:
    receiver = Receiver(codec=Codec.JPEG)
    first, _, last = send(b"\x12" * 1000)
    receiver.feed(first)
    receiver.feed(last[:6] + struct.pack(">H", 1) + last[8:])  # numbered as if nothing were missing
    assert receiver.units == []
    assert receiver.video.lost == 0
    assert receiver.video.torn_units == 1


def test_without_markers_the_timestamp_ends_a_picture() -> None:
    receiver = Receiver(codec=Codec.JPEG)
    for number in range(3):
        for one in send(b"\x12" * 1000, number=3 * number, stamp=number, marker=False):
            receiver.feed(one)
    assert len(receiver.units) == 2
    assert all(unit.data.endswith(b"\x12\xff\xd9") for unit in receiver.units)
    assert receiver.quirks == {Quirk.NO_MARKER}


def test_pictures_too_large_for_rtp_take_their_size_from_the_description() -> None:
    track = find_video(b"m=video 0 RTP/AVP 26\na=x-dimensions:2560,1920\n")
    assert (track.codec, track.size, track.payload_type) == (Codec.JPEG, (2560, 1920), 26)
    with pytest.raises(BadStream, match="larger"):
        Receiver(codec=Codec.JPEG).feed(send(b"\x12" * 90, size=(0, 0))[0])


@settings(max_examples=examples(300))
@given(st.lists(st.binary(min_size=1, max_size=160), max_size=12), st.data())
def test_any_payloads_give_whole_pictures_or_none(payloads: list[bytes], data: st.DataObject) -> None:
    receiver = Receiver(codec=Codec.JPEG)
    try:
        for number, payload in enumerate(payloads):
            at = data.draw(st.sampled_from([0, 0, len(payload), 7]))
            head = struct.pack(">II", at, data.draw(st.sampled_from([1, 65])) << 24 | payload[0] << 16 | 0x0806)
            stamp = data.draw(st.integers(0, 3))
            body = packet(head + payload, number=number, stamp=stamp, marker=data.draw(st.booleans()), kind=TYPE)
            receiver.feed(body)
    except BadStream:
        pass
    for unit in receiver.units:
        assert unit.data.startswith(b"\xff\xd8\xff\xdb")
        assert unit.data.endswith(b"\xff\xd9")


# --- files ---------------------------------------------------------------------------------------------------------


def test_i4_every_file_decodes_and_holds_every_picture(tmp_path: Path) -> None:
    clip = film(codec="mjpeg")
    recording = Recording(clip, segment_s=3)
    recording.play(show(clip, 250))
    tapes = recording.finish()
    assert [tape.end.frames for tape in tapes if tape.end] == [75, 75, 75, 25]
    paths = [tape.write_to(tmp_path / f"{index}.mp4") for index, tape in enumerate(tapes)]
    assert [decode_all(path) for path in paths] == [75, 75, 75, 25]
    assert [probe(path).video_frames for path in paths] == [75, 75, 75, 25]
    frames = [frame for path in paths for frame in painted_frames(path)]
    assert check_gapless(frames).ok
    assert all(frame.is_keyframe for frame in frames)
    spans = [(tape.start.start_us, tape.end.end_us) for tape in tapes if tape.end]
    assert spans[0][0] == START_US
    assert all(one[1] == after[0] for one, after in pairwise(spans))
    assert recording.quirks == []
    assert {(tape.codec, tape.video.width, tape.video.height) for tape in tapes} == {("jpeg", 320, 184)}


@pytest.mark.parametrize("change", [{"size": (80, 48)}, {"kind": 0}])
def test_another_size_or_sampling_begins_a_new_segment(change: dict[str, Any]) -> None:
    recording = Recording(film(codec="mjpeg"))
    scan = segments(encode(64, 48))[1]
    number = 0
    for stamp in range(20):
        other = change if stamp >= 12 else {}
        for one in send(scan, number=number, stamp=stamp * 3600, payload_type=JPEG_TYPE, **other):
            recording.feed(one, START_US + stamp * 40_000)
            number += 1
    assert [tape.end.frames for tape in recording.finish() if tape.end] == [12, 8]


def test_i7_a_file_cut_anywhere_gives_its_whole_fragments(tmp_path: Path) -> None:
    clip = film(codec="mjpeg")
    recording = Recording(clip)
    recording.play(show(clip, 150))
    tape = recording.finish()[0]
    content = b"".join(tape.pieces)
    ends = [sum(map(len, tape.pieces[: count + 1])) for count in range(len(tape.pieces))]
    for cut in sorted({*range(0, len(content), 40_000), *ends}):
        found = salvage_bytes(content[:cut])
        whole = [end for end in ends if end <= cut]
        assert (found.length if found else None) == (whole[-1] if whole else None)
    found = salvage_bytes(content)
    assert found is not None
    assert tape.end is not None
    assert random_access(found.points) == tape.end.index
    lost = -(-ends[1] // 4096) * 4096 + 8192  # file systems lose whole blocks
    holed = content[:lost] + bytes(4096) + content[lost + 4096 :]
    found = salvage_bytes(holed)
    assert found is not None
    assert found.length == ends[1], "a block that was never written is no footage"
    path = tmp_path / "cut.mp4"
    path.write_bytes(content[: found.length] + random_access(found.points))
    assert decode_all(path) == found.frames
