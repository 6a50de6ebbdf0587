"""The recorded replies of real cameras, replayed word for word to a recorder; and the quirks that such replies prove.

One recorder records all of these cameras at once; each test looks at its own.
"""

import asyncio
import contextlib
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from simulators.clip import Clip, make_clip
from simulators.film import ClipSpec
from simulators.judge import check_gapless, read_frames
from simulators.rtsp_message import Request
from tests.film_proof import prove_all
from tests.recorder_kit import Site, stream_of, until
from tests.replay_camera import CAPTURES, Beginning, ReplayCamera, Reply, recorded, reply, serving

FRAMES = 100  # four seconds, in which every camera begins at least two segments
PATIENCE_S = 15.0
DIES_AFTER_S = 2.0  # instead of the 65 s of the camera that this was seen at
NAMES = (
    *("hikvision", "hikvision-ssrc", "dahua", "reolink", "reolink-control", "bunny", "bad-rtptime", "foscam", "ipcam"),
    *("no-content-type", "no-session-control", "vendor-media", "blanks", "base-without-scheme", "base-is-a-path"),
    *("one-payload-type", "old-digest", "odd-uri", "dies-silently", "ping-405", "ping-501", "dahua-h265", "tp-link"),
)
pytestmark = pytest.mark.skipif(not CAPTURES.is_dir(), reason="the recorded replies of real cameras are not here")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one camera was asked, and what became of what it showed."""

    camera: ReplayCamera
    files: list[Path]
    site: Site
    sessions: int
    state: str

    def asked(self, method: str) -> Request:
        return next(request for request in self.camera.asked if request.method == method)


def conversation(describe: str, setup: str = "", play: str = "", **more: Reply) -> dict[str, Reply]:
    replies: dict[str, Reply] = {"DESCRIBE": recorded(describe), **more}
    if setup:
        replies["SETUP"] = recorded(setup)
    if play:
        replies["PLAY"] = recorded(play)
    return replies


def film(codec: str = "h264") -> Clip:
    return make_clip(ClipSpec(width=320, height=184, gop=25, bitrate=300_000, codec=codec))


def described(*lines: str, base: str | None = None, content_type: bool = True) -> dict[str, Reply]:
    headers = [] if base is None else [f"Content-Base: {base}"]
    headers += ["Content-Type: application/sdp"] * content_type
    return {"DESCRIBE": reply(*headers, body="\r\n".join(("v=0", "s=-", "t=0 0", *lines, "")).encode())}


VIDEO = ("m=video 0 RTP/AVP 96", "a=rtpmap:96 H264/90000", "a=control:track1")


def refusing_pings(status: str) -> dict[str, Reply]:
    """GET_PARAMETER is advertised and refused; only OPTIONS keeps the session alive."""
    return {
        **described(*VIDEO),
        "OPTIONS": reply("Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, TEARDOWN"),
        "GET_PARAMETER": reply(status=status),
        "SETUP": reply("Session: 77;timeout=2", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"),
    }


def old_digest(request: Request) -> bool:
    """Whether the request answers a challenge that names neither qop nor algorithm (RFC 2069)."""
    answer = dict(re.findall(r'(\w+)="([^"]*)"', request.headers.get("authorization", "")))

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    wanted = md5(f"{md5('admin:IP Camera:secret')}:5eb1:{md5(f'{request.method}:{request.uri}')}")
    return answer.get("response") == wanted and "qop" not in answer


def protected() -> dict[str, Reply]:
    def guard(inner: Reply) -> Reply:
        def answer(request: Request) -> bytes | None:
            if not old_digest(request):
                challenge = 'WWW-Authenticate: Digest realm="IP Camera",nonce="5eb1"'
                return reply(challenge, status="401 Unauthorized")
            return inner if isinstance(inner, bytes) else inner(request)

        return answer

    plain: dict[str, Reply] = {
        **described(*VIDEO),
        "SETUP": reply("Session: 77;timeout=60", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"),
        "PLAY": reply(),
    }
    return {method: guard(inner) for method, inner in plain.items()}


def cameras() -> dict[str, ReplayCamera]:
    clip = film()
    hikvision = ("hikvision_setup.txt", "hikvision_play.txt")
    goodbye = recorded("reolink_teardown.txt")
    reolink = ("reolink_setup.txt", "reolink_play.txt")
    dahua = conversation(
        "dahua_describe_h264_aac_onvif.txt", "dahua_setup.txt", "dahua_play.txt", OPTIONS=recorded("dahua_options.txt")
    )
    bunny = ("bunny_describe.txt", "bunny_setup.txt")
    told = {
        "hikvision": ReplayCamera(
            conversation("hikvision_describe.txt", *hikvision), clip, begin=Beginning(24104, 1270711678)
        ),
        "hikvision-ssrc": ReplayCamera(conversation("hikvision_describe.txt", "hikvision_setup_ssrc_space.txt"), clip),
        "dahua": ReplayCamera(dahua, clip, begin=Beginning(47121, 3475222385)),
        "reolink": ReplayCamera(
            conversation("reolink_describe.txt", *reolink, TEARDOWN=goodbye), clip, begin=Beginning(16852, 1070938629)
        ),
        "reolink-control": ReplayCamera(
            conversation("reolink_describe_control_first.txt", *reolink, TEARDOWN=goodbye), clip
        ),
        "bunny": ReplayCamera(conversation(*bunny, "bunny_play.txt"), clip, payload_type=97, begin=Beginning(1, 0)),
        "bad-rtptime": ReplayCamera(conversation(*bunny, "bad_rtptime.txt"), clip, payload_type=97),
        "foscam": ReplayCamera(conversation("foscam_describe.txt"), clip),
        "ipcam": ReplayCamera(conversation("ipcam_describe.txt"), clip),
        "no-content-type": ReplayCamera(conversation("missing_content_type_describe.txt"), clip),
        "no-session-control": ReplayCamera(described(*VIDEO), clip),
        "vendor-media": ReplayCamera(
            described(
                "m=application/TP-LINK 0 RTP/AVP smart/1/90000", "a=rtpmap:95 TP-LINK/90000", "a=control:t3", *VIDEO
            ),
            clip,
        ),
        "blanks": ReplayCamera(
            described(
                "m=video 0 RTP/AVP 96 \t", "a=rtpmap:96\t H264/90000 ", "a=fmtp:96 ", "a=control: track1 ", "a=fmtp:96"
            ),
            clip,
        ),
        "base-without-scheme": ReplayCamera(described("a=control:*", *VIDEO, base="192.0.2.7/stream/"), clip),
        "base-is-a-path": ReplayCamera(described("a=control:*", *VIDEO, base="/stream/"), clip),
        "one-payload-type": ReplayCamera(
            described("m=audio 0 RTP/AVP 96", "a=rtpmap:96 PCMA/8000", "a=control:sound", *VIDEO), clip
        ),
        "old-digest": ReplayCamera(protected(), clip),
        "odd-uri": ReplayCamera(described(*VIDEO), clip, path="/user=a_password=b_channel=1_stream=0.sdp?real_stream"),
        "dies-silently": ReplayCamera(
            {
                **described(*VIDEO),
                "SETUP": reply(
                    f"Session: 77;timeout={DIES_AFTER_S:g}", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"
                ),
            },
            clip,
            dies_after_s=DIES_AFTER_S,
        ),
        "ping-405": ReplayCamera(refusing_pings("405 Method Not Allowed"), clip, dies_after_s=3.0),
        "ping-501": ReplayCamera(refusing_pings("501 Not Implemented"), clip, dies_after_s=3.0),
    }
    h265 = film("h265")
    told["dahua-h265"] = ReplayCamera(
        conversation("dahua_describe_h265_pcma.txt", "dahua_setup.txt", "dahua_play.txt"), h265, payload_type=98
    )
    told["tp-link"] = ReplayCamera(
        {"DESCRIBE": reply("Content-Type: application/sdp", body=recorded("tplink_sdp.txt"))}, h265
    )
    for number, camera in enumerate(told.values(), start=1):
        camera.number = number
    return told


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    shown = cameras()
    assert tuple(shown) == NAMES
    return asyncio.run(record_all(shown, Site(tmp_path_factory.mktemp("captures"))))


async def record_all(shown: dict[str, ReplayCamera], site: Site) -> dict[str, Outcome]:
    async with serving(list(shown.values())):
        for name, camera in shown.items():
            site.record(name, camera.url)
        site.assign()
        async with site.recorder():
            with contextlib.suppress(AssertionError):  # one that does not play is that one's failure
                await until(lambda: all(camera.shown >= FRAMES for camera in shown.values()), PATIENCE_S)
            status = await site.status(lambda status: status.generation == site.generation)
        return {
            name: Outcome(
                camera,
                site.recording(name),
                site,
                stream_of(status, name).sessions,
                stream_of(status, name).state,
            )
            for name, camera in shown.items()
        }


@pytest.mark.parametrize("name", NAMES)
def test_i4_every_frame_it_showed_is_recorded_once_and_decodes(name: str, outcomes: dict[str, Outcome]) -> None:
    seen = outcomes[name]
    assert (seen.state, seen.sessions) == ("streaming", 1)
    facts = seen.site.segments(camera=name)
    assert len(facts) >= 2
    prove_all(seen.files, facts)
    frames = [frame for file in seen.files for frame in read_frames(file)]
    assert check_gapless(frames).ok
    assert (frames[0].counter, len(frames)) == (0, seen.camera.shown)
    assert {frame.camera for frame in frames} == {seen.camera.number}
    assert sum(fact.lost_packets for fact in facts) == 0


@pytest.mark.parametrize("name", NAMES)
def test_every_session_is_torn_down_once(name: str, outcomes: dict[str, Outcome]) -> None:
    methods = outcomes[name].camera.methods()
    assert (methods.count("PLAY"), methods.count("TEARDOWN")) == (1, 1)
    assert methods[-1] == "TEARDOWN"


HIKVISION = "rtsp://192.168.5.106:554/Streaming/Channels/101/"
DAHUA = "rtsp://192.168.5.111:554/cam/realmonitor?channel=1&subtype=1&unicast=true&proto=Onvif/"
BUNNY = "rtsp://wowzaec2demo.streamlock.net/vod/mp4:BigBuckBunny_115k.mov/"


@pytest.mark.parametrize(
    ("name", "setup", "play", "session"),
    [
        (
            "hikvision",
            f"{HIKVISION}trackID=1?transportmode=unicast&profile=Profile_1",
            f"{HIKVISION}?transportmode=unicast&profile=Profile_1",
            "708345999",
        ),
        ("dahua", f"{DAHUA}trackID=0", DAHUA, "634214675641"),
        (
            "reolink",
            "rtsp://192.168.5.206/h264Preview_01_main/trackID=1",
            "rtsp://192.168.5.206/h264Preview_01_main/",
            "F8F8E425",
        ),
        ("bunny", f"{BUNNY}trackID=2", BUNNY, "1642021126"),
    ],
)
def test_each_brand_is_asked_for_its_own_addresses(
    name: str, setup: str, play: str, session: str, outcomes: dict[str, Outcome]
) -> None:
    seen = outcomes[name]
    assert seen.asked("SETUP").uri == setup
    assert seen.asked("PLAY").uri == play
    assert {seen.asked(method).headers["session"] for method in ("PLAY", "TEARDOWN")} == {session}


def test_only_the_video_of_several_tracks_is_set_up(outcomes: dict[str, Outcome]) -> None:
    for name in ("dahua", "reolink", "bunny", "foscam", "one-payload-type", "vendor-media", "dahua-h265", "tp-link"):
        assert outcomes[name].camera.methods().count("SETUP") == 1, name


@pytest.mark.parametrize("name", ["no-session-control", "base-without-scheme", "base-is-a-path", "blanks", "odd-uri"])
def test_a_relative_control_follows_the_streams_own_url(name: str, outcomes: dict[str, Outcome]) -> None:
    seen = outcomes[name]
    assert seen.asked("DESCRIBE").uri == seen.camera.url
    assert seen.asked("SETUP").uri == f"{seen.camera.url}/track1"


def test_a_challenge_without_qop_or_algorithm_is_answered(outcomes: dict[str, Outcome]) -> None:
    seen = outcomes["old-digest"]
    for method in ("DESCRIBE", "SETUP", "PLAY"):
        last = [request for request in seen.camera.asked if request.method == method][-1]
        assert old_digest(last)


def test_a_session_that_would_die_silently_is_kept_alive(outcomes: dict[str, Outcome]) -> None:
    seen = outcomes["dies-silently"]
    assert seen.camera.shown >= FRAMES > DIES_AFTER_S * 25
    assert seen.camera.methods().count("OPTIONS") >= 3


@pytest.mark.parametrize("name", ["ping-405", "ping-501"])
def test_where_get_parameter_is_refused_options_keep_the_session(name: str, outcomes: dict[str, Outcome]) -> None:
    methods = outcomes[name].camera.methods()
    assert methods.count("GET_PARAMETER") == 1
    assert methods.count("OPTIONS") >= 3


def test_i9_no_address_of_a_reply_was_ever_dialled_or_written_down(outcomes: dict[str, Outcome]) -> None:
    journal = outcomes["hikvision"].site.path() / "journal"
    lines = b"".join(day.read_bytes() for day in journal.glob("*/*"))
    for foreign in (b"192.168.", b"streamlock", b"trackID", b"rtsp://"):
        assert foreign not in lines
