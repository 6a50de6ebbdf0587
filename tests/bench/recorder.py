"""edged's recorder beside its peers: the same cameras, one run, start-up excluded.

    python -m tests.bench.recorder                          every peer that is installed, and the C floor: 16 and 64
                                                            cameras H.264, 16 H.265, and the memory of 128; 20 minutes
    python -m tests.bench.recorder --short                  edged and ffmpeg, 16 cameras; below two minutes
    python -m tests.bench.recorder --cameras 64 --contenders edged,floor --pacing burst
                                                            one scene, and who records it

Prints one JSON line a figure: name, value, unit, target, ok. Progress goes to stderr. The contenders take turns, in
another order each round, so that a machine that changes its speed changes it for all; ratios are of the sums over all
rounds. Exit code 1 where a contender that is installed did not record.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import fleets
from tests.bench.contenders import Contender, Edged, Failed, Ffmpeg, Floor, Gstreamer, PyAv
from tests.bench.figures import check_space, clear, figure, note
from tests.bench.fleets import Cameras, Scene
from tests.bench.processes import busy_seconds, cpu_seconds, end_in_order, pss_bytes

WARM_UP_SECONDS = 5.0
IDLE_SECONDS = 1.0
SHORT = ("edged", "ffmpeg")
SCENES = ((16, "h264"), (64, "h264"), (16, "h265"))
MEMORY_CAMERAS = 128
LEAST_SHARE = 0.8  # of the cameras' bit rate, in files within the measured seconds
LUMP_SECONDS = 2.5  # footage reaches the files in fragments of 2 s, so a share of it is known no better than this
PER_PROCESS = ("ffmpeg", "gstreamer")  # whose every process is a camera's cost


@dataclass
class Tally:
    """What one contender cost over all its rounds."""

    cpu: float = 0.0
    seconds: float = 0.0
    pss: list[int] = field(default_factory=list)
    idle_pss: int = 0
    stored: int = 0  # bytes that reached files in the measured seconds
    others: float = 0.0  # CPU seconds of everything that is neither the contender nor the cameras

    def cpu_ratio(self, cameras: int) -> float:
        """Share of one core per camera."""
        return self.cpu / self.seconds / cameras

    def marginal_pss(self, cameras: int) -> float:
        """Bytes per camera, what the process takes without cameras set aside."""
        return (max(self.pss) - self.idle_pss) / cameras


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="edged and ffmpeg, 16 cameras H.264")
    parser.add_argument("--cameras", type=int, help="measure one scene, of so many cameras")
    parser.add_argument("--codec", choices=("h264", "h265"), help="measure one scene, of this codec")
    parser.add_argument("--bitrate", default="4M")
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument(
        "--pacing", choices=("spread", "burst"), default="spread", help="how a frame's packets leave the cameras"
    )
    parser.add_argument("--seconds", type=float, default=16.0, help="measured, a round and contender")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--contenders", help="names with commas between (default: all)")
    parser.add_argument("--folder", type=Path, help="where recordings go (default: the temp folder)")
    arguments = parser.parse_args()
    end_in_order()
    with tempfile.TemporaryDirectory(prefix="edged-bench-", dir=arguments.folder) as name:
        folder = Path(name)
        everyone: list[Contender] = [Edged(), Ffmpeg(), PyAv(), Gstreamer(), Floor(folder)]
        one_scene = arguments.short or arguments.cameras is not None or arguments.codec is not None
        scenes = [
            Scene(cameras, arguments.bitrate, arguments.size, codec, arguments.pacing)
            for cameras, codec in ([(arguments.cameras or 16, arguments.codec or "h264")] if one_scene else SCENES)
        ]
        names = arguments.contenders.split(",") if arguments.contenders else SHORT if arguments.short else None
        if names and (unknown := set(names) - {one.name for one in everyone}):
            parser.error(f"no such contender: {', '.join(sorted(unknown))}")
        wanted = [one for one in everyone if names is None or one.name in names]
        able = [one for one in wanted if not say_missing(one.name, one.missing())]
        complete = True
        for scene in scenes:
            if say_missing(scene.name, fleets.missing(scene.codec)):
                continue
            complete &= run_scene(scene, able, folder, arguments.seconds, arguments.rounds)
        if not one_scene:
            scene = Scene(MEMORY_CAMERAS, arguments.bitrate, arguments.size, pacing=arguments.pacing)
            complete &= run_memory(scene, folder, arguments.seconds)
    return 0 if complete else 1


def say_missing(what: str, reason: str) -> bool:
    if reason:
        note(f"{what} left out: {reason}")
    return bool(reason)


def run_scene(scene: Scene, contenders: list[Contender], folder: Path, seconds: float, rounds: int) -> bool:
    """Measure and print; returns whether everyone recorded."""
    check_space(folder, scene.cameras * scene.bits_per_second / 8 * (seconds + WARM_UP_SECONDS + 20))
    tallies = {one.name: Tally() for one in contenders}
    failed: set[str] = set()
    with fleets.filming(scene) as cameras:
        for one in contenders:
            if one.name not in PER_PROCESS:
                tallies[one.name].idle_pss = measure_idle(one, folder)
        for turn in range(rounds):
            shift = turn % len(contenders)
            for one in contenders[shift:] + contenders[:shift]:
                if one.name in failed:
                    continue
                note(f"{scene.name}, round {turn + 1} of {rounds}: {one.name}")
                try:
                    measure(one, folder, cameras, scene, seconds, tallies[one.name])
                except Failed as error:
                    note(f"{scene.name}: {one.name} is out: {error}")
                    failed.add(one.name)
    report(scene, {name: tally for name, tally in tallies.items() if name not in failed})
    return not failed


def measure_idle(contender: Contender, folder: Path) -> int:
    """What the contender's process takes before it has a camera."""
    here = fresh(folder)
    with contender.recording(here, [], "h264") as pids:
        time.sleep(IDLE_SECONDS)  # nothing to wait for: an idle process is measured
        found = pss_bytes(pids)
    clear(here, folder)
    return found


