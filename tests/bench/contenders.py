"""Who is measured: each records the same streams to a folder until it is ended.

edged        `edged recorder`, with SHA-256, syncs and journal as always
ffmpeg       one `ffmpeg -c copy` process per camera into fragmented MP4: the way the field does it
pyav         one process, one thread per camera, stream copy into fragmented MP4
gstreamer    one `gst-launch-1.0 rtspsrc … splitmuxsink` process per camera into fragmented MP4
floor        a C loop of epoll, recv and write that looks at nothing: what the kernel itself costs
"""

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from edged.archive.journal import BadLine, decode
from edged.model import Cause, Fact, Loss, SegmentSealed, StreamDown, StreamKind
from edged.record.assignment import AssignedStream, AssignedVolume, Assignment, write_assignment
from edged.record.process import assignment_path
from tests.bench.processes import family, running

_WRITING_BYTES = 100_000  # a file of this size has more in it than a header
_FLOOR_SOURCE = Path(__file__).with_name("floor.c")


class Failed(Exception):
    """A contender did not record what it was asked to; the message says what was missing."""


class Contender(Protocol):
    """One way to record. `codec` is h264 or h265."""

    name: str

    def missing(self) -> str:
        """What it needs and does not find here; "" where it can run."""

    @contextmanager
    def recording(self, folder: Path, urls: list[str], codec: str) -> Iterator[list[int]]:
        """Record the streams to an empty folder; gives the process ids once each is being written. Raises Failed."""

    def check(self, folder: Path) -> None:
        """After the end. Raises Failed where the contender itself knows that footage is missing."""


class Edged:
    """edged's recorder as its controller runs it."""

    name = "edged"

    def missing(self) -> str:
        return ""

    @contextmanager
    def recording(self, folder: Path, urls: list[str], codec: str) -> Iterator[list[int]]:
        volume, state = folder / "v1", folder / "state"
        for made in (volume, state):
            made.mkdir()
        (volume / "VOLUME.json").write_text(json.dumps({"v": 1, "volume": "v1", "uuid": "bench"}))
        command = [sys.executable, "-m", "edged", "recorder", "--id", "bench"]
        command += ["--state-dir", str(state), "--runtime-dir", str(state), "--log-level", "error"]
        write_assignment(assignment_path(state, "bench"), _assignment(volume, urls))
        with running(command) as [recorder]:
            wait_until(lambda: (state / "recorder-bench.sock").exists(), "the recorder answers")
            wait_until(lambda: len(list(volume.glob("segments/*/*/*.part"))) >= len(urls), "edged records every camera")
            yield family(recorder.pid)

    def check(self, folder: Path) -> None:
        told = facts(folder / "v1")
        found = Counter(f"loss ({fact.cause})" for fact in told if isinstance(fact, Loss))
        found.update(
            f"broken stream ({fact.cause})"
            for fact in told
            if isinstance(fact, StreamDown) and fact.cause is not Cause.PLANNED
        )
        found["lost packets"] = sum(fact.lost_packets for fact in told if isinstance(fact, SegmentSealed))
        if found.total():
            raise Failed("edged journalled " + ", ".join(f"{count} x {what}" for what, count in found.items() if count))


def facts(volume: Path) -> list[Fact]:
    """What the volume's journals say. Raises Failed where a line cannot be read."""
    try:
        return [decode(line) for file in volume.glob("journal/*/*.ndjson") for line in file.read_bytes().splitlines()]
    except BadLine as error:
        raise Failed(f"a journal line cannot be read: {error}") from error


def _assignment(volume: Path, urls: list[str]) -> Assignment:
    streams = tuple(
        AssignedStream(camera=f"cam-{number}", stream=StreamKind.MAIN, url=url, username="", password="", volume="v1")
        for number, url in enumerate(urls)
    )
    return Assignment(
        generation=1,
        recorder="bench",
        segment_seconds=60,
        fragment_seconds=2,
        sync_seconds=1,
        volumes=(AssignedVolume(id="v1", path=str(volume), uuid="bench"),),
        streams=streams,
    )


