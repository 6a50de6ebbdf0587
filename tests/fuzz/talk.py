"""The cores of the conversation: messages, the session's opening, logins, descriptions. See `cores`."""

import contextlib

from edged.record.errors import BadStream, StreamFailed
from edged.record.net.replies import find_reply
from edged.record.net.rtsp import Redirected, RtspClient
from edged.record.net.rtsp_auth import Credentials
from edged.record.net.rtsp_message import BODY_LIMIT, Message, parse_message
from edged.record.net.sdp import find_audio, find_video
from tests.fuzz.dice import Dice

LONGEST_OPENING = 2500  # replies: a hundred the camera was not asked for, before each answer to each attempt
_ASKED = ("OPTIONS", "DESCRIBE", "SETUP", "PLAY", "GET_PARAMETER", "TEARDOWN")
_HEADERS = (
    "Content-Base",
    "Content-Location",
    "Content-Type",
    "Location",
    "Public",
    "RTP-Info",
    "Session",
    "Transport",
    "WWW-Authenticate",
)


def messages(data: bytes) -> None:
    """A message is the same however the network cuts it up, and never larger than the limits."""
    at = 0
    while at < len(data):
        try:
            parsed = parse_message(data, at, len(data))
        except BadStream:
            return
        if parsed is None:
            return
        message, stop = parsed
        assert at < stop <= len(data)
        assert len(message.body) <= BODY_LIMIT
        for early in {at + 1, (at + stop) // 2, stop - 1} - {at, stop}:
            assert parse_message(data, at, early) is None, "half of a message is refused, or is another message"
        at = stop


def conversation(data: bytes) -> None:
    """Whatever a camera replies, what it is asked is well-formed, and the opening ends."""
    dice = Dice(data)
    client = RtspClient("rtsp://camera.invalid/stream", "viewer", "Pass-Word", lambda: "00ff")
    opening = client.open((lambda: (40_000, 40_001)) if dice.byte() & 1 else None)
    with contextlib.suppress(StreamFailed, Redirected):
        asked = next(opening)
        for _ in range(LONGEST_OPENING):
            _check_request(asked)
            try:
                asked = opening.send(_reply(dice, asked))
            except StopIteration:
                break
        else:
            raise AssertionError("the opening does not end")
        while dice.left:
            _check_request(client.keep_alive())
            _check_request(client.on_message(_reply(dice, b"")))
        _check_request(client.teardown())


def challenges(data: bytes) -> None:
    """Whatever a camera challenges with, the answer is one header's value and does not hold the password."""
    dice = Dice(data)
    credentials = Credentials("viewer", "Pass-Word", lambda: "00ff")
    while dice.left:
        offers = [dice.portion().decode("utf-8", "replace") for _ in range(1 + dice.byte() % 3)]
        offers = [" ".join(offer.splitlines()) for offer in offers]  # as the parser of messages gives them
        if not credentials.challenge(offers):
            continue
        for method in _ASKED[:2]:
            answer = credentials.header(method, "rtsp://camera.invalid/stream")
            assert answer is not None
            assert "Pass-Word" not in answer
            assert len(answer.splitlines()) == 1


def replies(data: bytes) -> None:
    """At the end of a session a reply is found behind anything, and what is passed over does not pile up."""
    kept = bytearray()
    for at in range(0, len(data), 61):
        kept += data[at : at + 61]
        while find_reply(kept) is not None:
            pass
    before = len(kept)
    assert find_reply(kept) is None
    assert len(kept) == before, "what was looked through once is looked through again"


def descriptions(data: bytes) -> None:
    """Any SDP is described or refused, and never names what could not be written down."""
    for text in (data, b"v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=" + data):
        with contextlib.suppress(BadStream):
            video = find_video(text)
            assert 0 <= video.payload_type < 128
            assert all(video.parameter_sets)
            assert all(0 <= side < 1 << 16 for side in video.size)
        audio = find_audio(text)
        assert audio is None or (audio.clock_rate > 0 and 0 < audio.channels <= 8)


def _reply(dice: Dice, asked: bytes) -> Message:
    """A reply as `parse_message` gives it: to what was asked, mostly, with headers of interest and any values."""
    how = dice.byte()
    status = (200, 200, 200, 401, 302, 454, 405, 0)[how & 7]
    number = asked.split(b"CSeq: ")[1].split(b"\r")[0].decode() if b"CSeq: " in asked else "1"
    lines = [f"RTSP/1.0 {status} x" if status else "ANNOUNCE * RTSP/1.0"]
    if how & 8 == 0:
        lines.append(f"CSeq: {number}")
    lines += [f"{dice.choose(_HEADERS)}: {dice.portion().decode('utf-8', 'replace')}" for _ in range(how >> 4 & 3)]
    if how & 64:
        lines.append(f'{dice.choose(_HEADERS)}: Digest realm="{dice.portion().decode("utf-8", "replace")}", nonce=a')
    body = b"v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=control:" + dice.portion() if how & 128 == 0 else b""
    lines.append(f"Content-Length: {len(body)}")
    if status == 200 and b"SETUP" in asked and how & 16:
        lines.append("Session: 77;timeout=30")
    raw = "\r\n".join([*lines, "", ""]).encode() + body
    try:
        parsed = parse_message(raw, 0, len(raw))
    except BadStream:
        parsed = None
    return parsed[0] if parsed is not None else Message(200, "", (("cseq", number),))


def _check_request(asked: bytes) -> None:
    """Empty, or exactly one request with nothing of the camera's smuggled in between its lines."""
    if not asked:
        return
    head, blank, body = asked.partition(b"\r\n\r\n")
    assert blank
    assert not body, "more than one request"
    first, *lines = head.split(b"\r\n")
    method, _, rest = first.partition(b" ")
    assert method.decode() in _ASKED
    assert rest.endswith(b" RTSP/1.0")
    names = [line.partition(b":")[0].decode() for line in lines]
    assert set(names) <= {"CSeq", "User-Agent", "Accept", "Transport", "Range", "Session", "Authorization"}
    assert len(set(names)) == len(names)
    assert not any(byte < 32 or byte == 127 for line in (first, *lines) for byte in line), "a control character"
    assert b"Pass-Word" not in asked
    assert first.count(b" ") == 2, "a blank within the URI"
