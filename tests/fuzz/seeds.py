"""Where guided fuzzing starts: a well-formed input for each core that has a form."""

import struct
from collections.abc import Callable, Mapping, Sequence

from tests.fuzz.container import PPS, SPS, fragment
from tests.record_film import START_US, Recording, film, show

_CHALLENGE = b'Digest realm="a", nonce="b", qop="auth", algorithm=SHA-256, stale=true'


def seeds(name: str) -> Sequence[bytes]:
    """Inputs for the core of this name; b"" where it needs none."""
    make = _SEEDS.get(name)
    return make() if make is not None else [b""]


def _messages() -> list[bytes]:
    return [
        b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: 3\r\nSession: 7\r\n\r\nv=0\r\n\r\nANNOUNCE * RTSP/1.0\n\n",
        b"RTSP/1.0 401 Unauthorized\nWWW-Authenticate: " + _CHALLENGE + b"\n x=y\n\n",
    ]


def _conversation() -> list[bytes]:
    """An opening in which every reply is good, and one that smuggles a line's end into the session's name."""
    name = _reply(16, b"\x06\x05a\x0bb\rc")
    return [b"\0" + _reply(0) * 2 + _reply(16, b"\x06\x0277") + _reply(0), b"\0" + _reply(0) * 2 + name + _reply(0) * 2]


def _reply(how: int, header: bytes = b"") -> bytes:
    return bytes([how]) + header + b"\0"  # and an empty end of the description


def _descriptions() -> list[bytes]:
    return [
        b"v=0\r\na=control:*\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=1\r\n"
        b"a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z00AH5WoFAFuQA==,aO48gA==\r\nm=audio 0 RTP/AVP 8\r\n"
    ]


def _flow() -> list[bytes]:
    shown = b"".join(frame.data for frame in show(film(), 3))[:3000]
    return [struct.pack(">H", len(shown)) + shown + b"\x03\x01\x00\x02\x00\x05\x55"]


def _packets() -> list[bytes]:
    report = struct.pack(">BBHIIIIII", 0x80, 200, 6, 7, 3_900_000_000, 5, 90_000, 1, 2)
    return [show(film(), 1)[0].data[4:60], report + struct.pack(">BBHI", 0x81, 202, 1, 7)]


def _recording() -> list[bytes]:
    """An IDR in one packet, some frames, a fragmentation unit, silence, then another keyframe."""

    def step(how: int, beginning: int, payload: bytes, extra: bytes = b"") -> bytes:
        return bytes([how]) + extra + bytes([beginning, len(payload)]) + payload

    frames = b"".join(step(16, 4, b"\x01" * 9) for _ in range(8))
    unit = step(0, 0, b"\xaa" * 20) + step(4, 1, b"\xaa" * 20) + step(20, 2, b"\xaa" * 20)
    late = step(8 | 16, 3, b"\x02", b"\x20\x00\x00")
    return [step(16, 3, b"\x84" * 5) + frames + unit + frames + late + frames + step(1 | 16, 3, b"\x03", b"\x00\x05")]


def _files() -> list[bytes]:
    """The end of a real file, and small files of three fragments."""
    recorder = Recording(film(), fragment_s=0.1)
    recorder.play(show(film(), 25))
    content = b"".join(recorder.finish()[0].pieces)
    small = [
        fragment([(3600, b"\0\0\0\x02\x65\x88", number == 0, shift)] * 2, number * 7200, START_US + number * 80_000)
        for shift in (0, 900)
        for number in range(3)
    ]
    return [content[content.index(b"prft") - 4 :][:3000], b"".join(small[:3]), b"".join(small[3:])]


_SEEDS: Mapping[str, Callable[[], list[bytes]]] = {
    "messages": _messages,
    "conversation": _conversation,
    "challenges": lambda: [bytes([0, len(_CHALLENGE)]) + _CHALLENGE],
    "descriptions": _descriptions,
    "parameter_sets": lambda: [SPS, PPS, film().sps, film().pps],
    "packets": _packets,
    "interleaved": _flow,
    "h264": _recording,
    "with_audio": lambda: [b"\x01" + seed for seed in _recording()],
    "files": _files,
}
