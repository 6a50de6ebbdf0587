"""Audio: packets to frames, and audio beside video in one file that other players read."""

import struct
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.record.codecs.audio import AudioReceiver, describe
from edged.record.errors import BadStream
from edged.record.mp4.fmp4 import random_access
from edged.record.net.sdp import AudioTrack, Codec, find_audio
from edged.record.quirks import Quirk
from edged.record.soundtrack import SOUND_LIMIT
from simulators.judge import check_gapless, decode_all, read_frames
from tests.deep import examples
from tests.record_film import SECOND, START_US, Recording, Shown, Tape, film, show
from tests.record_judge import probe, salvage_bytes
from tests.record_sound import AAC_TYPE, aac_payload, aac_track, encode, g711_track, sound_packet

Frame = tuple[int, int, bytes]


class Ear:
    """An audio track's packets in, frames kept."""

    def __init__(self, track: AudioTrack) -> None:
        self.track = track
        self.frames: list[Frame] = []
        self.quirks: set[Quirk] = set()
        self.receiver = AudioReceiver(track, self._sound, self.quirks.add)

    def feed(self, payload: bytes, *, number: int, stamp: int) -> None:
        data = memoryview(sound_packet(payload, self.track, number=number, stamp=stamp))
        self.receiver.packet(data, 4, len(data), START_US, 0)

    def _sound(self, timestamp: int, ticks: int, data: bytes, mono_us: int) -> None:
        self.frames.append((timestamp, ticks, data))


def test_several_frames_in_one_packet() -> None:
    ear = Ear(aac_track())
    ear.feed(aac_payload(b"one", b"second", b"3"), number=0, stamp=0xFFFF_FF00)
    ear.feed(aac_payload(b"four"), number=1, stamp=3 * 1024 - 256)
    assert ear.frames == [
        (0xFFFF_FF00, 1024, b"one"),
        (768, 1024, b"second"),
        (1792, 1024, b"3"),
        (2816, 1024, b"four"),
    ]
    assert ear.quirks == set()


def test_a_frame_in_several_packets_and_one_of_them_lost() -> None:
    ear = Ear(aac_track())
    head = struct.pack(">HH", 16, 30 << 3)
    for number, piece in enumerate([b"a" * 10, b"b" * 10, b"c" * 10]):
        ear.feed(head + piece, number=number, stamp=0)
    ear.feed(head + b"d" * 10, number=3, stamp=1024)
    ear.feed(head + b"f" * 10, number=5, stamp=1024)
    ear.feed(aac_payload(b"whole"), number=6, stamp=2048)
    ear.feed(aac_payload(b"again"), number=7, stamp=3072)
    assert [data for _, _, data in ear.frames] == [b"a" * 10 + b"b" * 10 + b"c" * 10, b"again"]
    assert ear.receiver.lost == 1


@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.PCMA])
def test_samples_of_g711_are_what_the_packet_holds(codec: Codec) -> None:
    ear = Ear(g711_track(codec))
    ear.feed(b"\x55" * 160, number=0, stamp=0)
    ear.feed(b"\xd5" * 80, number=1, stamp=160)
    ear.feed(b"\xd5" * 80, number=1, stamp=160)  # sent twice
    assert [(stamp, ticks, len(data)) for stamp, ticks, data in ear.frames] == [(0, 160, 160), (160, 80, 80)]
    assert ear.receiver.packets == 2


@pytest.mark.parametrize(
    "payload", [b"\0", b"\0\0", b"\0\x10\0\x08", struct.pack(">HH", 16, 5 << 3 | 1) + b"abcde", b"\xff" * 90]
)
def test_aac_that_makes_no_sense_is_left_out_and_said(payload: bytes) -> None:
    ear = Ear(aac_track())
    ear.feed(payload, number=0, stamp=0)
    ear.feed(aac_payload(b"good"), number=1, stamp=1024)
    assert ear.frames == [(1024, 1024, b"good")]
    assert ear.quirks == {Quirk.AUDIO_UNUSABLE}


@settings(max_examples=examples(300))
@given(st.lists(st.binary(max_size=60), max_size=12), st.integers(0, 32), st.integers(0, 8))
def test_whatever_a_camera_sends_nothing_is_raised(payloads: list[bytes], size_bits: int, index_bits: int) -> None:
    ear = Ear(replace(aac_track(), size_length=size_bits, index_length=index_bits))
    for number, payload in enumerate(payloads):
        ear.feed(payload, number=number, stamp=number * 1024)
    assert all(data for _, _, data in ear.frames)


