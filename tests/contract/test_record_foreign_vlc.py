"""Records from VLC's RTSP server, over UDP: it sends on a film made here, whose marks say which frame is which."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.model import StreamKind
from edged.record.assignment import AssignedStream
from simulators.judge import check_gapless, read_frames
from tests.film_proof import prove_all
from tests.record_film import Recording, film, show
from tests.recorder_kit import Site, stream_of, until

SECONDS = 60  # of film; VLC sends it at its own pace
FRAMES = 150
NOBODY = 65534


def make_film(path: Path) -> None:
    """A plain recording of the simulators' film, as VLC's input."""
    recorder = Recording(film(), segment_s=2 * SECONDS)
    recorder.play(show(film(), SECONDS * 25))
    (tape,) = recorder.finish()
    tape.write_to(path)


@contextlib.contextmanager
def vlc(folder: Path) -> Iterator[int]:
    """VLC's port. It refuses to run as root, and its folder must be its own."""
    command = ["cvlc", "--intf", "dummy", "--no-media-library", "--play-and-exit", str(folder / "film.mp4")]
    if shutil.which("cvlc") is None:
        pytest.skip("VLC is not installed (Debian: vlc-bin, vlc-plugin-base)")
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("VLC does not run as root, and setpriv is not installed (Debian: util-linux)")
        command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs", *command]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command.append(f"--sout=#rtp{{sdp=rtsp://127.0.0.1:{port}/main}}")
    environment = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    with (
        open(folder / "vlc.log", "wb") as log,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment) as player,
    ):
        try:
            deadline = time.monotonic() + 15
            while not listens(port):
                assert player.poll() is None, (folder / "vlc.log").read_text()[-2000:]
                assert time.monotonic() < deadline, "VLC does not listen"
                time.sleep(0.05)
            yield port
        finally:
            player.terminate()
            try:
                player.wait(10)
            except subprocess.TimeoutExpired:
                player.kill()


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that VLC may read and write as another user."""
    with tempfile.TemporaryDirectory(prefix="vlc-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


async def test_i4_every_frame_from_vlc_over_udp_is_recorded_once_and_decodes(open_folder: Path, tmp_path: Path) -> None:
    make_film(open_folder / "film.mp4")
    (open_folder / "film.mp4").chmod(0o644)
    site = Site(tmp_path)
    with vlc(open_folder) as port:
        site.streams["vlc"] = AssignedStream(
            camera="vlc",
            stream=StreamKind.MAIN,
            url=f"rtsp://127.0.0.1:{port}/main",
            username="",
            password="",
            volume="v1",
            transport="udp",
        )
        site.assign()
        async with site.recorder():
            await until(lambda: sum(fact.frames for fact in site.segments()) >= FRAMES, 30)
            status = stream_of(await site.status(lambda status: bool(status.streams)), "vlc")
        assert (status.sessions, status.lost_packets) == (1, 0)
    facts = site.segments()
    files = site.recording("vlc")
    prove_all(files, facts)
    report = check_gapless(frame for file in files for frame in read_frames(file))
    assert report.ok
    assert report.frames >= FRAMES
