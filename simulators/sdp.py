"""What DESCRIBE tells of a camera's stream (RFC 4566), and the names of its tracks. Decides only."""

import base64
from collections.abc import Set

from simulators import metadata, mjpeg
from simulators.clip import Clip
from simulators.feed import Feed
from simulators.packets import PAYLOAD_TYPE
from simulators.sound import Sound

VIDEO, AUDIO, METADATA = "video", "audio", "metadata"
TRACKS = {"trackID=1": VIDEO, "trackID=2": AUDIO, "trackID=3": METADATA}
CONTROLS = {kind: control for control, kind in TRACKS.items()}
_WRONG_RATE_HZ = 8000


def tracks_of(feed: Feed) -> tuple[str, ...]:
    """The kinds of tracks this camera offers."""
    return (VIDEO, *((AUDIO,) if feed.sound else ()), *((METADATA,) if feed.metadata else ()))


def describe(feed: Feed, host: str, stream: str, quirks: Set[str] = frozenset()) -> str:
    """The session description, with the parameter sets out of band where the quirks do not forbid it."""
    lines = [
        "v=0",
        f"o=- {feed.started_us} 1 IN IP4 {host}",
        f"s={stream}",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "a=range:npt=now-",
        "a=control:*",
        *_video(feed.clip, quirks),
    ]
    if feed.sound is not None:
        lines += _audio(feed.sound)
    if feed.metadata:
        lines += [
            f"m=application 0 RTP/AVP {metadata.PAYLOAD_TYPE}",
            "a=recvonly",
            f"a=rtpmap:{metadata.PAYLOAD_TYPE} vnd.onvif.metadata/{metadata.CLOCK_RATE_HZ}",
            f"a=control:{CONTROLS[METADATA]}",
        ]
    return "\r\n".join((*lines, ""))


def _video(clip: Clip, quirks: Set[str]) -> list[str]:
    spec = clip.spec
    number = mjpeg.PAYLOAD_TYPE if spec.codec == "mjpeg" else PAYLOAD_TYPE
    name = {"h264": "H264", "h265": "H265", "mjpeg": "JPEG"}[spec.codec]
    rate = _WRONG_RATE_HZ if "wrong-clock-rate" in quirks else 90_000
    return [
        f"m=video 0 RTP/AVP {number}",
        f"b=AS:{max(1, clip.bitrate * 11 // 10_000)}",
        "a=recvonly",
        f"a=rtpmap:{number} {name}/{rate}",
        *_format(clip, "no-sprop" not in quirks),
        f"a=framerate:{spec.fps}",
        f"a=x-dimensions:{spec.width},{spec.height}",
        f"a=control:{CONTROLS[VIDEO]}",
    ]


def _format(clip: Clip, with_sets: bool) -> list[str]:
    """The fmtp line: RFC 6184 section 8.2.1, RFC 7798 section 7.1; JPEG has none."""

    def coded(*nals: bytes) -> str:
        return ",".join(base64.b64encode(nal).decode() for nal in nals)

    if clip.spec.codec == "h264":
        sets = f";sprop-parameter-sets={coded(clip.sps, clip.pps)}" if with_sets else ""
        profile = clip.sps[1:4].hex().upper()
        return [f"a=fmtp:{PAYLOAD_TYPE} packetization-mode=1;profile-level-id={profile}{sets}"]
    if clip.spec.codec == "h265" and with_sets:
        sets = f"sprop-vps={coded(clip.vps)};sprop-sps={coded(clip.sps)};sprop-pps={coded(clip.pps)}"
        return [f"a=fmtp:{PAYLOAD_TYPE} {sets}"]
    return []


def _audio(sound: Sound) -> list[str]:
    number, control = sound.payload_type, f"a=control:{CONTROLS[AUDIO]}"
    if sound.kind != "aac":
        law = "PCMA" if sound.kind == "pcma" else "PCMU"
        return [f"m=audio 0 RTP/AVP {number}", "a=recvonly", f"a=rtpmap:{number} {law}/{sound.clock_rate_hz}", control]
    return [
        f"m=audio 0 RTP/AVP {number}",
        "a=recvonly",
        f"a=rtpmap:{number} mpeg4-generic/{sound.clock_rate_hz}/1",
        f"a=fmtp:{number} streamtype=5;profile-level-id=1;mode=AAC-hbr;config={sound.config.hex().upper()}"
        ";sizelength=13;indexlength=3;indexdeltalength=3",
        control,
    ]