def test_what_the_description_leaves_out() -> None:
    assert describe(aac_track(config=b"")) == describe(aac_track())
    with pytest.raises(BadStream):
        describe(aac_track(rate=12_345, config=b""))
    sbr = Ear(replace(aac_track(rate=48_000), config=bytes.fromhex("2b098800")))  # AAC core at 24 kHz
    assert describe(sbr.track).codec == "mp4a.40.5"
    sbr.feed(aac_payload(b"x"), number=0, stamp=0)
    assert sbr.frames[0][1] == 2048


@given(st.binary(max_size=300))
def test_any_description_gives_a_track_or_none(text: bytes) -> None:
    for lead in (b"m=audio 0 RTP/AVP 97\na=rtpmap:97 mpeg4-generic/16000/1\na=fmtp:97 ", b"m=audio 0 RTP/AVP 0 8 97\n"):
        track = find_audio(lead + text)
        if track is not None:
            try:
                assert describe(track).rate == track.clock_rate
            except BadStream:
                continue


def test_only_modes_in_which_frames_come_in_order() -> None:
    lead = b"m=audio 0 RTP/AVP 97\na=rtpmap:97 mpeg4-generic/16000\na=fmtp:97 mode="
    assert find_audio(lead + b"CELP-vbr") is None
    found = find_audio(lead + b"AAC-hbr; SizeLength=13; indexlength=3; config=1408")
    assert found == AudioTrack(None, AAC_TYPE, Codec.AAC, 16_000, 1, b"\x14\x08", 13, 3)


# --- files ---------------------------------------------------------------------------------------------------------


def tracks() -> list[tuple[str, AudioTrack, list[bytes], int]]:
    """(codec's name, track, RTP payloads of 64 or 20 ms, ticks of each)."""
    mulaw = encode("pcm_mulaw", 8000, 160, 50)
    alaw = encode("pcm_alaw", 8000, 160, 50)
    aac = [aac_payload(frame) for frame in encode("aac", 16_000, 1024, 30)]
    return [
        ("aac", aac_track(), aac, 1024),
        ("pcm_mulaw", g711_track(Codec.PCMU), mulaw, 160),
        ("pcm_alaw", g711_track(Codec.PCMA), alaw, 160),
    ]


