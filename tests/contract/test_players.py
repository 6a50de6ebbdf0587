"""Every kind of file plays in VLC, by its own MP4 demuxer, and H.264 in Chromium's media source."""

from pathlib import Path
from typing import Any

import av
import pytest

from simulators.clip import split_nals
from simulators.fleet import Fleet
from tests.film_proof import prove
from tests.players import chromium_plays, open_folder, vlc_unpacks
from tests.recorder_kit import Site, until
from tests.sim_viewer import SMALL, fresh_subnet

MEDIA: dict[str, Any] = SMALL | {"size": "320x240", "gop": 25, "fps": 25, "bitrate": "1M"}
FILMS: dict[str, dict[str, Any]] = {
    "h264": {"codec": "h264"},
    "h264 and b-frames": {"codec": "h264", "bframes": 2},
    "h264 and aac": {"codec": "h264", "audio": "aac"},
    "h264 and pcmu": {"codec": "h264", "audio": "pcmu"},
    "h265": {"codec": "h265"},
    "h265 and pcma": {"codec": "h265", "audio": "pcma"},
    "mjpeg": {"codec": "mjpeg"},
}


async def recorded(name: str, folder: Path) -> tuple[Path, int]:
    """A sealed file that is neither the first nor the last, and how many frames the journal says it has."""
    site = Site(folder)
    async with Fleet(cameras=1, subnet=fresh_subnet(), onvif=False, **MEDIA | FILMS[name]) as fleet:
        site.record("c1", fleet.cameras[0].rtsp_url, audio="audio" in FILMS[name])
        site.assign()
        async with site.recorder():
            await until(lambda: len(site.segments()) >= 2)
    file, fact = site.recording("c1")[1], site.segments()[1]
    prove(file, fact)
    return file, fact.frames


def samples(file: Path, kind: str) -> list[bytes]:
    """The frames of one of the file's tracks, in the order they are stored."""
    with av.open(str(file)) as container:
        (stream,) = getattr(container.streams, kind)
        return [bytes(packet) for packet in container.demux(stream) if packet.size]


def sized_nals(sample: bytes) -> list[bytes]:
    """The NAL units of one sample: each has its length before it, of four bytes."""
    found, at = [], 0
    while at < len(sample):
        size = int.from_bytes(sample[at : at + 4], "big")
        found.append(sample[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def pictures(nals: list[bytes], codec: str) -> list[bytes]:
    """Slices and SEI: VLC repeats parameter sets and puts delimiters between pictures as it likes."""
    if codec == "h264":
        return [nal for nal in nals if nal[0] & 0x1F <= 6]
    return [nal for nal in nals if nal[0] >> 1 < 32 or nal[0] >> 1 in (39, 40)]


def is_all_of(found: bytes, stored: list[bytes]) -> bool:
    """Whether VLC found what is stored; of a track it does not parse it never writes the last frame."""
    return found in (b"".join(stored), b"".join(stored[:-1]))


@pytest.mark.parametrize("name", FILMS)
async def test_i4_vlcs_demuxer_finds_every_frame_and_all_of_the_sound(name: str, tmp_path: Path) -> None:
    file, frames = await recorded(name, tmp_path)
    codec, stored = FILMS[name]["codec"], samples(file, "video")
    assert len(stored) == frames
    with open_folder() as folder:
        found = {kind: path.read_bytes() for kind, path in vlc_unpacks(file, folder).items()}
    if codec == "mjpeg":
        assert is_all_of(found["video"], stored)
    else:
        expected = [nal for sample in stored for nal in sized_nals(sample)]
        assert pictures(split_nals(found["video"]), codec) == pictures(expected, codec)
    if "audio" in FILMS[name]:
        # VLC puts the AudioSpecificConfig, two bytes of it, before raw AAC.
        sound = found["audio"][2 if FILMS[name]["audio"] == "aac" else 0 :]
        assert is_all_of(sound, samples(file, "audio"))


@pytest.mark.parametrize("name", ["h264", "h264 and b-frames", "h264 and aac"])
async def test_chromiums_media_source_plays_and_seeks(name: str, tmp_path: Path) -> None:
    file, frames = await recorded(name, tmp_path)
    told = await chromium_plays(file, tmp_path / "profile")
    assert "error" not in told, told
    assert told["spans"] == 1, "media without a hole"
    assert told["end"] - told["start"] == pytest.approx(frames / 25, abs=0.1)
    assert told["frames"] >= frames, "every frame was decoded"
    assert told["size"] == [320, 240]
    assert told["sought"] == pytest.approx((told["start"] + told["end"]) / 2, abs=0.1)
