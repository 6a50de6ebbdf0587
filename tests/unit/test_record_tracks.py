"""Which tracks of a presentation are asked for: the video always, audio where it is wanted, nothing else ever."""

from pathlib import Path

import pytest

from edged.model import StreamKind
from edged.record.assignment import AssignedStream, Assignment, read_assignment, write_assignment
from edged.record.codecs.tracks import audio_format
from edged.record.net.rtsp import Lane, Playing, RtspClient
from edged.record.net.rtsp_message import parse_message
from edged.record.net.sdp import Codec, find_audio
from edged.record.quirks import Quirk

URL = "rtsp://camera.invalid/stream"
CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "captures" / "rtsp"
SDP = """v=0
a=control:*
m=application 0 RTP/AVP 107
a=control:trackID=4
a=rtpmap:107 vnd.onvif.metadata/90000
m=video 0 RTP/AVP 96
a=control:trackID=0
a=rtpmap:96 H265/90000
m=audio 0 RTP/AVP 8
a=control:trackID=1
a=rtpmap:8 PCMA/8000
m=audio 0 RTP/AVP 0
a=control:trackID=5
"""
ACCEPTED = "RTSP/1.0 200 OK\r\nSession: 77\r\n\r\n"


class Camera:
    """Shows SDP, and answers SETUP of each URL's end as it is told to, or accepts it."""

    def __init__(self, **refusals: str) -> None:
        self._refusals = refusals
        self.asked: list[str] = []

    def converse(self, *, audio: bool) -> Playing:
        conversation = RtspClient(URL, "", "", lambda: "0a4f113b", audio=audio).open()
        request = next(conversation)
        while True:
            answer = self._answer(request.decode()).encode()
            parsed = parse_message(answer, 0, len(answer))
            assert parsed is not None
            try:
                request = conversation.send(parsed[0])
            except StopIteration as end:
                playing: Playing = end.value
                return playing

    def _answer(self, request: str) -> str:
        self.asked.append(request)
        method, uri, _ = request.split(" ", 2)
        if method == "DESCRIBE":
            return f"RTSP/1.0 200 OK\r\nContent-Length: {len(SDP)}\r\n\r\n{SDP}"
        return self._refusals.get(f"track{uri[-1]}", ACCEPTED) if method == "SETUP" else ACCEPTED

    def set_up(self) -> list[str]:
        return [request.split(" ")[1] for request in self.asked if request.startswith("SETUP")]


def test_audio_is_off_unless_it_is_asked_for() -> None:
    camera = Camera()
    playing = camera.converse(audio=False)
    assert camera.set_up() == [f"{URL}/trackID=0"]
    assert (playing.video.codec, playing.audio, playing.lanes) == (Codec.H265, None, (Lane(0, 1),))


def test_audio_is_set_up_behind_the_video_and_metadata_never() -> None:
    camera = Camera()
    playing = camera.converse(audio=True)
    assert camera.set_up() == [f"{URL}/trackID=0", f"{URL}/trackID=1"]
    assert playing.audio is not None
    assert (playing.audio.codec, playing.audio.clock_rate) == (Codec.PCMA, 8000)
    assert playing.lanes == (Lane(0, 1), Lane(2, 3))
    assert "Session: 77\r\n" in camera.asked[-2], "one session for both tracks"


@pytest.mark.parametrize(
    "refusal",
    ["RTSP/1.0 461 Unsupported Transport", "RTSP/1.0 404 Not Found", "RTSP/1.0 200 OK\r\nTransport: RTP/AVP;multicast"],
)
def test_i6_audio_that_is_refused_does_not_stop_the_video(refusal: str) -> None:
    camera = Camera(track1=f"{refusal}\r\n\r\n")
    playing = camera.converse(audio=True)
    assert len(camera.set_up()) == 2
    assert camera.asked[-1].startswith("PLAY")
    assert (playing.audio, playing.lanes) == (None, (Lane(0, 1),))


def test_audio_that_cannot_be_recorded_is_said_and_not_recorded() -> None:
    said: list[Quirk] = []
    text = b"m=audio 0 RTP/AVP 97\na=rtpmap:97 mpeg4-generic/12345\na=fmtp:97 mode=AAC-hbr\n"
    assert audio_format(find_audio(text), said.append) is None
    assert said == [Quirk.AUDIO_UNUSABLE]
    assert find_audio(b"m=audio 0 RTP/AVP 98\na=rtpmap:98 G726-32/8000\n") is None


def test_an_assignment_written_before_there_was_audio(tmp_path: Path) -> None:
    stream = AssignedStream(
        camera="c1", stream=StreamKind.MAIN, url=URL, username="", password="", volume="v1", audio=True
    )
    path = tmp_path / "assignment.json"
    assignment = Assignment(
        generation=1,
        recorder="r1",
        segment_seconds=60.0,
        fragment_seconds=2.0,
        sync_seconds=1.0,
        volumes=(),
        streams=(stream,),
    )
    write_assignment(path, assignment)
    assert read_assignment(path).streams[0].audio
    older = path.read_bytes().replace(b'"audio":true,', b"")
    assert b"audio" not in older
    path.write_bytes(older)
    assert not read_assignment(path).streams[0].audio


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the recorded replies of real cameras are not here")
@pytest.mark.parametrize(
    ("name", "control", "rate", "codec"),
    [
        ("dahua_describe_h264_aac_onvif.txt", "trackID=1", 48_000, "mp4a.40.2"),
        ("dahua_describe_h265_pcma.txt", "trackID=1", 8000, "alaw"),
        ("foscam_describe.txt", "track2", 8000, "ulaw"),
        ("reolink_describe.txt", "trackID=2", 16_000, "mp4a.40.2"),
        ("tplink_sdp.txt", "track2", 8000, "alaw"),
    ],
)
def test_recorded_descriptions(name: str, control: str, rate: int, codec: str) -> None:
    raw = (CAPTURES / name).read_bytes()
    found = find_audio(raw.partition(b"\r\n\r\n")[2] if raw.startswith(b"RTSP/") else raw)
    assert found is not None
    described = audio_format(found, lambda quirk: None)
    assert described is not None
    assert (found.control, described.rate, described.codec) == (control, rate, codec)
