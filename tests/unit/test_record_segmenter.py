"""What goes into which segment and fragment, and what times they say."""

import random
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.model import Cause
from edged.record.net.rtp import CLOCK
from edged.record.timeline import MediaTime, lay_out
from simulators.judge import check_gapless, decode_all, read_frames
from tests.deep import examples
from tests.record_film import FRAME_TICKS, SECOND, START_US, Recording, Shown, Tape, film, packet, show


def frames_of(tape: Tape) -> int:
    assert tape.end is not None
    return tape.end.frames


def span(tape: Tape) -> tuple[int, int]:
    assert tape.end is not None
    return tape.start.start_us, tape.end.end_us


def test_i4_segments_follow_each_other_without_a_seam(tmp_path: Path) -> None:
    clip = film()
    recording = Recording(clip, segment_s=4)
    recording.play(show(clip, 500))
    tapes = recording.finish()
    assert [frames_of(tape) for tape in tapes] == [100] * 5
    assert all(span(one)[1] == span(after)[0] for one, after in pairwise(tapes))
    assert span(tapes[0])[0] == START_US
    assert span(tapes[-1])[1] == START_US + 20 * SECOND
    frames = [frame for index, tape in enumerate(tapes) for frame in read_frames(tape.write_to(tmp_path / f"{index}"))]
    assert check_gapless(frames).ok
    assert recording.losses == []


def test_the_first_segment_is_shortened_so_that_a_fleet_rotates_apart() -> None:
    clip = film()
    ends = set()
    for stagger in (0.0, 0.3, 0.6, 0.9):
        recording = Recording(clip, segment_s=20, stagger=stagger)
        recording.play(show(clip, 25 * 45))
        lengths = [end - start for start, end in map(span, recording.finish())]
        assert lengths[1] == 20 * SECOND
        ends.add(lengths[0])
    assert len(ends) == 4


def test_a_segment_stays_within_its_length_and_a_longer_gop_is_waited_for() -> None:
    clip = film(gop=75)
    recording = Recording(clip, segment_s=4)
    recording.play(show(clip, 25 * 20))
    assert {end - start for start, end in map(span, recording.finish()[:-1])} == {3 * SECOND}, "two GOPs would overrun"
    recording = Recording(clip, segment_s=2)
    recording.play(show(clip, 25 * 20))
    assert {end - start for start, end in map(span, recording.finish()[:-1])} == {3 * SECOND}, "one GOP is the least"


def test_i7_no_fragment_is_longer_than_its_limit_and_the_first_comes_early() -> None:
    clip = film(gop=75)
    recording = Recording(clip, segment_s=60, fragment_s=2)
    recording.play(show(clip, 25 * 20))
    tape = recording.finish()[0]
    ends = [START_US, *tape.ends_us]
    assert all(after - before <= 2 * SECOND for before, after in pairwise(ends))
    assert ends[1] <= START_US + 600_000


def test_a_stream_that_went_quiet_is_flushed_by_arrival() -> None:
    clip = film()
    recording = Recording(clip)
    recording.play(show(clip, 40))
    written = len(recording.tapes[0].pieces)
    recording.feed(b"", START_US + 3 * SECOND)
    assert len(recording.tapes[0].pieces) == written, "not before its time"
    recording.feed(b"", START_US + 3 * SECOND + 400_000)
    assert len(recording.tapes[0].pieces) == written + 1


def test_nothing_is_recorded_before_a_keyframe_and_its_parameter_sets() -> None:
    clip = film()
    recording = Recording(clip, sets=[])
    recording.play(show(clip, 60, first=10))
    tape = recording.finish()[0]
    assert tape.start.start_us == START_US + 15 * 40_000
    assert frames_of(tape) == 45


