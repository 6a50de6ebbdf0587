"""The cores of the media: packets of every kind in any order, and what a file gets of them. See `cores`."""

import contextlib
import functools
import itertools
from collections.abc import Sequence

from edged.model import Cause
from edged.record.codecs.audio import AudioReceiver
from edged.record.codecs.tracks import audio_format
from edged.record.errors import BadStream
from edged.record.mp4.fmp4 import random_access
from edged.record.net import rtp
from edged.record.net.rtcp import Reception
from edged.record.net.sdp import AudioTrack, Codec
from edged.record.net.udp_order import WINDOW_BYTES, WINDOW_PACKETS, WINDOW_US, Held, Window
from simulators.clip import Clip
from tests.fuzz.container import PPS, SPS, YEAR_2200_US, read_back
from tests.fuzz.dice import Dice
from tests.record_film import AUDIO_CHANNEL, JPEG_TYPE, SECOND, START_US, TYPE, Receiver, Recording, film, packet

_H264 = (
    b"\x7c\x85",  # FU-A of an IDR slice: start, middle, end
    b"\x7c\x05",
    b"\x7c\x45",
    b"\x65\x88",  # an IDR slice, another slice, SEI
    b"\x41\x9a",
    b"\x06\x05",
    b"\x78",  # STAP-A
    SPS,
    PPS,
    b"\x67",
    b"\x68",
    b"",
)
_H265 = (
    b"\x62\x01\x93",  # FU of an IDR slice: start, middle, end
    b"\x62\x01\x13",
    b"\x62\x01\x53",
    b"\x26\x01",  # an IDR slice, another slice, SEI
    b"\x02\x01",
    b"\x4e\x01\x05",
    b"\x60\x01",  # AP
    b"\x40\x01",
    b"\x42\x01",
    b"\x44\x01",
    b"",
)
_JPEG = (
    b"\0\0\0\0\x01\x32\x28\x17",  # the beginning of a picture, with tables of a Q, and with tables that follow
    b"\0\0\0\0\x01\xff\x28\x17\0\0\0\x80" + b"\x10" * 128,
    b"\0\0\0\0\x00\x80\x28\x17\0\0\0\0",
    b"\0\0\0\0\x41\x32\x28\x17\0\1\xff\xff",
    b"\0\0\0\x05\x01\x32\x28\x17",  # and what continues one
    b"\0\0\0\0\x01\x32\0\0",
    b"",
)
_TRACKS = (
    None,
    AudioTrack(None, 97, Codec.AAC, 48_000, 1, b"\x11\x88"),
    AudioTrack(None, 97, Codec.AAC, 16_000, 2, b"", 6, 2),
    AudioTrack(None, 0, Codec.PCMU, 8_000, 1),
    AudioTrack(None, 8, Codec.PCMA, 8_000, 2),
)


def packets(data: bytes) -> None:
    """RTP and RTCP of any form are understood within their bounds, or passed over."""
    memory = memoryview(b"\xaa" * 3 + data + b"\xaa" * 3)
    start, stop = 3, 3 + len(data)
    parsed = rtp.payload_span(memory, start, stop)
    if parsed is not None:
        assert start + 12 <= parsed[4] <= parsed[5] <= stop
    report = rtp.sender_report(memory, start, stop)
    assert report is None or 0 <= report[0] < YEAR_2200_US


def interleaved(data: bytes) -> None:
    """Bytes of any kind give the same units, messages and reports however they are cut up."""
    dice = Dice(data)
    flow = dice.take(dice.number(2))
    whole, pieces = Receiver((SPS, PPS)), Receiver((SPS, PPS))
    try:
        whole.feed(flow)
        failed = False
    except BadStream:
        failed = True
    at = 0
    try:
        for cut in dice.cuts(len(flow)):
            pieces.feed(flow[at:cut])
            at = cut
    except BadStream:
        assert failed, "in pieces the camera is refused, in one it is not"
    else:
        assert not failed, "in one the camera is refused, in pieces it is not"
    if not failed:
        assert [unit.data for unit in pieces.units] == [unit.data for unit in whole.units]
        assert pieces.messages == whole.messages
        assert pieces.reports == whole.reports
        assert pieces.video.lost == whole.video.lost


@functools.cache
def _film(codec: str = "h264") -> Clip:
    """Read and cut into packets once: only its description is of interest here."""
    return film(codec=codec)


def h264(data: bytes) -> None:
    """Of H.264 packets of any content: see `_record`."""
    _record(data, Recording(_film(), segment_s=2.0, fragment_s=0.5, sets=(SPS, PPS)), _H264)


def h265(data: bytes) -> None:
    """Of H.265 packets of any content: see `_record`."""
    _record(data, Recording(_film("h265"), segment_s=2.0, fragment_s=0.5), _H265)


def jpeg(data: bytes) -> None:
    """Of JPEG packets of any content: see `_record`."""
    _record(data, Recording(_film("mjpeg"), segment_s=2.0, fragment_s=0.5), _JPEG, kind=JPEG_TYPE)


