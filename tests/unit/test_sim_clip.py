"""The clip, its packets, the feed's arithmetic and the gates: what the simulated camera decides without a socket."""

import base64
import dataclasses
import hashlib
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from simulators.auth import Account, DigestGate, TokenGate, UsernameToken, Verdict
from simulators.clip import make_clip
from simulators.feed import Feed
from simulators.film import ClipError, ClipSpec
from simulators.packets import Mark, build_template, read_mark, render, without_packets
from simulators.rtsp_message import Parser, RtspSyntaxError, choose_channels
from tests.sim_viewer import nals_of

TINY = ClipSpec(160, 90, 25, 5, 100_000)


@pytest.mark.parametrize("bitrate", [500_000, 1_000_000, 4_000_000])
def test_the_asked_bit_rate_is_met(bitrate: int) -> None:
    clip = make_clip(ClipSpec(bitrate=bitrate))
    assert abs(clip.bitrate - bitrate) <= bitrate / 10


def test_a_clip_is_an_even_number_of_closed_gops() -> None:
    clip = make_clip(TINY)
    assert [n for n, frame in enumerate(clip.frames) if frame.is_keyframe] == list(range(0, len(clip.frames), 5))
    assert len(clip.frames) % 10 == 0
    assert len(clip.frames) >= 50


def test_a_torn_file_in_the_cache_is_made_anew(tmp_path: Path) -> None:
    cache = tmp_path / "clips"
    clip = make_clip(TINY, cache)
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-100])
    again = make_clip(TINY, cache)
    assert len(again.frames) == len(clip.frames)
    assert kept.read_bytes() == whole


@pytest.mark.parametrize(
    "asked", [{"width": 161}, {"height": 2}, {"fps": 0}, {"gop": 0}, {"bitrate": 100}, {"width": 16, "height": 16}]
)
def test_impossible_clips_are_refused(asked: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"want|cannot be met"):
        make_clip(dataclasses.replace(ClipSpec(bitrate=50_000_000), **asked), tmp_path)


def test_packets_hold_the_same_nal_units_around_the_mark() -> None:
    rng = random.Random(3)
    sets = [b"\x67" + rng.randbytes(20), b"\x68" + rng.randbytes(5)]
    for slice_bytes in (1, 1398, 1399, 1400, 1401, 2796, 2797, 50_000):
        slice_nal = b"\x65" + rng.randbytes(slice_bytes)
        template = build_template([*sets, slice_nal], is_keyframe=True)
        mark = Mark(2**40 + 3, 1_700_000_000_000_000, 513)
        data = render(template, mark, sequence=65_535, timestamp=7, ssrc=9, channel=2)
        nals = nals_of(bytes(data))
        assert (nals[:2], nals[-1], len(nals)) == (sets, slice_nal, 4)
        assert read_mark(nals[2]) == mark
        heads = [bytes(data[at : at + 16]) for at in template.starts]
        assert [int.from_bytes(head[6:8], "big") for head in heads] == [
            n % 65_536 for n in range(65_535, 65_535 + len(heads))
        ]
        assert [head[5] >> 7 for head in heads] == [0] * (len(heads) - 1) + [1]
        assert {head[1] for head in heads} == {2}


@pytest.mark.parametrize("mark", [Mark(0, 0, 0), Mark(2**64 - 1, 2**64 - 1, 65_535), Mark(0x000001, 0x000300, 3)])
def test_no_mark_needs_an_emulation_prevention_byte(mark: Mark) -> None:
    template = build_template([b"\x41abc"], is_keyframe=False)
    nal = nals_of(bytes(render(template, mark, sequence=0, timestamp=0, ssrc=0, channel=0)))[0]
    assert all(bad not in nal for bad in (b"\0\0\0", b"\0\0\1", b"\0\0\2", b"\0\0\3"))
    assert read_mark(nal) == mark


def test_lost_packets_are_cut_out_whole() -> None:
    template = build_template([b"\x41" + bytes(5000)], is_keyframe=False)
    data = render(template, Mark(1, 2, 3), sequence=10, timestamp=0, ssrc=0, channel=0)
    kept = without_packets(template, data, {0, 2})
    sequences, at = [], 0
    while at < len(kept):
        sequences.append(int.from_bytes(kept[at + 6 : at + 8], "big"))
        at += 4 + int.from_bytes(kept[at + 2 : at + 4], "big")
    assert sequences == [n for n in range(10, 10 + len(template.starts)) if n not in (10, 12)]
    assert without_packets(template, data, set(range(len(template.starts)))) == b""


@pytest.mark.parametrize("fps", [1, 7, 25, 30, 120])
def test_counters_and_times_agree(fps: int) -> None:
    clip = make_clip(ClipSpec(32, 32, fps, 5, 1_000 * fps + 7_000))
    feed = Feed(clip, 1, 1_000_000_007, random.Random(1))
    times = [feed.captured_us(n) for n in range(1000)]
    assert all(feed.newest(at) == n and feed.newest(at - 1) == n - 1 for n, at in enumerate(times))
    assert all(abs(b - a - 1_000_000 / fps) <= 1 for a, b in pairwise(times))
    assert [feed.keyframe_after(n) for n in (-1, 0, 4, 5)] == [0, 5, 5, 10]


