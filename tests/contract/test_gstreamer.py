"""Records from an RTSP server not written here: GStreamer's, in a process of its own under the system's python3."""

import itertools
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

from tests.box import Box, until

SERVER = Path(__file__).parent.parent / "gst_server.py"
PYTHON = "/usr/bin/python3"
CAMERA = """
[discovery]
enabled = false

[[camera]]
id = "gst"
url = "rtsp://127.0.0.1:{port}/main"
"""
LOGIN = """
[camera.login]
username = "viewer"
password = "open-sesame"
"""


@contextmanager
def gstreamer(*options: str) -> Iterator[int]:
    """The server's port; the server ends with its standard input."""
    if not Path(PYTHON).exists():
        pytest.skip(f"{PYTHON} does not exist")
    server = subprocess.Popen(
        [PYTHON, str(SERVER), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    assert server.stderr is not None
    try:
        line = server.stdout.readline()
        if not line:
            pytest.skip("GStreamer's RTSP server is not installed (Debian: see tests/packages.sh)")
        yield json.loads(line)["port"]
    finally:
        server.stdin.close()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stdout.close()
        server.stderr.close()


@pytest.mark.parametrize("protected", [False, True], ids=["open", "digest"])
async def test_every_segment_from_gstreamers_server_decodes(tmp_path: Path, protected: bool) -> None:
    options = ["--user", "viewer", "--password", "open-sesame"] if protected else []
    with gstreamer(*options) as port, Box(tmp_path, CAMERA.format(port=port) + (LOGIN if protected else "")) as box:
        box.start()
        await until(lambda: len(box.sealed()) >= 2, "two segments are sealed")
        assert box.end() == 0
        sealed = sorted(box.sealed(), key=lambda fact: fact.start_us)
        files = box.files()
        assert len(files) == len(sealed)
        for file, fact in zip(files, sealed, strict=True):
            with av.open(str(file)) as container:
                video = container.streams.video[0]
                video.codec_context.options = {"err_detect": "explode"}
                frames = list(container.decode(video))
            assert len(frames) == fact.frames
            assert not any(frame.is_corrupt for frame in frames)
            assert (frames[0].width, frames[0].height) == (fact.width, fact.height) == (640, 360)
            assert fact.lost_packets == 0
        # The stream went on from file to file: no instant between them is unaccounted for.
        assert all(b.start_us == a.end_us for a, b in itertools.pairwise(sealed))