def test_new_parameter_sets_begin_a_new_segment() -> None:
    small = film()
    recording = Recording(small)
    at_us = recording.play(show(small, 25))
    other = show(film(gop=50), 25, first=0, stamp=0xFFFF_0000 + 25 * FRAME_TICKS, sequence=65_400)
    changed = [
        Shown(frame.counter, frame.data.replace(small.sps, small.sps[:3] + b"\x1f" + small.sps[4:]), frame.key, 0)
        for frame in other
    ]
    recording.play(changed, at_us)
    tapes = recording.finish()
    assert len(tapes) == 2
    assert tapes[0].codec != tapes[1].codec


# --- the camera's clock --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump_s", [-20_000, -30, -7, 7, 30, 20_000])
def test_i4_a_jump_of_the_cameras_clock_moves_no_label(jump_s: int, tmp_path: Path) -> None:
    clip = film()
    recording = Recording(clip, segment_s=60)
    before = show(clip, 60)
    packets = sum(len(clip.frames[frame.counter % len(clip.frames)].starts) for frame in before)
    stamp = (0xFFFF_0000 + 60 * FRAME_TICKS + jump_s * CLOCK) & 0xFFFF_FFFF
    after = show(clip, 90, first=60, stamp=stamp, sequence=65_000 + packets)
    recording.play(after, recording.play(before))
    tapes = recording.finish()
    # The jump falls inside a GOP: its pictures stay together, and the next keyframe begins a segment.
    assert [frames_of(tape) for tape in tapes] == [75, 75]
    assert span(tapes[0]) == (START_US, START_US + 3 * SECOND)
    assert span(tapes[1]) == (START_US + 3 * SECOND, START_US + 6 * SECOND)
    frames = [frame for index, tape in enumerate(tapes) for frame in read_frames(tape.write_to(tmp_path / f"{index}"))]
    assert check_gapless(frames).ok


@pytest.mark.parametrize("rate", [0.0, 0.01, 11.0])
def test_a_clock_that_stands_still_or_runs_wrong_is_not_believed(rate: float, tmp_path: Path) -> None:
    clip = film()
    recording = Recording(clip, segment_s=10)
    sequence = 0
    for counter in range(25 * 60):
        frame = show(clip, 1, first=counter, sequence=sequence, stamp=round(counter * FRAME_TICKS * rate))[0]
        sequence += len(clip.frames[counter % len(clip.frames)].starts)
        recording.feed(frame.data, START_US + counter * 40_000)
    tapes = recording.finish()
    start_us, end_us = span(tapes[0])[0], span(tapes[-1])[1]
    assert start_us == START_US
    assert abs(end_us - (START_US + 60 * SECOND)) < 2 * SECOND
    assert all(one[1] == after[0] for one, after in pairwise(map(span, tapes)))
    frames = [frame for index, tape in enumerate(tapes) for frame in read_frames(tape.write_to(tmp_path / f"{index}"))]
    assert check_gapless(frames).ok


def test_a_late_burst_is_neither_a_jump_nor_a_loss() -> None:
    """The network held frames back for four seconds; they carry their true times."""
    clip = film()
    recording = Recording(clip, segment_s=60)
    shown = show(clip, 500)
    recording.play(shown[:100])
    recording.play(shown[100:200], START_US + 8 * SECOND, every_us=0)
    recording.play(shown[200:], START_US + 8 * SECOND)
    tapes = recording.finish()
    assert [frames_of(tape) for tape in tapes] == [500]
    assert span(tapes[0]) == (START_US, START_US + 20 * SECOND)
    assert recording.losses == []


def test_frames_the_camera_left_out_are_said() -> None:
    clip = film()
    recording = Recording(clip)
    shown = show(clip, 250)
    recording.play(shown[:100])
    recording.play(shown[175:], START_US + 7 * SECOND)
    recording.finish()
    silence = recording.losses[0]
    assert (silence.start_us, silence.end_us) == (START_US + 4 * SECOND, START_US + 7 * SECOND)
    assert silence.frames == 75
    assert silence.cause is Cause.LOSS


