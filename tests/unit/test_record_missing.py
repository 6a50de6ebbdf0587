"""I4: whatever is missing is said, with its span and cause: silences, losses inside of a segment and outside of all."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.model import Cause
from edged.record.net.rtp import CLOCK
from edged.record.timeline import MediaTime
from simulators.clip import Clip
from tests.deep import examples
from tests.record_film import FRAME_TICKS, SECOND, START_US, LossSaid, Recording, Shown, film, show

FRAME_US = SECOND // 25


def split(data: bytes) -> list[bytes]:
    """The interleaved packets of one frame."""
    packets, at = [], 0
    while at < len(data):
        size = 4 + int.from_bytes(data[at + 2 : at + 4], "big")
        packets.append(data[at : at + size])
        at += size
    return packets


def packets_before(clip: Clip, count: int) -> int:
    return sum(len(clip.frames[counter % len(clip.frames)].starts) for counter in range(count))


def lost_packets(recording: Recording) -> int:
    return sum(loss.packets for loss in recording.losses if loss.cause is Cause.LOSS)


# --- silences ------------------------------------------------------------------------------------------------------


def after_silence(clip: Clip, first: int, *, pushed: int = 0, ssrc: int | None = None) -> list[Shown]:
    """Frames from `first` on, as sent by a camera whose packet numbers saw no silence; its clock is pushed."""
    stamp = 0xFFFF_0000 + first * FRAME_TICKS + pushed
    shown = show(clip, 250, first=first, stamp=stamp, sequence=65_000 + packets_before(clip, 100))
    if ssrc is not None:
        for frame in shown:
            frame.data = b"".join(one[:12] + ssrc.to_bytes(4, "big") + one[16:] for one in split(frame.data))
    return shown


@pytest.mark.parametrize("frames", [15, 75, 200])
@pytest.mark.parametrize("pushed", [0, 30 * CLOCK, -30 * CLOCK, 20_000 * CLOCK, -3 * CLOCK])
@pytest.mark.parametrize("ssrc", [None, 9])
def test_i4_a_silence_is_said_whatever_the_camera_does_with_its_clock(
    frames: int, pushed: int, ssrc: int | None
) -> None:
    """The camera stalls within the session's patience, and goes on from a clock that was set, or as another source."""
    clip = film()
    recording = Recording(clip, segment_s=60)
    recording.play(show(clip, 100))
    recording.play(after_silence(clip, 100 + frames, pushed=pushed, ssrc=ssrc), START_US + (100 + frames) * FRAME_US)
    recording.finish()
    (silence,) = recording.losses
    assert silence.cause is Cause.LOSS
    assert abs(silence.start_us - (START_US + 100 * FRAME_US)) < FRAME_US
    assert abs(silence.end_us - silence.start_us - frames * FRAME_US) < FRAME_US
    assert abs(silence.frames - frames) <= 1


def test_i4_a_silence_right_before_a_new_segment_is_said() -> None:
    clip = film()
    recording = Recording(clip, segment_s=4)
    recording.play(show(clip, 100))
    recording.play(after_silence(clip, 125, pushed=500 * CLOCK), START_US + 125 * FRAME_US)
    first, second = recording.finish()[:2]
    assert first.end is not None
    assert first.end.end_us == second.start.start_us == START_US + 125 * FRAME_US
    assert [(loss.start_us, loss.end_us, loss.frames) for loss in recording.losses] == [
        (START_US + 4 * SECOND, START_US + 5 * SECOND, 25)
    ]


def test_a_steady_stream_and_one_that_goes_slow_are_not_silent_for_long() -> None:
    clip = film()
    recording = Recording(clip)
    recording.play(show(clip, 100))
    slow = [show(clip, 1, first=number, stamp=0xFFFF_0000 + number * FRAME_TICKS)[0] for number in range(100, 1600, 25)]
    sequence = 65_000 + packets_before(clip, 100)
    for number, frame in enumerate(slow):
        packets = split(frame.data)
        frame.data = b"".join(
            one[:6] + (sequence + at & 0xFFFF).to_bytes(2, "big") + one[8:] for at, one in enumerate(packets)
        )
        sequence += len(packets)
        recording.feed(frame.data, START_US + (100 + 25 * number) * FRAME_US)
    recording.finish()
    assert 0 < len(recording.losses) < 4, "believed step by step"


@pytest.mark.parametrize("held_s", [2, 4, 9])
def test_i4_a_camera_that_stands_still_clock_and_all_is_found_out_by_the_next_label(held_s: int) -> None:
    clip = film()
    recording = Recording(clip, segment_s=8)
    recording.play(show(clip, 100))
    recording.play(after_silence(clip, 100), START_US + 4 * SECOND + held_s * SECOND)
    tapes = recording.finish()
    assert tapes[0].end is not None
    said = [(loss.start_us, loss.end_us, loss.packets) for loss in recording.losses]
    assert said == [(START_US + 4 * SECOND, START_US + (4 + held_s) * SECOND, 0)]
    assert tapes[0].end.end_us == tapes[1].start.start_us


