"""edged's recorder beside one `ffmpeg -c copy` process per camera: same fleet, one run, start-up excluded.

Prints one JSON line a figure: name, value, unit, target, ok. Progress goes to stderr.

    python -m tests.bench.recorder [--cameras 16] [--bitrate 4M] [--seconds 20] [--rounds 2]

The contenders take turns (A B A B ...), so that a machine that changes its speed changes it for both; ratios are of
the sums over all rounds.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edged.archive.journal import decode
from edged.model import SegmentSealed, StreamKind
from edged.record.assignment import AssignedStream, AssignedVolume, Assignment, write_assignment
from edged.record.process import assignment_path
from tests.bench.processes import cpu_seconds, pss_bytes, running

WARM_UP_SECONDS = 6.0


@dataclass
class Tally:
    """What one contender cost over all its rounds."""

    cpu: float = 0.0
    seconds: float = 0.0
    pss: list[int] = field(default_factory=list)
    stored: int = 0  # bytes on disk afterwards

    def cpu_ratio(self, cameras: int) -> float:
        """Share of one core per camera."""
        return self.cpu / self.seconds / cameras


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=16)
    parser.add_argument("--bitrate", default="4M")
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--seconds", type=float, default=20.0, help="measured, a round and contender")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    if shutil.which("ffmpeg") is None:
        print("ffmpeg is not installed: there is no peer to measure beside", file=sys.stderr)
        return 1
    fleet_command = [sys.executable, "-m", "simulators", "fleet", "--cameras", str(arguments.cameras)]
    fleet_command += ["--bitrate", arguments.bitrate, "--size", arguments.size]
    fleet_command += ["--auth", "none", "--no-onvif", "--no-multicast"]
    edged, ffmpeg, idle = Tally(), Tally(), Tally()
    with (
        tempfile.TemporaryDirectory(prefix="edged-bench-") as folder,
        running(fleet_command, stdout=subprocess.PIPE) as [fleet],
    ):
        assert fleet.stdout is not None
        cameras = json.loads(fleet.stdout.readline())["cameras"]
        urls = [camera["rtsp"] for camera in cameras]
        for turn in range(arguments.rounds):
            note(f"round {turn + 1} of {arguments.rounds}")
            run_edged(Path(folder) / f"edged-{turn}", urls, arguments.seconds, edged, idle)
            run_ffmpeg(Path(folder) / f"ffmpeg-{turn}", urls, arguments.seconds, ffmpeg)
    report(arguments, edged, ffmpeg, idle)
    return 0


def report(arguments: argparse.Namespace, edged: Tally, ffmpeg: Tally, idle: Tally) -> None:
    cameras = arguments.cameras
    scene = f"{cameras}x{arguments.bitrate}"
    ours, theirs = edged.cpu_ratio(cameras), ffmpeg.cpu_ratio(cameras)
    our_pss, their_pss = max(edged.pss) / cameras, max(ffmpeg.pss) / cameras
    marginal = (max(edged.pss) - min(idle.pss)) / cameras
    figure(f"recorder.{scene}.edged.cpu_per_camera", ours * 100, "% of a core", None)
    figure(f"recorder.{scene}.ffmpeg.cpu_per_camera", theirs * 100, "% of a core", None)
    figure(f"recorder.{scene}.cpu_ratio_to_ffmpeg", ours / theirs, "ratio", 0.40)
    figure(f"recorder.{scene}.edged.pss_per_camera", our_pss / 2**20, "MiB", None)
    figure(f"recorder.{scene}.ffmpeg.pss_per_camera", their_pss / 2**20, "MiB", None)
    figure(f"recorder.{scene}.edged.pss_marginal_per_camera", marginal / 2**20, "MiB", 2.0)
    figure(f"recorder.{scene}.pss_ratio_to_ffmpeg", our_pss / their_pss, "ratio", None)
    figure(f"recorder.{scene}.stored_ratio_to_ffmpeg", edged.stored / ffmpeg.stored, "ratio", None)


def figure(name: str, value: float, unit: str, target: float | None) -> None:
    ok = None if target is None else value <= target
    print(json.dumps({"name": name, "value": round(value, 4), "unit": unit, "target": target, "ok": ok}), flush=True)


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run_edged(folder: Path, urls: list[str], seconds: float, tally: Tally, idle: Tally) -> None:
    volume, state = folder / "v1", folder / "state"
    for made in (volume, state):
        made.mkdir(parents=True)
    (volume / "VOLUME.json").write_text(json.dumps({"v": 1, "volume": "v1", "uuid": "bench"}))
    command = [sys.executable, "-m", "edged", "recorder", "--id", "bench"]
    command += ["--state-dir", str(state), "--runtime-dir", str(state), "--log-level", "error"]
    write_assignment(assignment_path(state, "bench"), assignment(volume, []))
    with running(command) as [recorder]:
        wait_until(lambda: (state / "recorder-bench.sock").exists(), "the recorder answers")
        time.sleep(1.0)  # nothing to wait for: an idle process is measured
        idle.pss.append(pss_bytes([recorder.pid]))
        write_assignment(assignment_path(state, "bench"), assignment(volume, urls))
        parts = lambda: len(list(volume.glob("segments/*/*/*.part")))  # noqa: E731
        wait_until(lambda: parts() >= len(urls), "every camera is being recorded")
        measure([recorder.pid], seconds, tally)
    facts = [decode(line) for file in volume.glob("journal/*/*.ndjson") for line in file.read_bytes().splitlines()]
    sealed = [fact for fact in facts if isinstance(fact, SegmentSealed)]
    assert len({fact.camera for fact in sealed}) == len(urls), "a camera was not recorded"
    lost = sum(fact.lost_packets for fact in sealed)
    if lost:
        note(f"edged lost {lost} packets")
    tally.stored += sum(fact.bytes for fact in sealed)
    shutil.rmtree(folder)


def assignment(volume: Path, urls: list[str]) -> Assignment:
    streams = tuple(
        AssignedStream(camera=f"cam-{number}", stream=StreamKind.MAIN, url=url, username="", password="", volume="v1")
        for number, url in enumerate(urls)
    )
    return Assignment(
        generation=1 + bool(urls),
        recorder="bench",
        segment_seconds=60,
        fragment_seconds=2,
        sync_seconds=1,
        volumes=(AssignedVolume(id="v1", path=str(volume), uuid="bench"),),
        streams=streams,
    )


def run_ffmpeg(folder: Path, urls: list[str], seconds: float, tally: Tally) -> None:
    """The way the field does it: one process per camera, stream copy, fragmented MP4 cut every 60 s."""
    folder.mkdir(parents=True)
    copy = (
        "ffmpeg -nostdin -loglevel error -rtsp_transport tcp -i {url} -c copy -an -f segment -segment_time 60"
        " -reset_timestamps 1 -segment_format mp4"
        " -segment_format_options movflags=frag_keyframe+empty_moov+default_base_moof:flush_packets=1 {file}"
    )
    commands = [copy.format(url=url, file=folder / f"cam-{number}-%03d.mp4").split() for number, url in enumerate(urls)]
    with running(*commands) as peers:
        files = lambda: [file for file in folder.glob("*.mp4") if file.stat().st_size > 100_000]  # noqa: E731
        wait_until(lambda: len(files()) >= len(urls), "every ffmpeg is writing")
        measure([peer.pid for peer in peers], seconds, tally)
    tally.stored += sum(file.stat().st_size for file in folder.glob("*.mp4"))
    shutil.rmtree(folder)


def measure(pids: list[int], seconds: float, tally: Tally) -> None:
    time.sleep(WARM_UP_SECONDS)
    cpu, at = cpu_seconds(pids), time.monotonic()
    time.sleep(seconds)
    tally.cpu += cpu_seconds(pids) - cpu
    tally.seconds += time.monotonic() - at
    tally.pss.append(pss_bytes(pids))


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"gave up after {seconds:g} s waiting until {what}")
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