def sign(gate: DigestGate, password: str, uri: str = "rtsp://x/main", nonce: str | None = None) -> str:
    if nonce is None:
        nonce = gate.challenge(0).split('nonce="')[1].split('"')[0]

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    response = md5(f"{md5(f'admin:{gate.realm}:{password}')}:{nonce}:00000001:c:auth:{md5(f'PLAY:{uri}')}")
    return (
        f'Digest username="admin", realm="{gate.realm}", nonce="{nonce}", uri="{uri}", response="{response}",'
        ' qop=auth, nc=00000001, cnonce="c"'
    )


def test_the_digest_gate() -> None:
    gate = DigestGate(Account("admin", "secret"), "here", random.Random(1), nonce_lifetime_us=1000)
    uri = "rtsp://x/main"
    good = sign(gate, "secret")
    assert gate.check(None, "PLAY", uri, 0) is Verdict.MISSING
    assert gate.check(good, "PLAY", uri, 1000) is Verdict.OK
    assert gate.check(good, "PLAY", uri, 1001) is Verdict.STALE
    assert gate.check(good, "SETUP", uri, 0) is Verdict.WRONG
    assert gate.check(good, "PLAY", uri + "/sub", 0) is Verdict.WRONG
    assert gate.check(sign(gate, "wrong"), "PLAY", uri, 0) is Verdict.WRONG
    assert gate.check(sign(gate, "secret", nonce="invented"), "PLAY", uri, 0) is Verdict.STALE
    assert gate.check("Basic YWRtaW46c2VjcmV0", "PLAY", uri, 0) is Verdict.WRONG
    assert DigestGate(Account(None, ""), "here", random.Random(1)).check(None, "PLAY", uri, 0) is Verdict.OK


def test_the_digest_gate_knows_the_example_of_rfc_2617() -> None:
    gate = DigestGate(Account("Mufasa", "Circle Of Life"), "testrealm@host.com", random.Random(1))
    gate._issued["dcd98b7102dd2f0e8b11d0f600bfb0c093"] = 0
    header = (
        'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",'
        ' uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b",'
        ' response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    assert gate.check(header, "GET", "/dir/index.html", 0) is Verdict.OK


def token(password: str = "secret", created_us: int | None = 0, nonce: bytes = b"one") -> UsernameToken:
    digest = base64.b64encode(hashlib.sha1(nonce + b"then" + password.encode()).digest()).decode()
    return UsernameToken("admin", "x#PasswordDigest", digest, base64.b64encode(nonce).decode(), "then", created_us)


def test_the_token_gate() -> None:
    gate = TokenGate(Account("admin", "secret"))
    assert gate.check(None, 0) is Verdict.MISSING
    assert gate.check(token(), 300_000_000) is Verdict.OK
    assert gate.check(token(), 300_000_000) is Verdict.STALE  # the nonce is used up
    assert gate.check(token(nonce=b"two"), 300_000_001) is Verdict.STALE
    assert gate.check(token(nonce=b"two"), -300_000_001) is Verdict.STALE
    assert gate.check(token(nonce=b"two", created_us=None), 0) is Verdict.STALE
    assert gate.check(token("wrong", nonce=b"two"), 0) is Verdict.WRONG
    assert gate.check(token(nonce=b"two"), 0) is Verdict.OK


def test_requests_are_found_in_any_slicing_between_interleaved_data() -> None:
    request = b"GET_PARAMETER rtsp://x/main RTSP/1.0\r\nCSeq: 5\r\nContent-Length: 4\r\n\r\nbody"
    stream = b"$\x01\x00\x03abc" + request + b"\r\n" + b"$\x01\x00\x00" + request
    for step in (1, 2, 7, len(stream)):
        parser = Parser()
        found = [one for at in range(0, len(stream), step) for one in parser.feed(stream[at : at + step])]
        assert [(one.method, one.headers["cseq"], one.body) for one in found] == [("GET_PARAMETER", "5", b"body")] * 2
        assert parser.interleaved == 2


@pytest.mark.parametrize(
    "data",
    [b"x" * 20_000, b"A B\r\n\r\n", b"A B RTSP/1.0\r\nnone\r\n\r\n", b"A B RTSP/1.0\r\nContent-Length: -1\r\n\r\n"],
)
def test_nonsense_is_refused(data: bytes) -> None:
    with pytest.raises(RtspSyntaxError):
        Parser().feed(data)


@pytest.mark.parametrize(
    ("transport", "channels"),
    [
        ("RTP/AVP/TCP;unicast;interleaved=2-3", (2, 3)),
        ("RTP/AVP/TCP;unicast", (0, 1)),
        ("RTP/AVP/TCP;interleaved=6", (6, 7)),
        ("RTP/AVP;unicast;client_port=1-2, RTP/AVP/TCP;interleaved=0-1", (0, 1)),
        ("RTP/AVP;unicast;client_port=1-2", None),
        ("RTP/AVP/TCP;interleaved=300-301", None),
        ("", None),
    ],
)
def test_which_transport_is_taken(transport: str, channels: tuple[int, int] | None) -> None:
    assert choose_channels(transport, 0) == channels