def test_a_kept_gop_in_front_does_not_end_in_the_future() -> None:
    """Some cameras begin with what they had kept: five seconds arrive at once."""
    clip = film()
    recording = Recording(clip)
    recording.play(show(clip, 125), every_us=0)
    start_us, end_us = span(recording.finish()[0])
    assert start_us == START_US
    assert end_us <= START_US + SECOND


# --- the host's clocks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step_s", [-7200, 7200])
def test_i4_when_the_host_clock_steps_a_new_run_begins_and_nothing_is_shortened(step_s: int) -> None:
    clip = film()
    recording = Recording(clip)
    shown = show(clip, 200)
    recording.play(shown[:90])
    recording.run = 2
    recording.clock_offset_us = -step_s * SECOND
    recording.play(shown[90:], START_US + 3_600_000 + step_s * SECOND)
    tapes = recording.finish()
    assert [(tape.start.run, frames_of(tape)) for tape in tapes] == [(1, 100), (2, 100)]
    assert span(tapes[0]) == (START_US, START_US + 4 * SECOND)
    assert span(tapes[1])[0] == START_US + (4 + step_s) * SECOND
    assert tapes[1].start.start_mono_us - tapes[0].start.start_mono_us == 4 * SECOND


# --- loss ----------------------------------------------------------------------------------------------------------


def test_lost_packets_are_counted_where_they_fell(tmp_path: Path) -> None:
    clip = film()
    recording = Recording(clip, segment_s=4)
    shown = show(clip, 200)
    del shown[110]  # a frame of one or more packets, none of which arrives
    recording.play(shown[:110])
    recording.play(shown[110:], START_US + 111 * 40_000)
    tapes = recording.finish()
    lost = len(clip.frames[110 % len(clip.frames)].starts)
    assert [tape.end.lost_packets for tape in tapes if tape.end] == [0, lost]
    loss = recording.losses[0]
    assert (loss.cause, loss.packets) == (Cause.LOSS, lost)
    assert START_US + 4 * SECOND <= loss.start_us < START_US + 110 * 40_000 + SECOND < loss.end_us + SECOND
    report = check_gapless(read_frames(tapes[1].write_to(tmp_path / "s")))
    assert report.missing == (110,)


def test_i4_what_the_disk_would_not_take_is_a_gap_that_is_said(tmp_path: Path) -> None:
    clip = film()
    recording = Recording(clip)
    shown = show(clip, 400)
    at_us = recording.play(shown[:130])
    recording.full = True
    at_us = recording.play(shown[130:290], at_us)
    recording.full = False
    recording.play(shown[290:], at_us)
    tapes = [tape for tape in recording.finish() if tape.end is not None]
    assert len(tapes) == 2
    frames = [read_frames(tape.write_to(tmp_path / f"{index}")) for index, tape in enumerate(tapes)]
    assert all(check_gapless(one).ok for one in frames)
    assert [decode_all(tmp_path / f"{index}") for index in range(2)] == [len(one) for one in frames]
    assert frames[1][0].is_keyframe
    gap = (span(tapes[0])[1], span(tapes[1])[0])
    losses = [loss for loss in recording.losses if loss.cause is Cause.DISK]
    assert [(loss.start_us, loss.end_us) for loss in losses] == [gap]
    assert losses[0].frames == 400 - sum(map(len, frames))


def test_a_disk_that_never_comes_back_is_said_at_the_end() -> None:
    clip = film()
    recording = Recording(clip)
    recording.full = True
    at_us = recording.play(show(clip, 200))
    recording.finish(at_us)
    assert [tape.end for tape in recording.tapes if tape.end] == []
    assert [(loss.start_us, loss.end_us, loss.frames) for loss in recording.losses] == [(START_US, at_us, 200)]


# --- frames in another order ---------------------------------------------------------------------------------------


