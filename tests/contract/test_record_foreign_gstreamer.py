"""Records from GStreamer's RTSP server: every codec, transport and login, all at once; decodes and compares it all.

What is shown is known: a ball whose place says which frame it is, and 440 Hz.
"""

import asyncio
import contextlib
import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import pytest

from edged.model import SegmentSealed, StreamKind
from edged.record.assignment import AssignedStream
from tests import moving_ball
from tests.film_proof import prove_all
from tests.recorder_kit import Site, stream_of, until

SERVER = Path(__file__).parent.parent / "gst_server.py"
PYTHON = "/usr/bin/python3"
WIDTH, HEIGHT = 160, 120
SEGMENTS = 2  # in full, of each; the last one is sealed as the recorder ends
PATIENCE_S = 25.0
FILM_FRAMES = 799
TONE_HZ = 440


@dataclass(frozen=True, slots=True)
class Variant:
    codec: str = "h264"
    audio: str = ""
    transport: str = "tcp"
    digest: bool = False
    tls: bool = False


VARIANTS = {
    "h264-tcp": Variant(),
    "h264-udp": Variant(transport="udp"),
    "h264-tls": Variant(tls=True),
    "h264-digest": Variant(digest=True),
    "h264-tls-digest": Variant(tls=True, digest=True),
    "h264-udp-digest": Variant(transport="udp", digest=True),
    "h264-aac": Variant(audio="aac"),
    "h264-pcma-udp": Variant(audio="pcma", transport="udp"),
    "h265-tcp": Variant(codec="h265"),
    "h265-udp": Variant(codec="h265", transport="udp"),
    "h265-tls-pcmu": Variant(codec="h265", audio="pcmu", tls=True),
    "h265-aac-udp-digest": Variant(codec="h265", audio="aac", transport="udp", digest=True),
}
WITH_AUDIO = [name for name, variant in VARIANTS.items() if variant.audio]