def with_audio(data: bytes) -> None:
    """Of H.264 packets of any content with packets of sound between them: see `_record`."""
    dice = Dice(data)
    track = dice.choose(_TRACKS)
    _record(dice.rest(), Recording(_film(), segment_s=2.0, fragment_s=0.5, sets=(SPS, PPS), audio=track), _H264, track)


def audio(data: bytes) -> None:
    """Packets of sound never raise; what comes out of them is sound that a file can hold."""
    dice = Dice(data)
    fields = dice.choose((Codec.AAC, Codec.PCMU, Codec.PCMA)), 1 + dice.number(3) % 0xFFFFF, 1 + dice.byte() % 8
    lengths = dice.byte() % 100, dice.byte() % 100
    track = AudioTrack(None, 97, *fields, dice.portion()[:64], *lengths)
    if audio_format(track, lambda quirk: None) is None:
        return
    taken = 0

    def take(timestamp: int, ticks: int, data: bytes, mono_us: int) -> None:
        nonlocal taken
        taken += len(data)
        assert 0 <= timestamp < 1 << 32
        assert 0 <= ticks < 1 << 32
        assert data

    receiver = AudioReceiver(track, take, lambda quirk: None)
    sent = 0
    while dice.left:
        framed = packet(dice.portion(), number=dice.byte(), stamp=dice.number(4), kind=97)
        sent += len(framed)
        receiver.packet(memoryview(framed), 4, len(framed), START_US, START_US)
    assert taken <= sent, "there is more sound than was sent"


def udp(data: bytes) -> None:
    """However packets are reordered, each is given out once, none is held too long, and reports can be made."""
    dice = Dice(data)
    window, reception = Window(), Reception(1, "receiver")
    mono_us, given, serial = 0, [], 0
    while dice.left:
        how = dice.byte()
        mono_us += dice.number(2) * 10 if how & 1 else 100
        source = 8 if how & 6 == 6 else 7
        number = dice.number(2) if how & 8 else (serial + how // 16 - 7) & 0xFFFF
        serial += 1
        ready = window.expire(mono_us)
        ready += window.place(source, number, Held(serial.to_bytes(4, "big") + bytes(how), mono_us, mono_us))
        given += [held.data[:4] for held in ready]
        for one in ready:
            assert one.mono_us <= mono_us
        assert len(window.waiting) <= WINDOW_PACKETS
        assert sum(len(held.data) for held in window.waiting.values()) <= WINDOW_BYTES
        assert all(mono_us - held.mono_us < WINDOW_US for held in window.waiting.values())
        if ready:
            if how & 32:
                reception.begin(source, number)
            reception.count(len(ready), window.expected - 1 & 0xFFFF)
            reception.arrived(dice.number(4), mono_us)
            reception.take_report(memoryview(dice.portion()), mono_us)
            assert len(reception.report(mono_us)) % 4 == 0
    given += [held.data[:4] for held in window.flush()]
    assert len(set(given)) == len(given), "a packet is given out twice"


def _record(
    data: bytes,
    recorder: Recording,
    beginnings: Sequence[bytes],
    sound: AudioTrack | None = None,
    kind: int = TYPE,
) -> None:
    """Whatever becomes a segment can be read back as the journal says it is (I4)."""
    dice = Dice(data)
    number, stamp, at_us = 0, 0, START_US
    with contextlib.suppress(BadStream):
        while dice.left:
            how = dice.byte()
            number += 1 + (dice.number(2) if how & 1 else 0)
            stamp += dice.number(4) if how & 2 else 0 if how & 4 else 3600
            at_us += dice.number(3) if how & 8 else 10_000
            if sound is not None and how & 32:
                framed = packet(
                    dice.portion(), number=dice.byte(), stamp=stamp, channel=AUDIO_CHANNEL, kind=sound.payload_type
                )
            else:
                payload = dice.choose(beginnings) + dice.portion()
                framed = packet(payload, number=number, stamp=stamp, marker=bool(how & 16), kind=kind)
            recorder.feed(framed, at_us)
    tapes = recorder.finish(at_us)
    for tape in tapes:
        if tape.end is None:
            assert not tape.pieces
            continue
        content = b"".join(tape.pieces)
        found = read_back(content + tape.end.index)
        assert found is not None
        assert (found.length, found.frames, found.keyframes) == (len(content), tape.end.frames, tape.end.keyframes)
        assert tape.start.start_us < tape.end.end_us <= at_us + 5 * SECOND
        assert tape.ends_us == sorted(tape.ends_us), "what was committed is taken back"
        assert random_access(found.points) == tape.end.index
    for before, after in itertools.pairwise(tapes):
        if before.end is not None:
            # Two keyframes of one portion have one arrival, and so two segments may begin at the same instant.
            same_instant = before.start.start_us == after.start.start_us
            assert before.end.end_us <= after.start.start_us or same_instant
    for loss in recorder.losses:
        assert loss.start_us <= loss.end_us <= at_us + 5 * SECOND
        assert loss.cause in (Cause.LOSS, Cause.DISK)