def measure(
    contender: Contender, folder: Path, cameras: Cameras, scene: Scene, seconds: float, tally: Tally
) -> tuple[float, float]:
    """One round; adds to the tally. Returns the CPU seconds of the contender and of the cameras. Raises Failed."""
    here = fresh(folder)
    try:
        with contender.recording(here, cameras.urls, scene.codec) as pids:
            time.sleep(WARM_UP_SECONDS)
            stored, busy = bytes_in(here), busy_seconds()
            cpu, filming, at = cpu_seconds(pids), cpu_seconds(cameras.pids), time.monotonic()
            time.sleep(seconds)
            cpu, filming, took = cpu_seconds(pids) - cpu, cpu_seconds(cameras.pids) - filming, time.monotonic() - at
            stored, busy = bytes_in(here) - stored, busy_seconds() - busy
            tally.pss.append(pss_bytes(pids))
        contender.check(here)
        share = stored * 8 / took / scene.cameras / scene.bits_per_second
        if share < min(LEAST_SHARE, 1 - LUMP_SECONDS / seconds):
            raise Failed(f"it stored {share:.0%} of what the cameras sent")
        tally.seconds += took
        tally.cpu += cpu
        tally.stored += stored
        tally.others += max(0.0, busy - cpu - filming)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise Failed(f"a process ended before its time ({error})") from error
    finally:
        clear(here, folder)
    return cpu, filming


def bytes_in(folder: Path) -> int:
    """Bytes in the folder's files, without counting one twice that is being renamed by a link."""
    sizes: dict[int, int] = {}
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            status = file.stat()
            sizes[status.st_ino] = status.st_size
    return sum(sizes.values())


def fresh(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder))


def report(scene: Scene, tallies: dict[str, Tally]) -> None:
    head, cameras = f"recorder.{scene.name}", scene.cameras
    seconds = sum(tally.seconds for tally in tallies.values())
    if seconds:
        figure(f"{head}.other_work", sum(tally.others for tally in tallies.values()) / seconds, "cores")
    for name, tally in tallies.items():
        figure(f"{head}.{name}.cpu_per_camera", tally.cpu_ratio(cameras) * 100, "% of a core")
        figure(f"{head}.{name}.pss_per_camera", max(tally.pss) / cameras / 2**20, "MiB")
        target = 2.0 if name == "edged" else None
        figure(f"{head}.{name}.pss_marginal_per_camera", tally.marginal_pss(cameras) / 2**20, "MiB", target)
    ours = tallies.get("edged")
    if ours is None:
        return
    for name, limit in (("ffmpeg", 0.40), ("floor", 2.5), ("pyav", None), ("gstreamer", None)):
        theirs = tallies.get(name)
        if theirs is not None and theirs.cpu:
            ratio = ours.cpu_ratio(cameras) / theirs.cpu_ratio(cameras)
            figure(f"{head}.cpu_ratio_to_{name}", ratio, "ratio", limit)
    theirs = tallies.get("ffmpeg")
    if theirs is not None and theirs.stored:
        figure(f"{head}.pss_ratio_to_ffmpeg", max(ours.pss) / max(theirs.pss), "ratio")
        rates = [tally.stored / tally.seconds for tally in (ours, theirs)]
        figure(f"{head}.stored_ratio_to_ffmpeg", rates[0] / rates[1], "ratio")


def run_memory(scene: Scene, folder: Path, seconds: float) -> bool:
    """The memory of so many cameras in one recorder."""
    tally = Tally()
    check_space(folder, scene.cameras * scene.bits_per_second / 8 * (seconds + WARM_UP_SECONDS + 20))
    note(f"{scene.name}: the memory of edged alone")
    try:
        with fleets.filming(scene) as cameras:
            measure(Edged(), folder, cameras, scene, seconds, tally)
    except Failed as error:
        note(f"{scene.name}: edged is out: {error}")
        return False
    figure(f"recorder.{scene.name}.edged.pss", max(tally.pss) / 2**20, "MiB", 300.0)
    return True


if __name__ == "__main__":
    sys.exit(main())