def with_b_frames(count: int) -> list[tuple[bytes, int]]:
    """(Annex B access unit, time of showing in ticks), in the order a camera with B-frames sends them."""
    with av.open("null", "w", format="null") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.codec_context.gop_size = 25
        stream.codec_context.options = {"bf": "3", "b-adapt": "0", "b-pyramid": "normal", "sc_threshold": "0"}
        packets = []
        for index in range(count):
            picture = av.VideoFrame(160, 96, "yuv420p")
            picture.planes[0].update(random.Random(index).randbytes(picture.planes[0].buffer_size))
            picture.pts = index
            packets += stream.encode(picture)
        packets += stream.encode(None)
    return [(bytes(one), int((one.pts or 0) * FRAME_TICKS)) for one in packets]


def test_b_frames_are_shown_where_they_belong(tmp_path: Path) -> None:
    recording = Recording(film(), segment_s=4, sets=[])
    number = 0
    at_us = START_US
    sent = with_b_frames(200)
    assert any(after[1] < before[1] for before, after in pairwise(sent)), "the encoder made none"
    for unit, ticks in sent:
        nals = [nal.rstrip(b"\0") for nal in unit.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]]
        for index, nal in enumerate(nals):
            pieces = [nal] if len(nal) < 60_000 else []
            assert pieces
            recording.feed(packet(nal, number=number, stamp=ticks, marker=index == len(nals) - 1), at_us)
            number += 1
        at_us += 40_000
    tapes = recording.finish()
    assert len(tapes) > 1
    shown: list[int] = []
    for index, tape in enumerate(tapes):
        path = tape.write_to(tmp_path / f"{index}.mp4")
        with av.open(str(path)) as container:
            times = [packet.dts for packet in container.demux(video=0) if packet.dts is not None]
            assert times == sorted(set(times)), "decoding times only ever rise"
        with av.open(str(path)) as container:
            own = [round((frame.time or 0) * SECOND) for frame in container.decode(video=0)]
        assert own == [own[0] + 40_000 * count for count in range(len(own))], "every picture in its place, none missing"
        shown += own
    assert len(shown) == 200


@settings(max_examples=examples(200))
@given(st.lists(st.integers(-CLOCK, 3 * CLOCK), min_size=1, max_size=40), st.integers(0, 100))
def test_whatever_the_times_decoding_times_rise_and_showing_times_are_kept(times: list[int], first: int) -> None:
    samples, decoding = lay_out(times, [1] * len(times), [0], first, 3600)
    assert all(after > before for before, after in pairwise(decoding))
    assert decoding[0] >= first
    assert [time + sample.shift for time, sample in zip(decoding, samples, strict=True)] == times
    assert all(sample.duration > 0 for sample in samples)


@settings(max_examples=examples(200))
@given(st.lists(st.tuples(st.integers(0, 0xFFFF_FFFF), st.integers(0, 20 * SECOND)), max_size=60))
def test_whatever_a_camera_says_media_time_only_rises(steps: list[tuple[int, int]]) -> None:
    media = MediaTime()
    mono_us = peak = 0
    for stamp, waited in steps:
        mono_us += waited
        in_order = media.advance(stamp, mono_us)
        assert media.duration > 0
        assert not in_order or media.time >= peak
        assert media.peak >= peak
        peak = media.peak


def test_the_camera_offset_is_kept_beside_the_label() -> None:
    clip = film()
    recording = Recording(clip)
    shown = show(clip, 50)
    recording.play(shown)
    recording.segmenter.sender_report(START_US + 3600 * SECOND + 400_000, shown[10].stamp)
    end = recording.finish()[0].end
    assert end is not None
    assert end.rtcp_offset_us == 3600 * SECOND


def test_a_lone_parameter_set_of_nonsense_ends_the_session_not_the_recorder() -> None:
    recording = Recording(film(), sets=[])
    recording.feed(packet(b"\x67\xff", number=0, stamp=0), START_US)
    recording.feed(packet(b"\x68\xce", number=1, stamp=0), START_US)
    with pytest.raises(Exception, match="parameter set"):
        recording.feed(packet(b"\x65abc", number=2, stamp=0, marker=True), START_US)
    assert recording.finish() == []
