"""Records from VLC's RTSP server, over UDP: it sends on a film made here, whose marks say which frame is which."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from edged.model import StreamKind
from edged.record.assignment import AssignedStream
from simulators.judge import check_gapless, read_frames
from tests.film_proof import prove_all
from tests.players import open_folder, vlc_command, vlc_environment
from tests.record_film import Recording, film, show
from tests.recorder_kit import Site, stream_of, until

SECONDS = 60  # of film; VLC sends it at its own pace
FRAMES = 150


def make_film(path: Path) -> None:
    """A plain recording of the simulators' film, as VLC's input."""
    recorder = Recording(film(), segment_s=2 * SECONDS)
    recorder.play(show(film(), SECONDS * 25))
    (tape,) = recorder.finish()
    tape.write_to(path)


@contextlib.contextmanager
def vlc(folder: Path) -> Iterator[int]:
    """VLC's port."""
    make_film(folder / "film.mp4")
    (folder / "film.mp4").chmod(0o644)
    command = vlc_command(str(folder / "film.mp4"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command.append(f"--sout=#rtp{{sdp=rtsp://127.0.0.1:{port}/main}}")
    environment = vlc_environment(folder)
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


async def test_i4_every_frame_from_vlc_over_udp_is_recorded_once_and_decodes(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with open_folder() as folder, vlc(folder) as port:
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