def mix(
    shown: list[Shown],
    track: AudioTrack,
    payloads: list[bytes],
    ticks: int,
    first_us: int = 0,
    stamp: int = 0xFFFF_0000,
) -> tuple[list[tuple[int, bytes]], int]:
    """(arrivals in order, number of audio packets): audio from `first_us` on, each packet once its sound is over."""
    arrivals = [(START_US + number * 40_000, frame.data) for number, frame in enumerate(shown)]
    end_us, number = START_US + len(shown) * 40_000, 0
    while (at_us := START_US + first_us + (number + 1) * ticks * SECOND // track.clock_rate) < end_us:
        payload = payloads[number % len(payloads)]
        packet = sound_packet(payload, track, number=number, stamp=stamp + number * ticks)
        arrivals.append((at_us, packet))
        number += 1
    return sorted(arrivals, key=lambda one: one[0]), number


def play(recording: Recording, arrivals: list[tuple[int, bytes]]) -> list[Tape]:
    for at_us, data in arrivals:
        recording.feed(data, at_us)
    return recording.finish()


def sound_in(path: Path) -> tuple[bytes, list[tuple[int, int]]]:
    """(all samples' bytes, (start, end) of each in microseconds)."""
    content, times = b"", []
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            if packet.size and packet.pts is not None and packet.duration is not None and packet.time_base is not None:
                content += bytes(packet)
                start = packet.pts * packet.time_base
                times.append((round(start * SECOND), round((start + packet.duration * packet.time_base) * SECOND)))
    return content, times


def decoded_samples(path: Path) -> int:
    with av.open(str(path)) as container:
        container.streams.audio[0].codec_context.options = {"err_detect": "explode"}
        return sum(frame.samples for frame in container.decode(audio=0))


@pytest.mark.parametrize(("name", "track", "payloads", "ticks"), tracks(), ids=[one[0] for one in tracks()])
def test_i4_audio_and_video_in_one_file_each_whole(
    name: str, track: AudioTrack, payloads: list[bytes], ticks: int, tmp_path: Path
) -> None:
    clip = film()
    recording = Recording(clip, segment_s=4, audio=track)
    arrivals, sent = mix(show(clip, 300), track, payloads, ticks)
    tapes = play(recording, arrivals)
    paths = [tape.write_to(tmp_path / f"{index}.mp4") for index, tape in enumerate(tapes)]
    assert [tape.end.frames for tape in tapes if tape.end] == [100, 100, 100]
    assert [decode_all(path) for path in paths] == [100, 100, 100]
    assert check_gapless(frame for path in paths for frame in read_frames(path)).ok
    found = [probe(path) for path in paths]
    assert [one.video_frames for one in found] == [100, 100, 100]
    assert all(one.codecs == ("h264", name) for one in found)
    assert sum(one.audio_packets for one in found) == sent
    samples = b"".join(sound_in(path)[0] for path in paths)
    kept = [payload[4:] if name == "aac" else payload for payload in payloads]
    assert samples == b"".join(kept[number % len(kept)] for number in range(sent)), "every byte, in order"
    assert sum(map(decoded_samples, paths)) == sent * ticks
    for path, one in zip(paths, found, strict=True):
        times = sound_in(path)[1]
        assert all(end == start for (_, end), (start, _) in pairwise(times)), "no seam inside a file"
        assert abs(one.durations[1] - 4) < 0.1
    assert all(tape.codec == f"{tape.video.codec},{describe(track).codec}" for tape in tapes)
    assert recording.quirks == []


def test_audio_that_begins_late_is_placed_where_it_was_heard(tmp_path: Path) -> None:
    clip, track = film(), g711_track(Codec.PCMA)
    recording = Recording(clip, segment_s=4, audio=track)
    payloads = encode("pcm_alaw", 8000, 160, 50)
    arrivals, _ = mix(show(clip, 200), track, payloads, 160, first_us=1_500_000)
    tapes = play(recording, arrivals)
    first = sound_in(tapes[0].write_to(tmp_path / "0.mp4"))[1][0][0]
    assert abs(first - 1_500_000) <= 100_000, "within the tick on which sockets are drained"
    start, _ = sound_in(tapes[1].write_to(tmp_path / "1.mp4"))[1][0]
    assert abs(start) <= 100_000


def test_audio_held_up_on_its_way_stays_with_its_picture(tmp_path: Path) -> None:
    """A burst comes three seconds late, audio and video alike: what was together stays together."""
    clip, track = film(), g711_track(Codec.PCMA)
    recording = Recording(clip, segment_s=60, audio=track)
    arrivals, sent = mix(show(clip, 300), track, encode("pcm_alaw", 8000, 160, 50), 160)
    held = (START_US + 5 * SECOND, START_US + 8 * SECOND)
    tapes = play(recording, [(held[1] if held[0] <= at < held[1] else at, data) for at, data in arrivals])
    times = sound_in(tapes[0].write_to(tmp_path / "0.mp4"))[1]
    assert len(times) == sent
    assert all(end == start for (_, end), (start, _) in pairwise(times))
    assert abs(times[-1][1] - 12 * SECOND) < 100_000


@pytest.mark.parametrize("jump", [-0x4000_0000, 8000 * 3600, 0x7000_0000])
def test_a_jump_of_the_audio_clock_moves_nothing_far(jump: int, tmp_path: Path) -> None:
    clip, track = film(), g711_track(Codec.PCMU)
    recording = Recording(clip, segment_s=60, audio=track)
    payloads = encode("pcm_mulaw", 8000, 160, 50)
    arrivals, sent = mix(show(clip, 100), track, payloads, 160)
    for number in range(sent, sent + 200):
        packet = sound_packet(payloads[0], track, number=number, stamp=0xFFFF_0000 + number * 160 + jump)
        arrivals.append((START_US + (number + 1) * 20_000, packet))
    arrivals += [(START_US + (100 + index) * 40_000, one.data) for index, one in enumerate(show(clip, 200)[100:])]
    (tape,) = play(recording, sorted(arrivals, key=lambda one: one[0]))
    path = tape.write_to(tmp_path / "0.mp4")
    times = sound_in(path)[1]
    assert len(times) == sent + 200
    assert abs(times[-1][1] - 8 * SECOND) < 200_000
    assert probe(path).video_frames == 200
    assert recording.quirks == [Quirk.TIMESTAMP_JUMP]


def video_bytes(tapes: list[Tape], folder: Path) -> list[bytes]:
    found = []
    for index, tape in enumerate(tapes):
        with av.open(str(tape.write_to(folder / f"{index}.mp4"))) as container:
            found += [bytes(one) + str(one.pts).encode() for one in container.demux(video=0)]
    return found


def test_i6_whatever_the_audio_does_the_video_is_the_same(tmp_path: Path) -> None:
    clip = film()
    shown = show(clip, 200)
    alone = Recording(clip, segment_s=4)
    alone.play(shown)
    expected = video_bytes(alone.finish(), tmp_path)
    track = aac_track()
    junk = [b"\xff" * 40, b"", b"\0\x10\0", aac_payload(b"x" * 4000), aac_payload(*[b"y" * 100] * 12)]
    for flood in (1, 60):
        recording = Recording(clip, segment_s=4, audio=track)
        number = 0
        for index, frame in enumerate(shown):
            at_us = START_US + index * 40_000
            for _ in range(flood):
                packet = sound_packet(junk[number % len(junk)], track, number=number * 3, stamp=number * 77_777)
                recording.feed(packet, at_us)
                number += 1
            recording.feed(frame.data, at_us)
        tapes = recording.finish()
        assert video_bytes(tapes, tmp_path) == expected
        assert Quirk.AUDIO_UNUSABLE in recording.quirks


def test_audio_without_pictures_takes_no_more_memory_than_is_allowed() -> None:
    clip, track = film(), g711_track(Codec.PCMU)
    recording = Recording(clip, audio=track)
    recording.play(show(clip, 30))
    for number in range(SOUND_LIMIT // 1000 + 100):
        data = sound_packet(bytes([1]) * 1000, track, number=number, stamp=number * 1000)
        recording.feed(data, START_US + 1_200_000)
    (tape,) = recording.finish()
    assert sum(map(len, tape.pieces)) < 2 * SOUND_LIMIT
    assert Quirk.AUDIO_UNUSABLE in recording.quirks


def test_an_audio_track_that_stays_silent_is_no_obstacle(tmp_path: Path) -> None:
    clip = film()
    recording = Recording(clip, audio=aac_track())
    recording.play(show(clip, 100))
    (tape,) = recording.finish()
    path = tape.write_to(tmp_path / "0.mp4")
    assert decode_all(path) == probe(path).video_frames == 100


# --- after a crash -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "track", "payloads", "ticks"), tracks(), ids=[one[0] for one in tracks()])
def test_i7_a_file_cut_anywhere_gives_its_whole_fragments(
    name: str, track: AudioTrack, payloads: list[bytes], ticks: int, tmp_path: Path
) -> None:
    clip = film()
    recording = Recording(clip, audio=track)
    (tape,) = play(recording, mix(show(clip, 125), track, payloads, ticks)[0])
    assert tape.end is not None
    content = b"".join(tape.pieces)
    whole = salvage_bytes(content + tape.end.index)
    assert whole is not None
    assert (whole.length, whole.frames, whole.duration_us) == (len(content), 125, 5 * SECOND)
    assert (whole.codec, whole.width, whole.height) == (tape.codec, 320, 180)
    assert random_access(whole.points) == tape.end.index
    ends = [sum(map(len, tape.pieces[: count + 1])) for count in range(len(tape.pieces))]
    for cut in sorted({*range(0, len(content), 997), *ends, *(end - 1 for end in ends)}):
        found = salvage_bytes(content[:cut])
        assert (found.length if found else 0) == max((end for end in ends if end <= cut), default=0)
    found = salvage_bytes(content[: ends[1] + 500])
    assert found is not None
    path = tmp_path / "cut.mp4"
    path.write_bytes(content[: found.length] + random_access(found.points))
    assert decode_all(path) == probe(path).video_frames == found.frames
    assert decoded_samples(path) > 0


def test_i7_sound_that_was_never_written_is_no_footage() -> None:
    clip, track = film(), g711_track(Codec.PCMA)
    recording = Recording(clip, audio=track)
    (tape,) = play(recording, mix(show(clip, 125), track, encode("pcm_alaw", 8000, 160, 50), 160)[0])
    content = b"".join(tape.pieces)
    end = sum(map(len, tape.pieces[:2]))
    at = content.index(b"mdat", end) + 4
    lost = -(-at // 4096) * 4096  # 16 000 bytes of sound lie there
    found = salvage_bytes(content[:lost] + bytes(4096) + content[lost + 4096 :])
    assert found is not None
    assert found.length == end
