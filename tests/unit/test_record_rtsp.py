"""The RTSP conversation, with the test as the camera, and the replies of real ones."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.record.errors import BadStream, CameraRefused, Closed, WrongCredentials
from edged.record.net.rtsp import Conversation, Lane, LeftSession, Playing, RtspClient
from edged.record.net.rtsp_auth import Credentials
from edged.record.net.rtsp_message import BODY_LIMIT, HEAD_LIMIT, Message, parse_message

CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "captures" / "rtsp"
URL = "rtsp://camera.invalid/stream"
SDP = b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=1\r\n"
DESCRIBED = f"RTSP/1.0 200 OK\r\nCSeq: {{cseq}}\r\nContent-Length: {len(SDP)}\r\n\r\n{SDP.decode()}"
captures = pytest.mark.skipif(not CAPTURES.is_dir(), reason="the recorded replies of real cameras are not here")


def recorded(name: str) -> bytes:
    """The reply, with the length its body has: addresses were replaced in some bodies after recording."""
    head, blank, body = (CAPTURES / name).read_bytes().partition(b"\r\n\r\n")
    return re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(body), head) + blank + body


def parse(raw: bytes) -> Message:
    parsed = parse_message(raw, 0, len(raw))
    assert parsed is not None
    assert parsed[1] == len(raw)
    return parsed[0]


class Camera:
    """Answers by method; keeps what it was asked."""

    def __init__(self, **answers: str | bytes | Callable[[str], str | bytes]) -> None:
        self.answers = {
            "OPTIONS": "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nPublic: OPTIONS, DESCRIBE\r\n\r\n",
            "DESCRIBE": DESCRIBED,
            "SETUP": "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 77;timeout=30\r\n"
            "Transport: RTP/AVP/TCP;unicast;interleaved=2-3\r\n\r\n",
            "PLAY": "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n\r\n",
            **answers,
        }
        self.asked: list[str] = []

    def reply(self, request: bytes) -> Message:
        text = request.decode()
        self.asked.append(text)
        answer = self.answers[text.split(" ", 1)[0]]
        if not isinstance(answer, str | bytes):
            answer = answer(text)
        if isinstance(answer, str):
            cseq = re.search(r"CSeq: (\d+)", text)
            assert cseq is not None
            answer = answer.replace("{cseq}", cseq[1]).encode()
        return parse(re.sub(rb"(?i)cseq: \d+", b"X-Was", answer) if b"X-Recorded" in answer else answer)

    def converse(self, conversation: Conversation) -> Playing:
        request = next(conversation)
        while True:
            try:
                request = conversation.send(self.reply(request))
            except StopIteration as end:
                playing = end.value
                assert isinstance(playing, Playing)
                return playing

    def lines(self) -> list[str]:
        return [request.split("\r\n", 1)[0] for request in self.asked]


def client(url: str = URL, username: str = "", password: str = "") -> RtspClient:
    return RtspClient(url, username, password, lambda: "0a4f113b")


def test_the_straight_conversation() -> None:
    camera, rtsp = Camera(), client()
    playing = camera.converse(rtsp.open())
    assert camera.lines() == [
        f"OPTIONS {URL} RTSP/1.0",
        f"DESCRIBE {URL} RTSP/1.0",
        f"SETUP {URL}/trackID=1 RTSP/1.0",
        f"PLAY {URL} RTSP/1.0",
    ]
    assert (playing.lanes, playing.timeout_seconds) == ((Lane(2, 3),), 30)
    assert "Session: 77\r\n" in camera.asked[-1]
    assert rtsp.teardown().startswith(f"TEARDOWN {URL} RTSP/1.0\r\n".encode())


def test_no_goodbye_without_a_session() -> None:
    assert client().teardown() == b""


def test_credentials_in_the_url_are_never_sent() -> None:
    camera = Camera()
    camera.converse(client("rtsp://user:hidden@camera.invalid/stream").open())
    assert not any("hidden" in request for request in camera.asked)


CHALLENGE = 'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b", opaque="5ccc069c"'


def needs_login(challenge: str, *, nonces: int = 1, password: str = "secret") -> Callable[[str], str | bytes]:
    """A DESCRIBE that wants digest, and calls the nonce stale `nonces` - 1 times."""
    left = [nonces]

    def answer(request: str) -> str | bytes:
        given_header = re.search(r'username="(.*?)".*nonce="(.*?)".*response="(\w+)"', request)
        if given_header is None or left[0] > 0:
            left[0] -= 1
            stale = ", stale=true" if given_header else ""
            return f"RTSP/1.0 401 Unauthorized\r\nCSeq: {{cseq}}\r\nWWW-Authenticate: {challenge}{stale}\r\n\r\n"
        ha1 = hashlib.md5(f"admin:testrealm@host.com:{password}".encode()).hexdigest()
        ha2 = hashlib.md5(f"DESCRIBE:{URL}".encode()).hexdigest()
        middle = "dcd98b"
        if "qop=auth" in request:
            found = re.search(r'nc=(\w+), cnonce="(\w+)"', request)
            assert found is not None
            middle = f"dcd98b:{found[1]}:{found[2]}:auth"
        if given_header[3] != hashlib.md5(f"{ha1}:{middle}:{ha2}".encode()).hexdigest():
            return f"RTSP/1.0 401 Unauthorized\r\nCSeq: {{cseq}}\r\nWWW-Authenticate: {challenge}\r\n\r\n"
        return DESCRIBED

    return answer


@pytest.mark.parametrize("challenge", [CHALLENGE, 'Digest realm="testrealm@host.com", nonce="dcd98b"'])
@pytest.mark.parametrize("nonces", [1, 2])
def test_digest_with_and_without_qop_and_a_stale_nonce(challenge: str, nonces: int) -> None:
    camera = Camera(DESCRIBE=needs_login(challenge, nonces=nonces))
    camera.converse(client(username="admin", password="secret").open())
    assert camera.lines()[-1].startswith("PLAY")
    assert "secret" not in "".join(camera.asked)


@pytest.mark.parametrize(("username", "password"), [("admin", "wrong"), ("", "")])
def test_wrong_or_no_credentials_are_the_owners_business(username: str, password: str) -> None:
    camera = Camera(DESCRIBE=needs_login(CHALLENGE))
    with pytest.raises(WrongCredentials):
        camera.converse(client(username=username, password=password).open())
    assert len(camera.asked) <= 3, "hammering with a wrong password locks accounts"


def test_the_digest_of_the_rfc() -> None:
    """RFC 2617, 3.5."""
    credentials = Credentials("Mufasa", "Circle Of Life", lambda: "0a4f113b")
    assert credentials.challenge(
        ['Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"']
    )
    header = credentials.header("GET", "/dir/index.html")
    assert header is not None
    assert 'response="6629fae49393a05397450978507c4ef1"' in header


def test_digest_is_preferred_to_basic_and_basic_is_answered() -> None:
    both = Credentials("u", "p", lambda: "c")
    assert both.challenge(['Basic realm="x"', 'Digest realm="x", nonce="n"'])
    assert (both.header("PLAY", URL) or "").startswith("Digest ")
    basic = Credentials("u", "p", lambda: "c")
    assert basic.challenge(['Basic realm="x"'])
    assert basic.header("PLAY", URL) == "Basic dTpw"
    assert not Credentials("u", "p", lambda: "c").challenge(["Negotiate"])


@pytest.mark.parametrize("status", [403, 404, 454, 461, 500, 503])
def test_an_error_in_reply_is_a_refusal(status: int) -> None:
    camera = Camera(SETUP=f"RTSP/1.0 {status} No\r\nCSeq: {{cseq}}\r\n\r\n")
    with pytest.raises(CameraRefused, match=str(status)):
        camera.converse(client().open())


def test_refused_options_do_not_matter() -> None:
    camera = Camera(OPTIONS="RTSP/1.0 501 Not Implemented\r\nCSeq: {cseq}\r\n\r\n")
    assert camera.converse(client().open()).lanes[0].rtp_channel == 2


def test_late_replies_and_the_cameras_own_requests_are_not_the_answer() -> None:
    conversation = client().open()
    next(conversation)
    assert conversation.send(parse(b"ANNOUNCE rtsp://x RTSP/1.0\r\nCSeq: 1\r\n\r\n")) == b""
    assert conversation.send(parse(b"RTSP/1.0 200 OK\r\nCSeq: 99\r\n\r\n")) == b""
    assert conversation.send(parse(b"RTSP/1.0 200 OK\r\n\r\n")).startswith(b"DESCRIBE"), "no CSeq at all may be it"


def test_udp_is_turned_down() -> None:
    setup = "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 1\r\nTransport: RTP/AVP;unicast;client_port=5000-5001\r\n\r\n"
    with pytest.raises(BadStream):
        Camera(SETUP=setup).converse(client().open())


# --- keeping alive -------------------------------------------------------------------------------------------------


def playing_client(public: str, **answers: str | Callable[[str], str | bytes]) -> RtspClient:
    rtsp = client(username="admin", password="secret")
    Camera(OPTIONS=f"RTSP/1.0 200 OK\r\nCSeq: {{cseq}}\r\nPublic: {public}\r\n\r\n", **answers).converse(rtsp.open())
    return rtsp


def answered(rtsp: RtspClient, request: bytes, status: str) -> bytes:
    cseq = re.search(rb"CSeq: (\d+)", request)
    assert cseq is not None
    return rtsp.on_message(parse(f"RTSP/1.0 {status}\r\nCSeq: {int(cseq[1])}\r\n\r\n".encode()))


def test_get_parameter_where_it_is_offered_and_options_where_that_fails() -> None:
    rtsp = playing_client("OPTIONS, GET_PARAMETER")
    ping = rtsp.keep_alive()
    assert ping.startswith(b"GET_PARAMETER ")
    assert b"Session: 77" in ping
    assert answered(rtsp, ping, "405 Method Not Allowed").startswith(b"OPTIONS ")
    assert rtsp.keep_alive().startswith(b"OPTIONS ")


def test_options_where_nothing_else_is_offered() -> None:
    assert playing_client("OPTIONS, PLAY").keep_alive().startswith(b"OPTIONS ")


def test_a_forgotten_session_ends_it() -> None:
    rtsp = playing_client("OPTIONS")
    with pytest.raises(Closed):
        answered(rtsp, rtsp.keep_alive(), "454 Session Not Found")


def test_a_camera_that_sends_its_viewers_elsewhere_while_it_plays_is_called_again() -> None:
    """RFC 2326, 10.10."""
    rtsp = playing_client("OPTIONS")
    with pytest.raises(Closed):
        rtsp.on_message(parse(b"REDIRECT rtsp://camera.invalid/ RTSP/1.0\r\nCSeq: 732\r\n\r\n"))
    assert rtsp.teardown().startswith(b"TEARDOWN "), "the session is still to be ended"


def test_a_session_left_behind_is_ended_by_the_next_conversation() -> None:
    camera = Camera(TEARDOWN="RTSP/1.0 454 Session Not Found\r\nCSeq: {cseq}\r\n\r\n")
    camera.converse(client().open(left=LeftSession("older", URL + "/old")))
    methods = [line.split(" ")[0] for line in camera.lines()]
    assert methods == ["OPTIONS", "TEARDOWN", "DESCRIBE", "SETUP", "PLAY"]
    assert camera.lines()[1] == f"TEARDOWN {URL}/old RTSP/1.0"
    assert "Session: older\r\n" in camera.asked[1]


def udp_transport(line: str) -> tuple[int, int] | None:
    camera = Camera(SETUP=f"RTSP/1.0 200 OK\r\nCSeq: {{cseq}}\r\nSession: 7\r\n{line}\r\n")
    playing = camera.converse(client().open(lambda: (5004, 5005)))
    assert "Transport: RTP/AVP;unicast;client_port=5004-5005\r\n" in camera.asked[2]
    assert playing.lanes[0].own_ports == (5004, 5005)
    return playing.lanes[0].camera_ports


@pytest.mark.parametrize(
    ("line", "ports"),
    [
        ("Transport: RTP/AVP;unicast;client_port=5004-5005;server_port=6000-6001\r\n", (6000, 6001)),
        ("Transport: RTP/AVP/UDP;unicast;client_port=5004-5005;server_port=6000\r\n", (6000, 6001)),
        ("Transport: RTP/AVP;unicast;client_port=5004-5005\r\n", None),
        ("Transport: RTP/AVP;unicast;server_port=0-0\r\n", None),
        ("Transport: RTP/AVP;unicast;server_port=70000-70001\r\n", None),
        ("", None),
    ],
)
def test_where_a_camera_sends_udp_from(line: str, ports: tuple[int, int] | None) -> None:
    assert udp_transport(line) == ports


@pytest.mark.parametrize("line", ["Transport: RTP/AVP/TCP;interleaved=0-1\r\n", "Transport: RTP/AVP;multicast\r\n"])
def test_another_transport_than_the_one_asked_for_is_refused(line: str) -> None:
    with pytest.raises(BadStream, match="unicast UDP"):
        udp_transport(line)


def test_a_stale_nonce_while_playing_is_answered_once() -> None:
    rtsp = playing_client("OPTIONS", DESCRIBE=needs_login(CHALLENGE))
    rtsp.keep_alive()
    fresh = parse(b'RTSP/1.0 401 No\r\nWWW-Authenticate: Digest realm="r", nonce="new", stale=true\r\n\r\n')
    again = rtsp.on_message(fresh)
    assert b'nonce="new"' in again
    assert rtsp.on_message(fresh) == b"", "and no third time"


# --- messages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n",
        b"RTSP/1.0 200 OK\nCSeq:1\n\n",
        b"\r\n\r\nRTSP/1.0 200 OK\r\nno colon here\r\ncseq :   1\r\n\r\n",
        b"RTSP/1.0 200\r\nCSeq: 1\r\nX: a\r\n folded\r\n\r\n",
    ],
)
def test_what_sloppy_cameras_send_is_understood(raw: bytes) -> None:
    message = parse(raw)
    assert (message.status, message.cseq()) == (200, 1)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"\x00\x01\x02\x03",
        b"RTSP/1.0 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % (BODY_LIMIT + 1),
        b"RTSP/1.0 200 OK\r\n" + b"X: y\r\n" * HEAD_LIMIT,
    ],
)
def test_what_is_no_message_or_too_much_is_refused(raw: bytes) -> None:
    with pytest.raises(BadStream):
        parse_message(raw, 0, len(raw))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_too_little_or_refused(raw: bytes) -> None:
    try:
        parsed = parse_message(raw, 0, len(raw))
    except BadStream:
        return
    assert parsed is None or 0 < parsed[1] <= len(raw)


@given(st.integers(0, 200))
def test_a_message_cut_anywhere_is_too_little(cut: int) -> None:
    raw = b"RTSP/1.0 200 OK\r\nCSeq: 7\r\nContent-Length: 5\r\n\r\nhello"
    if cut < len(raw):
        assert parse_message(raw, 0, cut) is None
    else:
        assert parse(raw).body == b"hello"


# --- real cameras --------------------------------------------------------------------------------------------------


@captures
@pytest.mark.parametrize(
    ("maker", "setup_uri", "timeout"),
    [
        ("hikvision", "/Streaming/Channels/101/trackID=1?transportmode=unicast&profile=Profile_1", 60),
        ("reolink", "/h264Preview_01_main/trackID=1", 60),
        ("bunny", "/vod/mp4:BigBuckBunny_115k.mov/trackID=2", 60),
    ],
)
def test_recorded_conversations(maker: str, setup_uri: str, timeout: int) -> None:
    def replay(name: str) -> bytes:
        return recorded(f"{maker}_{name}.txt").replace(b"\r\n", b"\r\nX-Recorded: 1\r\n", 1)

    camera = Camera(DESCRIBE=replay("describe"), SETUP=replay("setup"), PLAY=replay("play"))
    playing = camera.converse(client().open())
    assert (playing.lanes, playing.timeout_seconds) == ((Lane(0, 1),), timeout)
    assert camera.lines()[2].endswith(f"{setup_uri} RTSP/1.0")
    assert "Session: " in camera.asked[3]
    assert not re.search(r"Session: +;|Session:  ", camera.asked[3]), "blanks around the session are not part of it"


@captures
@pytest.mark.parametrize("name", ["hikvision_setup_ssrc_space.txt", "dahua_setup.txt"])
def test_recorded_setups(name: str) -> None:
    camera = Camera(SETUP=recorded(name).replace(b"\r\n", b"\r\nX-Recorded: 1\r\n", 1))
    assert camera.converse(client().open()).timeout_seconds == 60


@captures
def test_every_recorded_reply_is_understood() -> None:
    for path in sorted(CAPTURES.glob("*.txt")):
        raw = recorded(path.name)
        if raw.startswith(b"RTSP/"):
            assert parse_message(raw, 0, len(raw)) is not None, path.name