def test_frames_that_were_held_up_and_caught_up_are_no_loss() -> None:
    clip = film()
    recording = Recording(clip, segment_s=8)
    shown = show(clip, 300)
    recording.play(shown[:100])
    recording.play(shown[100:175], START_US + 7 * SECOND, every_us=0)
    recording.play(shown[175:], START_US + 7 * SECOND)
    assert len(recording.finish()) > 1
    assert recording.losses == []


def test_arrival_alone_shows_no_silence_of_part_of_a_second() -> None:
    media = MediaTime()
    media.by_arrival = True
    silences = []
    for at_ms in (0, 40, 80, 900, 940, 4000):
        media.advance(0, at_ms * 1000)
        silences.append(media.silence > 0)
    assert silences == [False] * 5 + [True]


# --- packets -------------------------------------------------------------------------------------------------------


def without(shown: list[Shown], gone: set[int]) -> list[list[bytes]]:
    """The packets of each frame, without those whose number in the whole is in `gone`."""
    number, left = 0, []
    for frame in shown:
        kept = []
        for one in split(frame.data):
            if number not in gone:
                kept.append(one)
            number += 1
        left.append(kept)
    return left


def feed(recording: Recording, frames: list[list[bytes]], at_us: int = START_US) -> int:
    for packets in frames:
        recording.feed(b"".join(packets), at_us)
        at_us += FRAME_US
    return at_us


def test_i4_losses_before_the_first_keyframe_are_said() -> None:
    clip = film()
    recording = Recording(clip)
    shown = show(clip, 60, first=10)
    feed(recording, without(shown, {1, 2, 5}))
    (tape,) = recording.finish()
    assert recording.video.lost == 3
    assert [(loss.start_us, loss.end_us, loss.packets) for loss in recording.losses] == [
        (START_US, tape.start.start_us, 3)
    ]
    assert tape.end is not None
    assert tape.end.lost_packets == 0


def test_i4_losses_of_a_session_without_a_keyframe_are_said_at_its_end() -> None:
    clip = film()
    recording = Recording(clip, sets=[])
    feed(recording, without(show(clip, 12, first=5), {3}))
    assert recording.finish(START_US + 9 * SECOND) == []
    assert recording.losses == [LossSaid(START_US, START_US + 9 * SECOND, Cause.LOSS, 1, 0)]


def test_i4_what_a_keyframe_lacks_is_missing_from_the_segment_that_it_begins() -> None:
    """Not from the one that ends there: its pictures are whole, and a decoder of the next one must be warned."""
    clip = film()
    recording = Recording(clip, segment_s=4)
    feed(recording, without(show(clip, 200), {packets_before(clip, 100)}))
    ends = [tape.end for tape in recording.finish() if tape.end is not None]
    assert [end.lost_packets for end in ends] == [0, 1]
    (loss,) = recording.losses
    assert (loss.start_us, loss.packets) == (START_US + 4 * SECOND, 1)


def test_i4_losses_behind_the_last_frame_are_said() -> None:
    clip = film()
    recording = Recording(clip)
    shown = show(clip, 80)
    frames = without(shown, set())
    frames[75] = frames[75][:1] + frames[75][3:-1]  # torn, and never ended
    feed(recording, frames[:76])
    (tape,) = recording.finish(START_US + 10 * SECOND)
    assert tape.end is not None
    assert (tape.end.frames, tape.end.lost_packets) == (75, 0)
    assert recording.losses == [LossSaid(tape.end.end_us, START_US + 10 * SECOND, Cause.LOSS, 2, 0)]


def test_i4_i7_a_loss_is_told_with_its_fragment_and_once_more_when_it_grows() -> None:
    """A recorder that is killed has said what its open segment is short of; in the index it is one loss."""
    clip = film()
    recording = Recording(clip)
    frames = without(show(clip, 160), {packets_before(clip, 30), packets_before(clip, 110)})
    at_us = feed(recording, frames[:60])
    (first,) = recording.losses
    assert first.packets == 1
    feed(recording, frames[60:], at_us)
    (loss,) = recording.losses
    assert (loss.start_us, loss.packets) == (first.start_us, 2)
    assert loss.end_us > first.end_us
    assert recording.tapes[0].end is None, "the segment is still open"


@settings(max_examples=examples(60))
@given(st.integers(0, 2**32), st.floats(0, 0.3), st.lists(st.integers(0, 399), max_size=6, unique=True))
def test_i4_every_lost_packet_is_in_exactly_one_fact(seed: int, share: float, turns: list[int]) -> None:
    """With a volume that takes nothing now and then, and flushes wherever they fall."""
    clip = film()
    draw = random.Random(seed)
    recording = Recording(clip, segment_s=3, stagger=draw.random())
    shown = show(clip, 400, first=draw.randrange(50))
    total = sum(len(split(frame.data)) for frame in shown)
    frames = without(shown, {number for number in range(total) if draw.random() < share})
    for number, packets in enumerate(frames):
        recording.full ^= number in turns
        recording.feed(b"".join(packets), START_US + number * FRAME_US)
    tapes = recording.finish(START_US + 400 * FRAME_US)
    assert lost_packets(recording) == recording.video.lost
    ends = [tape.end for tape in tapes if tape.end is not None]
    assert sum(end.lost_packets for end in ends) <= recording.video.lost
    begun = [loss.start_us for loss in recording.losses if loss.packets]
    assert all(one < after for one, after in pairwise(begun)), "two with one beginning would be one in the index"
