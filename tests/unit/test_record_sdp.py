"""What is read out of an SDP: cameras' own ones, and the oddities they are known for."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.record.buffers import FrameBuffer, Shelf
from edged.record.codecs.tracks import video_receiver
from edged.record.errors import BadStream
from edged.record.net.rtsp_message import parse_message
from edged.record.net.sdp import find_video

CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "captures" / "rtsp"
captures = pytest.mark.skipif(not CAPTURES.is_dir(), reason="the recorded replies of real cameras are not here")


def body(name: str) -> bytes:
    raw = (CAPTURES / name).read_bytes()
    if not raw.startswith(b"RTSP/"):
        return raw
    # Some of these were edited by hand after recording, so their Content-Length may not fit any more.
    return raw.partition(b"\r\n\r\n")[2]


@captures
@pytest.mark.parametrize(
    ("name", "control", "codec", "size"),
    [
        ("hikvision_describe.txt", "rtsp://192.168.5.106:554/", "avc1.4d0029", (1920, 1080)),
        ("dahua_describe_h264_aac_onvif.txt", "trackID=0", "avc1.64001e", (704, 480)),
        ("reolink_describe.txt", "trackID=1", "avc1.640033", (2560, 1440)),
        ("reolink_describe_control_first.txt", "trackID=1", "avc1.640033", (2560, 1440)),
        ("bunny_describe.txt", "trackID=2", "avc1.42c01e", (240, 160)),
        ("foscam_describe.txt", "track1", "avc1.4d001f", (1280, 720)),
        ("missing_content_type_describe.txt", "streamid=0", "avc1.64000d", (320, 180)),
        ("dahua_describe_h265_pcma.txt", "trackID=0", "hvc1.1.6.L90.B0", (704, 480)),
        ("tplink_sdp.txt", "track1", "hvc1.1.6.L150", (2560, 1440)),
    ],
)
def test_recorded_descriptions(name: str, control: str, codec: str, size: tuple[int, int]) -> None:
    video = find_video(body(name))
    assert video.control is not None
    assert video.control.startswith(control)
    receiver = video_receiver(video, FrameBuffer(Shelf()), lambda *_: None, lambda quirk: None)
    found = receiver._describe()
    assert found is not None
    assert (found.codec, (found.width, found.height)) == (codec, size)


@captures
def test_a_damaged_parameter_set_does_not_matter() -> None:
    video = find_video(body("ipcam_describe.txt"))
    assert video.control == "trackID=1"
    assert video.payload_type == 96


@captures
def test_recorded_bodies_are_whole() -> None:
    raw = (CAPTURES / "hikvision_describe.txt").read_bytes()
    parsed = parse_message(raw, 0, len(raw))
    assert parsed is not None
    assert parsed[0].body.startswith(b"v=0")


def test_two_tracks_with_one_payload_type_and_blanks_everywhere() -> None:
    video = find_video(
        b"v=0\na=control: *\nm=audio 0 RTP/AVP 96\na=rtpmap:96 PCMA/8000\na=control:audio\n"
        b"m=video 0 RTP/AVP  96 \n a=rtpmap:96\tnothing\na=control:video\na=rtpmap:96 h264/90000 \na=fmtp:96 \n"
    )
    assert (video.control, video.session_control, video.payload_type) == ("video", "*", 96)


def test_no_video_at_all() -> None:
    with pytest.raises(BadStream):
        find_video(b"v=0\nm=audio 0 RTP/AVP 0\n")


@given(st.binary(max_size=400))
def test_any_bytes_are_described_or_refused(text: bytes) -> None:
    for prefix in (b"", b"v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na="):
        with contextlib.suppress(BadStream):
            assert find_video(prefix + text).payload_type < 128