class _Files:
    """What the peers have in common: cam-N… files straight in the folder."""

    pattern = "cam-*.mp4"
    name = ""

    def check(self, folder: Path) -> None:
        """A peer does not say what it lost; what it stored in the time is compared with what was sent."""

    def until_writing(self, folder: Path, cameras: int) -> None:
        def writing() -> bool:
            files = [file for file in folder.glob(self.pattern) if file.stat().st_size > _WRITING_BYTES]
            return len(files) >= cameras

        wait_until(writing, f"{self.name} writes every camera")


class Ffmpeg(_Files):
    """One process per camera, cut every 60 s, each fragment flushed."""

    name = "ffmpeg"

    def missing(self) -> str:
        return "" if shutil.which("ffmpeg") else "ffmpeg is not installed"

    @contextmanager
    def recording(self, folder: Path, urls: list[str], codec: str) -> Iterator[list[int]]:
        tag = " -tag:v hvc1" if codec == "h265" else ""
        copy = (
            "ffmpeg -nostdin -loglevel error -rtsp_transport tcp -i {url} -c copy -an" + tag + " -f segment"
            " -segment_time 60 -reset_timestamps 1 -segment_format mp4"
            " -segment_format_options movflags=frag_keyframe+empty_moov+default_base_moof:flush_packets=1 {file}"
        )
        commands = [
            copy.format(url=url, file=folder / f"cam-{number}-%03d.mp4").split() for number, url in enumerate(urls)
        ]
        with running(*commands) as peers:
            self.until_writing(folder, len(urls))
            yield [peer.pid for peer in peers]


class Gstreamer(_Files):
    """One pipeline per camera; fragments of two seconds, cut every 60 s."""

    name = "gstreamer"

    def missing(self) -> str:
        if not shutil.which("gst-launch-1.0"):
            return "gst-launch-1.0 is not installed"
        for element in ("rtspsrc", "rtph264depay", "h264parse", "splitmuxsink", "mp4mux"):
            if subprocess.run(["gst-inspect-1.0", "--exists", element], check=False, timeout=60).returncode:
                return f"GStreamer has no {element}"
        return ""

    @contextmanager
    def recording(self, folder: Path, urls: list[str], codec: str) -> Iterator[list[int]]:
        commands = [
            [
                *f"gst-launch-1.0 -q rtspsrc location={url} protocols=tcp ! rtp{codec}depay ! {codec}parse !".split(),
                *f"splitmuxsink location={folder}/cam-{number}-%03d.mp4 max-size-time=60000000000".split(),
                *["muxer-factory=mp4mux", "muxer-properties=properties,fragment-duration=2000"],
            ]
            for number, url in enumerate(urls)
        ]
        with running(*commands) as peers:
            self.until_writing(folder, len(urls))
            yield [peer.pid for peer in peers]


class PyAv(_Files):
    """Threads in one process."""

    name = "pyav"

    def missing(self) -> str:
        return ""

    @contextmanager
    def recording(self, folder: Path, urls: list[str], codec: str) -> Iterator[list[int]]:
        with running([sys.executable, "-m", "tests.bench.pyav_peer", str(folder), *urls]) as [peer]:
            self.until_writing(folder, len(urls))
            yield [peer.pid]


class Floor(_Files):
    """Compiled here, by the machine's own compiler, into `workshop`."""

    name = "floor"
    pattern = "cam-*.raw"

    def __init__(self, workshop: Path) -> None:
        self._program = workshop / "floor"

    def missing(self) -> str:
        compiler = shutil.which("cc")
        if compiler is None:
            return "there is no C compiler (cc)"
        if not self._program.exists():
            command = [compiler, "-O2", "-Wall", "-o", str(self._program), str(_FLOOR_SOURCE)]
            made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
            if made.returncode:
                return f"cc cannot compile floor.c: {made.stderr.strip()[:200]}"
        return ""

    @contextmanager
    def recording(self, folder: Path, urls: list[str], codec: str) -> Iterator[list[int]]:
        with running([str(self._program), str(folder), *urls]) as [peer]:
            self.until_writing(folder, len(urls))
            yield [peer.pid]


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
    """Raises Failed where it is not so in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"gave up after {seconds:g} s waiting until {what}")
        time.sleep(0.05)
