"""Logins: several challenges, the strongest answered, and nothing weaker than what was once offered."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.record.net.rtsp_auth import Credentials, parse_challenges

MD5 = 'Digest realm="cam", qop="auth", nonce="n1", algorithm=MD5'
SHA = 'Digest realm="cam", qop="auth", nonce="n2", algorithm=SHA-256'
BASIC = 'Basic realm="cam"'


def login(username: str = "viewer", password: str = "pass-word") -> Credentials:
    return Credentials(username, password, lambda: "c0ffee")


def answer(credentials: Credentials) -> dict[str, str]:
    header = credentials.header("DESCRIBE", "rtsp://camera.invalid/")
    assert header is not None
    assert header.startswith("Digest ")
    return {name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,"]+))', header)}


@pytest.mark.parametrize("offers", [[MD5, SHA, BASIC], [BASIC, SHA, MD5], [f"{BASIC}, {MD5}, {SHA}"], [SHA]])
def test_the_strongest_challenge_is_answered(offers: list[str]) -> None:
    credentials = login()
    assert credentials.challenge(offers)
    given_answer = answer(credentials)
    ha1 = hashlib.sha256(b"viewer:cam:pass-word").hexdigest()
    ha2 = hashlib.sha256(b"DESCRIBE:rtsp://camera.invalid/").hexdigest()
    response = hashlib.sha256(f"{ha1}:n2:00000001:c0ffee:auth:{ha2}".encode()).hexdigest()
    assert given_answer["response"] == response
    assert (given_answer["algorithm"], given_answer["realm"], given_answer["qop"]) == ("SHA-256", "cam", "auth")


def test_the_digest_of_rfc_7616() -> None:
    """RFC 7616, 3.9.1."""
    told = (
        'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={},'
        ' nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    expected = {
        "MD5": "8ca523f5e9506fed4657c9700eebdbec",
        "SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    }
    for algorithm, response in expected.items():
        credentials = Credentials("Mufasa", "Circle of Life", lambda: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
        assert credentials.challenge([told.format(algorithm)])
        header = credentials.header("GET", "/dir/index.html")
        assert header is not None
        assert f'response="{response}"' in header


def test_basic_only_where_digest_was_never_offered() -> None:
    credentials = login()
    assert credentials.challenge([MD5])
    assert not credentials.challenge([BASIC]), "a camera that comes down to Basic may be somebody else"
    assert credentials.header("DESCRIBE", "/") is None
    assert "weaker" in credentials.objection
    assert login().challenge([BASIC])


@pytest.mark.parametrize(
    "digest",
    ['Digest realm="cam", nonce="n", qop="auth-int"', 'Digest realm="cam", nonce="n", algorithm=SHA-512-256'],
)
def test_a_digest_that_cannot_be_answered_is_not_answered_with_basic(digest: str) -> None:
    credentials = login()
    assert not credentials.challenge([digest, BASIC])
    assert credentials.header("DESCRIBE", "/") is None
    assert "kind" in credentials.objection


def test_a_nonce_is_counted_on_and_a_new_one_from_one() -> None:
    credentials = login()
    credentials.challenge([MD5])
    assert [answer(credentials)["nc"] for _ in range(2)] == ["00000001", "00000002"]
    credentials.challenge([MD5])
    assert answer(credentials)["nc"] == "00000003", "a server may refuse a count it has seen"
    credentials.challenge([MD5.replace("n1", "n9") + ", stale=true"])
    assert credentials.stale()
    assert answer(credentials)["nc"] == "00000001"


def test_a_name_is_hashed_where_the_camera_wants_it_and_quoted_where_it_must_be() -> None:
    credentials = login()
    credentials.challenge([SHA + ", userhash=true"])
    given_answer = answer(credentials)
    assert given_answer["username"] == hashlib.sha256(b"viewer:cam").hexdigest()
    assert given_answer["userhash"] == "true"
    odd = login('say "hi"\\')
    odd.challenge([MD5])
    assert 'username="say \\"hi\\"\\\\", realm=' in (odd.header("PLAY", "/") or "")


def test_challenges_in_one_header_keep_their_own_parameters() -> None:
    told = 'Digest realm="a, Basic realm=x", nonce="1,2" , Basic realm="b", Digest realm=c,nonce=d, algorithm="SHA-256"'
    assert parse_challenges(told) == [
        ("digest", {"realm": "a, Basic realm=x", "nonce": "1,2"}),
        ("basic", {"realm": "b"}),
        ("digest", {"realm": "c", "nonce": "d", "algorithm": "SHA-256"}),
    ]


@given(st.text(max_size=200))
def test_any_challenge_is_answered_or_not(text: str) -> None:
    credentials = login()
    if credentials.challenge(["Digest " + text, text]):
        header = credentials.header("PLAY", "/")
        assert header is not None
        assert "pass-word" not in header
