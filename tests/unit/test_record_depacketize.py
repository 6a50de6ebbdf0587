"""RTP packets to access units: whole, torn, aggregated, hostile, in any portions."""

import struct
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.record.codecs.depacketize import UNIT_LIMIT
from edged.record.codecs.h264 import describe
from edged.record.errors import BadStream
from edged.record.net.rtp import MAX_DROPOUT, sender_report, signed_ticks, steps_between, ticks_to_us, us_to_ticks
from edged.record.net.sdp import Codec
from simulators.packets import read_mark
from tests.deep import examples
from tests.record_film import SECOND, START_US, TYPE, Receiver, film, packet, show

SLICE, KEY = b"\x61", b"\x65"


def fragments(nal: bytes, pieces: int, *, number: int, stamp: int, marker: bool = True) -> list[bytes]:
    """FU-A packets of one NAL unit."""
    body = nal[1:]
    size = -(-len(body) // pieces)
    packets = []
    for index in range(pieces):
        header = nal[0] & 0x1F | (index == 0) << 7 | (index == pieces - 1) << 6
        payload = bytes([nal[0] & 0xE0 | 28, header]) + body[index * size : (index + 1) * size]
        last = index == pieces - 1
        packets.append(packet(payload, number=number + index, stamp=stamp, marker=marker and last))
    return packets


def test_a_film_comes_out_as_it_went_in() -> None:
    clip = film()
    receiver = Receiver()
    shown = show(clip, 120)
    receiver.feed(b"".join(frame.data for frame in shown))
    assert [unit.key for unit in receiver.units] == [frame.key for frame in shown]
    assert [unit.timestamp for unit in receiver.units] == [frame.stamp for frame in shown]
    marks = [[read_mark(nal) for nal in unit.nals()] for unit in receiver.units]
    assert [[mark.counter for mark in one if mark] for one in marks] == [[frame.counter] for frame in shown]
    assert receiver.video.lost == receiver.video.torn_units == 0
    assert receiver.video.format == describe(clip.sps, (clip.pps,))


@settings(max_examples=examples(40))
@given(st.lists(st.integers(1, 9000), min_size=1, max_size=60))
def test_portions_do_not_matter(sizes: list[int]) -> None:
    stream = b"".join(frame.data for frame in show(film(), 40))
    stream += b"RTSP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc" + packet(SLICE + b"x", number=9, stamp=1, channel=1)
    whole, split = Receiver(), Receiver()
    whole.feed(stream)
    at = turn = 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        split.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert split.units == whole.units
    assert (split.messages, split.reports, split.rest) == (whole.messages, whole.reports, 0)
    assert split.video.packets == whole.video.packets


@settings(max_examples=examples(300))
@given(st.binary(max_size=400), st.integers(1, 40))
def test_any_bytes_are_taken_or_refused(noise: bytes, size: int) -> None:
    for lead in (b"", b"$\0", packet(KEY + b"abc", number=1, stamp=1)[:-2], b"RTSP/1.0 200 OK\r\n"):
        receiver = Receiver()
        stream = lead + noise
        try:
            for at in range(0, len(stream), size):
                receiver.feed(stream[at : at + size])
        except BadStream:
            continue
        assert receiver.rest <= 65_539 + 400


@settings(max_examples=examples(200))
@given(st.lists(st.binary(min_size=1, max_size=30), max_size=12), st.data())
def test_any_payloads_leave_whole_nal_units(payloads: list[bytes], data: st.DataObject) -> None:
    receiver = Receiver()
    try:
        for number, payload in enumerate(payloads):
            skip = data.draw(st.integers(0, 2))
            stamp = data.draw(st.integers(0, 3))
            receiver.feed(packet(payload, number=number * 3 + skip, stamp=stamp, marker=data.draw(st.booleans())))
    except BadStream:
        pass
    for unit in receiver.units:
        assert all(unit.nals()), "no NAL unit is empty or torn"


_PAYLOADS = {
    Codec.H264: [b"\x7c\x85", b"\x7c\x05", b"\x7c\x45", b"\x5c\x81", b"\x5c\x01", b"\x06\x05", b"\x61\x9a", b"\x41"],
    Codec.H265: [b"\x62\x01\x93", b"\x62\x01\x13", b"\x62\x01\x53", b"\x4e\x01\x05", b"\x02\x01", b"\x62\x01"],
}


@pytest.mark.parametrize("codec", _PAYLOADS, ids=str)
@settings(max_examples=examples(200))
@given(st.data())
def test_the_short_ways_and_the_thorough_one_come_to_the_same(codec: Codec, data: st.DataObject) -> None:
    """The reader takes most packets without parsing them: whatever came before, that must not show."""
    steps = st.sampled_from([1, 1, 1, 1, 1, 0, 2, -1, 5000])
    payloads = st.sampled_from([b"", b"\x06", *_PAYLOADS[codec]])
    number, stamp, ssrc = 65_530, 0, 7
    packets = []
    for _ in range(data.draw(st.integers(1, 40))):
        number += data.draw(steps)
        stamp += data.draw(st.sampled_from([0, 0, 0, 3600]))
        ssrc = data.draw(st.sampled_from([ssrc, ssrc, ssrc, ssrc, 8]))
        payload = data.draw(payloads)
        payload += data.draw(st.sampled_from([b"", b"xyz" * 9])) if len(payload) > 1 else b""
        kind = data.draw(st.sampled_from([TYPE, TYPE, TYPE, TYPE, TYPE, 97]))
        marker, channel = data.draw(st.booleans()), data.draw(st.sampled_from([0, 0, 0, 0, 1]))
        packets.append(
            packet(payload, number=number, stamp=stamp, marker=marker, channel=channel, kind=kind, ssrc=ssrc)
        )
    short, thorough = Receiver(codec=codec), Receiver(codec=codec)
    short.feed(b"".join(packets))
    for one in packets:
        if one[1] == 0:
            thorough.video.packet(memoryview(one), 4, len(one), START_US, START_US)
    assert short.units == thorough.units
    for fact in ("packets", "lost", "torn_units", "next_number", "stamp", "open_at", "unit_start"):
        assert getattr(short.video, fact) == getattr(thorough.video, fact), fact
    assert short.buffer.view[: short.buffer.fill] == thorough.buffer.view[: thorough.buffer.fill]


def test_sei_and_unknown_types_are_never_dropped() -> None:
    receiver = Receiver()
    sei, delimiter, private = b"\x06\x05camera signature", b"\x09\xf0", b"\x17private"
    for number, nal in enumerate([delimiter, sei, private]):
        receiver.feed(packet(nal, number=number, stamp=9))
    receiver.feed(packet(KEY + b"picture", number=3, stamp=9, marker=True))
    assert receiver.units[0].nals() == [delimiter, sei, private, KEY + b"picture"]


def test_an_aggregate_and_an_early_marker_behind_parameter_sets() -> None:
    """Several makers set the marker behind SPS and PPS; the unit ends with its picture all the same."""
    clip = film()
    sets = b"".join(struct.pack(">H", len(nal)) + nal for nal in (clip.sps, clip.pps))
    receiver = Receiver()
    receiver.feed(packet(b"\x78" + sets, number=0, stamp=5, marker=True))
    assert receiver.units == []
    receiver.feed(packet(KEY + b"picture", number=1, stamp=5, marker=True))
    assert receiver.units[0].nals() == [clip.sps, clip.pps, KEY + b"picture"]


def test_without_markers_the_timestamp_ends_a_unit() -> None:
    receiver = Receiver()
    for number in range(3):
        receiver.feed(packet(SLICE + b"abc", number=number, stamp=number * 3600), at_us=START_US + number)
    assert [unit.timestamp for unit in receiver.units] == [0, 3600]
    assert [unit.arrived_us for unit in receiver.units] == [START_US, START_US + 1]


def test_padding_contributors_and_header_extensions_are_taken_off() -> None:
    receiver = Receiver()
    rtp = struct.pack(">BBHII", 0xB1, 0x80 | 96, 0, 1, 7) + b"cccc" + b"\xbe\xde\0\1eeee" + SLICE + b"data" + b"\0\0\3"
    receiver.feed(struct.pack(">BBH", 0x24, 0, len(rtp)) + rtp)
    assert receiver.units[0].nals() == [SLICE + b"data"]


def test_other_payload_types_and_channels_are_passed_over() -> None:
    receiver = Receiver()
    receiver.feed(packet(SLICE + b"no", number=0, stamp=1, marker=True, kind=97))
    receiver.feed(packet(SLICE + b"no", number=0, stamp=1, marker=True, channel=4))
    receiver.feed(packet(SLICE + b"yes", number=5, stamp=1, marker=True))
    assert [unit.nals() for unit in receiver.units] == [[SLICE + b"yes"]]
    assert receiver.video.lost == 0


# --- loss ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [0, 2, 4])
def test_a_torn_nal_unit_is_left_out_and_its_neighbours_stay(missing: int) -> None:
    receiver = Receiver()
    receiver.feed(packet(SLICE + b"before", number=0, stamp=0, marker=True))
    packets = [packet(b"\x06sei", number=1, stamp=3600), *fragments(KEY + bytes(3000), 5, number=2, stamp=3600)]
    del packets[1 + missing]
    packets.append(packet(SLICE + b"after", number=7, stamp=7200, marker=True))
    for one in packets:
        receiver.feed(one)
    assert [unit.nals() for unit in receiver.units] == [[SLICE + b"before"], [b"\x06sei", SLICE + b"after"]]
    assert receiver.video.lost == 1
    assert receiver.video.torn_units == 1


def test_a_packet_sent_twice_counts_once() -> None:
    receiver = Receiver()
    first = packet(SLICE + b"a", number=65_535, stamp=0, marker=True)
    second = packet(SLICE + b"b", number=0, stamp=3600, marker=True)
    for one in (first, first, second, first, second):
        receiver.feed(one)
    assert len(receiver.units) == 2
    assert receiver.video.lost == 0


@pytest.mark.parametrize("change", [{"number": 40_000}, {"number": 8, "ssrc": 99}])
def test_counting_anew_is_no_loss(change: dict[str, int]) -> None:
    receiver = Receiver()
    receiver.feed(packet(SLICE + b"a", number=1, stamp=0, marker=True))
    receiver.feed(packet(SLICE + b"b", stamp=3600, marker=True, **change))
    assert len(receiver.units) == 2
    assert receiver.video.lost == 0


def test_sequence_arithmetic() -> None:
    assert steps_between(65_535, 65_535) == 0
    assert steps_between(65_535, 2) == 3
    assert steps_between(2, 65_535) == -3
    assert steps_between(0, MAX_DROPOUT) == MAX_DROPOUT
    assert steps_between(0, MAX_DROPOUT + 1) is None
    assert signed_ticks(5, 0xFFFF_FFFB) == 10
    assert signed_ticks(0xFFFF_FFFB, 5) == -10


@given(st.integers(0, 10**12))
def test_ticks_and_microseconds(ticks: int) -> None:
    assert 0 <= ticks - us_to_ticks(ticks_to_us(ticks)) <= 1


# --- limits --------------------------------------------------------------------------------------------------------


def test_a_picture_without_end_is_refused() -> None:
    receiver = Receiver()
    chunk = bytes(60_000)
    receiver.feed(packet(b"\x7c\x85" + chunk, number=0, stamp=1))
    endless = (packet(b"\x7c\x05" + chunk, number=number, stamp=1) for number in range(1, UNIT_LIMIT // 30_000))
    with pytest.raises(BadStream, match="picture"):
        deque(map(receiver.feed, endless), maxlen=0)
    assert receiver.buffer.fill < UNIT_LIMIT + 2 * len(chunk)


def test_a_picture_of_endlessly_many_slices_is_refused() -> None:
    receiver = Receiver()
    endless = (packet(SLICE + bytes(60_000), number=number, stamp=1) for number in range(UNIT_LIMIT // 30_000))
    with pytest.raises(BadStream, match="picture"):
        deque(map(receiver.feed, endless), maxlen=0)


def test_a_packet_form_that_was_not_agreed_is_refused() -> None:
    with pytest.raises(BadStream):
        Receiver().feed(packet(b"\x7dxxxx", number=0, stamp=1))


# --- reports -------------------------------------------------------------------------------------------------------


def test_a_sender_report_within_a_compound() -> None:
    at_us = START_US + 250_000
    ntp = struct.pack(">II", START_US // SECOND + 2_208_988_800, 1 << 30)
    report = struct.pack(">BBHI", 0x80, 200, 6, 7) + ntp + struct.pack(">III", 4242, 1, 1)
    receiver_report = struct.pack(">BBHI", 0x80, 201, 1, 7)
    assert sender_report(receiver_report + report, 0, 36) == (at_us, 4242)
    assert sender_report(report, 0, 20) is None
    assert sender_report(struct.pack(">BBHI", 0x80, 200, 6, 7) + bytes(20), 0, 28) is None, "a camera without a clock"


@given(st.binary(max_size=80))
def test_any_bytes_are_a_report_or_none(noise: bytes) -> None:
    found = sender_report(noise, 0, len(noise))
    assert found is None or found[1] < 1 << 32