@dataclass(frozen=True, slots=True)
class Recorded:
    files: list[Path]
    facts: list[SegmentSealed]
    sessions: int
    lost_packets: int


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recorded]:
    if not Path(PYTHON).exists():
        pytest.skip(f"{PYTHON} does not exist")
    folder = tmp_path_factory.mktemp("gstreamer")
    certificate, key = make_certificate(folder)
    with contextlib.ExitStack() as servers:
        started = {
            name: servers.enter_context(serving(options(variant, certificate, key)))
            for name, variant in VARIANTS.items()
        }
        ports = {name: read_port(server) for name, server in started.items()}
        (folder / "site").mkdir()
        return asyncio.run(record_all(Site(folder / "site"), ports, certificate))


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """One that the server signs itself, as cameras do."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    name = ("-subj", "/CN=camera.invalid", "-addext", "subjectAltName=IP:127.0.0.1")
    files = ("-keyout", str(key), "-out", str(certificate))
    command = ["openssl", "req", "-x509", *curve, "-nodes", "-days", "2", *name, *files]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return certificate, key


def options(variant: Variant, certificate: Path, key: Path) -> list[str]:
    words = ["--codec", variant.codec, "--transport", variant.transport, "--size", f"{WIDTH}x{HEIGHT}"]
    words += ["--audio", variant.audio] if variant.audio else []
    words += ["--user", "viewer", "--password", "open-sesame"] if variant.digest else []
    words += ["--tls", str(certificate), str(key)] if variant.tls else []
    return words


@contextlib.contextmanager
def serving(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A server; it ends with its standard input."""
    with subprocess.Popen(
        [PYTHON, str(SERVER), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            yield server
        finally:
            assert server.stdin is not None
            server.stdin.close()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def read_port(server: subprocess.Popen[str]) -> int:
    assert server.stdout is not None
    line = server.stdout.readline()
    if not line:
        pytest.skip("GStreamer's RTSP server, or a plugin for it, is not installed (Debian: see tests/packages.sh)")
    port: int = json.loads(line)["port"]
    return port


async def record_all(site: Site, ports: dict[str, int], certificate: Path) -> dict[str, Recorded]:
    for name, port in ports.items():
        variant = VARIANTS[name]
        site.streams[name] = AssignedStream(
            camera=name,
            stream=StreamKind.MAIN,
            url=f"{'rtsps' if variant.tls else 'rtsp'}://127.0.0.1:{port}/main",
            username="viewer" if variant.digest else "",
            password="open-sesame" if variant.digest else "",
            volume="v1",
            transport="udp" if variant.transport == "udp" else "tcp",
            tls_ca=str(certificate) if variant.tls else "",
            audio=bool(variant.audio),
        )
    site.assign()
    async with site.recorder():
        with contextlib.suppress(AssertionError):  # one that does not play is that one's failure
            await until(lambda: all(len(site.segments(camera=name)) >= SEGMENTS for name in ports), PATIENCE_S)
        status = await site.status(lambda status: status.generation == site.generation)
    return {
        name: Recorded(
            site.recording(name),
            site.segments(camera=name),
            stream_of(status, name).sessions,
            stream_of(status, name).lost_packets,
        )
        for name in ports
    }


@pytest.fixture(scope="module")
def film() -> list[moving_ball.Position]:
    if shutil.which("gst-launch-1.0") is None:
        pytest.skip("gst-launch-1.0 is not installed (Debian: gstreamer1.0-tools)")
    return moving_ball.drawn(WIDTH, HEIGHT, FILM_FRAMES)


@pytest.mark.parametrize("name", VARIANTS)
def test_i4_every_picture_is_recorded_once_in_order_and_decodes(
    name: str, recorded: dict[str, Recorded], film: list[moving_ball.Position]
) -> None:
    seen = recorded[name]
    assert (seen.sessions, seen.lost_packets) == (1, 0)
    assert len(seen.facts) >= SEGMENTS
    prove_all(seen.files, seen.facts)
    assert {(fact.width, fact.height) for fact in seen.facts} == {(WIDTH, HEIGHT)}
    wanted = {"h264": "avc1", "h265": "hvc1"}[VARIANTS[name].codec]
    assert all(fact.codec.startswith(wanted) for fact in seen.facts)
    # The stream went on from file to file: no instant between them is unaccounted for.
    assert all(after.start_us == before.end_us for before, after in itertools.pairwise(seen.facts))
    moving_ball.first_frame(film, moving_ball.recorded(seen.files))


@pytest.mark.parametrize("name", WITH_AUDIO)
def test_the_sound_is_the_tone_that_was_played_as_long_as_the_pictures(
    name: str, recorded: dict[str, Recorded]
) -> None:
    heard = 0
    for file, fact in zip(recorded[name].files, recorded[name].facts, strict=True):
        samples, rate = sound(file)
        seconds = len(samples) / rate if rate else 0.0
        assert seconds == pytest.approx((fact.end_us - fact.start_us) / 1e6, abs=0.25)
        if seconds < 0.5:
            continue  # the end came right behind a keyframe: too short to hear a tone in
        crossings = sum((a < 0) != (b < 0) for a, b in itertools.pairwise(samples))
        assert crossings / 2 / seconds == pytest.approx(TONE_HZ, rel=0.03)
        assert max(samples) > 0.3
        heard += 1
    assert heard


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in WITH_AUDIO])
def test_where_no_sound_is_wanted_none_is_recorded(name: str, recorded: dict[str, Recorded]) -> None:
    for file in recorded[name].files:
        with av.open(str(file)) as container:
            assert [stream.type for stream in container.streams] == ["video"]


def sound(file: Path) -> tuple[list[float], int]:
    """The samples of the one sound track, -1 to 1, and how many there are in a second."""
    samples: list[float] = []
    rate = 0
    with av.open(str(file)) as container:
        (track,) = container.streams.audio
        resampler = av.AudioResampler(format="flt", layout="mono")
        for frame in itertools.chain(container.decode(track), [None]):
            rate = frame.sample_rate if frame is not None else rate
            for piece in resampler.resample(frame):
                samples += memoryview(bytes(piece.planes[0])[: 4 * piece.samples]).cast("f").tolist()
    return samples, rate


def test_i9_no_word_of_a_login_is_in_the_journal(recorded: dict[str, Recorded]) -> None:
    volume = recorded["h264-digest"].files[0].parents[3]
    lines = b"".join(day.read_bytes() for day in (volume / "journal").glob("*/*"))
    assert lines
    assert not re.search(rb"open-sesame|viewer|127\.0\.0\.1|rtsps?://", lines)
