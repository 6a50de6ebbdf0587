"""The most cameras one box records without losing a packet, its own cameras running on the same two cores.

    python -m tests.bench.recorder_max [--bitrate 4M] [--pacing spread] [--seconds 60] [--start 32]

Doubles until a short trial fails, bisects with short trials, then holds the highest number for the full time; where
that fails it steps down. A trial is good where the journal knows of no lost packet, loss or broken stream, and what
was stored in the time is what the cameras should have sent: a fleet that falls behind loses nothing and proves nothing.

Prints one JSON line a figure: name, value, unit, target, ok; says on stderr what limited it.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench import fleets
from tests.bench.contenders import Edged, Failed
from tests.bench.figures import check_space, clear, figure, note
from tests.bench.fleets import Scene
from tests.bench.processes import busy_seconds, cpu_seconds, end_in_order, pss_bytes, thread_seconds
from tests.bench.recorder import LUMP_SECONDS, bytes_in, fresh

TARGET = 200
TRIAL_SECONDS = 10.0
WARM_UP_SECONDS = 6.0
STEP = 8  # cameras; finer than the machine's own unrest
BUSY = 0.92  # of a core, for a thread; of all cores, for the machine


@dataclass(frozen=True, slots=True)
class Trial:
    """What so many cameras took, in shares of a core; `error` is "" where nothing was lost."""

    cameras: int
    error: str = ""
    recorder: float = 0.0
    recorder_thread: float = 0.0  # its busiest
    fleet: float = 0.0
    fleet_process: float = 0.0  # its busiest
    machine: float = 0.0  # everything on it
    stored: float = 0.0  # share of what should have been sent
    pss: int = 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bitrate", default="4M")
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--pacing", choices=("spread", "burst"), default="spread", help="how a frame's packets leave")
    parser.add_argument("--seconds", type=float, default=60.0, help="the number that is reported is held so long")
    parser.add_argument("--start", type=int, default=32)
    parser.add_argument("--most", type=int, default=512)
    parser.add_argument("--cores", default="0,1", help="run on these cores alone")
    parser.add_argument("--folder", type=Path, help="where recordings go (default: the temp folder)")
    arguments = parser.parse_args()
    end_in_order()
    cores = {int(core) for core in arguments.cores.split(",")} & os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # inherited by the recorder and the cameras
    with tempfile.TemporaryDirectory(prefix="edged-bench-", dir=arguments.folder) as name:

        def attempt(cameras: int, seconds: float) -> Trial:
            scene = Scene(cameras, arguments.bitrate, arguments.size, pacing=arguments.pacing)
            return run_trial(scene, Path(name), seconds, len(cores))

        best, first_bad = find_most(attempt, arguments.start, arguments.most, arguments.seconds)
    if best is None:
        note(f"not even {arguments.start} cameras were recorded whole")
        return 1
    report(best, first_bad, len(cores), arguments.bitrate)
    return 0


def find_most(
    attempt: Callable[[int, float], Trial], start: int, most: int, seconds: float, step: int = STEP
) -> tuple[Trial | None, Trial | None]:
    """The highest number that held for `seconds`, and the lowest that did not hold; None where there was none."""
    good, bad, cameras = 0, None, start
    while cameras <= most:
        trial = attempt(cameras, TRIAL_SECONDS)
        if trial.error:
            bad = trial
            break
        good, cameras = cameras, cameras * 2
    while bad is not None and bad.cameras - good > step:
        middle = (good + bad.cameras) // 2 // step * step
        if middle <= good:
            break
        trial = attempt(middle, TRIAL_SECONDS)
        if trial.error:
            bad = trial
        else:
            good = middle
    while good > 0:
        trial = attempt(good, seconds)
        if not trial.error:
            return trial, bad
        bad = trial
        good -= max(step, good // 10 // step * step)
    return None, bad


def run_trial(scene: Scene, folder: Path, seconds: float, cores: int) -> Trial:
    """Record the scene and say what it took."""
    check_space(folder, scene.cameras * scene.bits_per_second / 8 * (seconds + WARM_UP_SECONDS + 30))
    note(f"{scene.cameras} cameras for {seconds:g} s")
    here = fresh(folder)
    trial = Trial(scene.cameras)
    try:
        with fleets.filming(scene) as cameras, Edged().recording(here, cameras.urls, scene.codec) as pids:
            trial = observe(scene, here, cameras.pids, pids, seconds, cores)
        Edged().check(here)
        least = 1 - LUMP_SECONDS / seconds
        if trial.stored < least:
            raise Failed(f"{trial.stored:.0%} of what should have been sent was stored: the cameras fell behind")
    except Failed as failure:
        trial = replace(trial, error=str(failure))
    finally:
        clear(here, folder)
    note(
        f"  {trial.error or 'held'}; recorder {trial.recorder:.0%}, its busiest thread {trial.recorder_thread:.0%}, "
        f"cameras {trial.fleet:.0%}, machine {trial.machine:.0%} of {cores} cores"
    )
    return trial


def observe(scene: Scene, here: Path, filming: list[int], recording: list[int], seconds: float, cores: int) -> Trial:
    """Watch what is running for so long."""
    time.sleep(WARM_UP_SECONDS)
    began, stored, busy = time.monotonic(), bytes_in(here), busy_seconds()
    threads = [thread_seconds(pid) for pid in recording]
    recorder, fleet = cpu_seconds(recording), [cpu_seconds([pid]) for pid in filming]
    time.sleep(seconds)
    took = time.monotonic() - began
    spent = [
        seconds_now - before.get(thread, 0.0)
        for pid, before in zip(recording, threads, strict=True)
        for thread, seconds_now in thread_seconds(pid).items()
    ]
    fleet = [cpu_seconds([pid]) - before for pid, before in zip(filming, fleet, strict=True)]
    return Trial(
        cameras=scene.cameras,
        recorder=(cpu_seconds(recording) - recorder) / took,
        recorder_thread=max(spent) / took,
        fleet=sum(fleet) / took,
        fleet_process=max(fleet) / took,
        machine=(busy_seconds() - busy) / took,
        stored=(bytes_in(here) - stored) * 8 / took / scene.cameras / scene.bits_per_second,
        pss=pss_bytes(recording),
    )


def name_limit(bad: Trial | None, cores: int) -> str:
    """What stood in the way of one camera more, as far as the accounts tell."""
    if bad is None:
        return "nothing: the search ended at --most"
    reasons = []
    if bad.recorder_thread > BUSY:
        reasons.append("the recorder's event loop, which is one thread")
    if bad.fleet_process > BUSY:
        reasons.append("the simulated cameras' own event loop")
    if bad.machine > BUSY * cores:
        reasons.append(f"the {cores} cores, of which the cameras took {bad.fleet:.0%} and the recorder the rest")
    if not reasons and "(disk)" in bad.error:
        reasons.append("the volume's queue: the disk was too slow for it, or too many fragments came at one moment")
    if not reasons:
        reasons.append("neither a core, nor a thread, nor the disk: moments in which a socket buffer was too small")
    return "; ".join(reasons) + f" ({bad.cameras} cameras: {bad.error})"


def report(best: Trial, bad: Trial | None, cores: int, bitrate: str) -> None:
    head = f"recorder.max.{bitrate}"
    each = best.recorder / best.cameras
    figure(f"{head}.cameras", best.cameras, "cameras", TARGET, least=True)
    figure(f"{head}.edged.cpu_per_camera", each * 100, "% of a core")
    figure(f"{head}.fleet.cpu_per_camera", best.fleet / best.cameras * 100, "% of a core")
    figure(f"{head}.edged.pss", best.pss / 2**20, "MiB")
    # What the cameras took would be the recorder's, if they stood elsewhere.
    figure(f"{head}.cameras_without_the_fleet.one_process", 1 / (best.recorder_thread / best.cameras), "cameras")
    figure(f"{head}.cameras_without_the_fleet.all_cores", cores / each, "cameras")
    note(f"limited by {name_limit(bad, cores)}")


if __name__ == "__main__":
    sys.exit(main())
