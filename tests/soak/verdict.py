"""Judge a soak from what it left: samples, journal, index, and the marks in the recorded frames (I4).

The marks say which frame is which, so the truth about what is missing does not come from the recorder: where a number
is missing between two files there must be a gap of that length; where one is missing inside a file, a loss.
"""

import itertools
import statistics
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import av

from edged.archive.coverage import query
from edged.archive.database import Database
from edged.archive.intake import Intake
from edged.archive.volumes import open_volumes
from edged.base.clock import SystemClock
from edged.base.spans import Span
from edged.model import Coverage, Loss, SegmentSealed, StreamKind
from simulators.judge import Frame
from simulators.packets import read_mark
from tests.archive_kit import SHANGHAI, stamp
from tests.film_proof import prove, prove_torn
from tests.soak.run import VOLUME, Outcome

LATE_US = 1_000_000  # by how much a label may part from the capture on a busy machine: the tick, the fleet, the loop
MEMORY_KIB = 8 * 1024
TWICE_EVERY = 16  # PyAV decodes every file, ffprobe one in so many: a process for each of thousands takes an hour


@dataclass(slots=True)
class Report:
    """The figures of one soak. `wrong` is empty where all is well."""

    cameras: int = 0
    seconds: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    files: int = 0
    frames: int = 0
    missing_frames: int = 0
    unmarked_frames: int = 0
    gaps: int = 0
    gap_seconds: float = 0.0
    losses: int = 0
    sessions: int = 0
    unexplained_us: int = 0  # coverage + gaps against elapsed time, of all cameras
    worst_gap_error_ms: float = 0.0
    causes: dict[str, int] = field(default_factory=dict)
    memory_kib: tuple[int, int] = (0, 0)  # PSS in the quiet before and after
    memory_peak_kib: int = 0
    fds: tuple[int, int] = (0, 0)
    threads: tuple[int, int] = (0, 0)
    tasks: tuple[int, int] = (0, 0)
    wrong: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Shot:
    """One recorded file: its journal line, its marked frames, and how many lost their mark."""

    fact: SegmentSealed
    frames: list[Frame]
    unmarked: int


async def judge(outcome: Outcome) -> Report:
    """Decode every file, ask the index about every camera, compare."""
    options = outcome.options
    report = Report(cameras=options.cameras, seconds=options.seconds)
    report.faults = dict(Counter(fault.kind for fault in outcome.faults))
    _judge_process(outcome, report)
    losses = outcome.site.losses(VOLUME)
    report.losses = len(losses)
    shots = _shots(outcome, losses, report)
    answers = await _coverage(outcome)
    causes: Counter[str] = Counter()
    for number, camera in enumerate(sorted(answers, key=lambda name: int(name.rpartition("-")[2])), start=1):
        coverage = answers[camera]
        own = [shot for shot in shots if shot.fact.camera == camera]
        judge_sum(coverage, Span(outcome.adopted_us, outcome.stopped_us), camera, report)
        _judge_frames(own, [loss for loss in losses if loss.camera == camera], coverage, number, options.fps, report)
        for gap in coverage.gaps:
            causes[gap.cause] += 1
            report.gap_seconds += gap.span.length_us / 1e6
        report.gaps += len(coverage.gaps)
    report.causes = dict(causes)
    report.sessions = sum(len(account["sessions"]) for account in outcome.cameras)
    for account in outcome.cameras:
        if account["sessions_open"]:
            report.wrong.append(f"{account['name']}: a session was left open")
    return report


def _judge_process(outcome: Outcome, report: Report) -> None:
    before, after = outcome.before[-1], outcome.after[-1]
    report.memory_kib = _level(outcome.before, "pss_kib"), _level(outcome.after, "pss_kib")
    samples = [*outcome.before, *outcome.during, *outcome.after]
    report.memory_peak_kib = max(sample["pss_kib"] for sample in samples)
    report.fds = max(sample["fds"] for sample in outcome.before), min(sample["fds"] for sample in outcome.after)
    report.threads = before["threads"], after["threads"]
    # The most before against the least after: a segment's file, or a client of the status, comes and goes.
    report.tasks = (
        max(len(sample["tasks"]) for sample in outcome.before),
        min(len(sample["tasks"]) for sample in outcome.after),
    )
    if outcome.code != 0:
        report.wrong.append(f"the recorder ended with {outcome.code}")
    if "Traceback" in outcome.errors or "was never awaited" in outcome.errors or "unclosed" in outcome.errors:
        report.wrong.append(f"the recorder complained: {outcome.errors[-2000:]}")
    if "127." in outcome.errors:
        report.wrong.append("the recorder's log names an address (I9)")
    if outcome.last.get("left") != []:
        report.wrong.append(f"tasks were left behind at the end: {outcome.last}")
    if (first := _named(before)) != (last := _named(after)):
        report.wrong.append(f"other tasks run than before: {sorted(first ^ last)}")
    if report.tasks[1] > report.tasks[0]:
        report.wrong.append(f"{report.tasks[0]} tasks became {report.tasks[1]}")
    if report.threads[0] != report.threads[1]:
        report.wrong.append(f"{report.threads[0]} threads became {report.threads[1]}")
    if report.fds[1] > report.fds[0]:
        report.wrong.append(f"{report.fds[0]} file descriptors became {report.fds[1]}")
    # The shelf of fragment buffers fills while the faults rain: what counts is that it does not go on growing.
    settled = _level(outcome.during[len(outcome.during) // 3 : len(outcome.during) // 2], "pss_kib")
    if report.memory_kib[1] > settled + MEMORY_KIB:
        report.wrong.append(f"{settled} KiB of memory became {report.memory_kib[1]}")


def _named(sample: dict[str, Any]) -> set[str]:
    """Tasks by name; those that serve a client of the status socket come and go with it, and have none."""
    return {name for name in sample["tasks"] if not name.startswith("Task-")}


def _level(samples: Sequence[dict[str, Any]], what: str) -> int:
    return round(statistics.median(int(sample[what]) for sample in samples))


def _shots(outcome: Outcome, losses: list[Loss], report: Report) -> list[Shot]:
    site = outcome.site
    facts, files = site.segments(VOLUME), site.files(VOLUME)
    keys = [(fact.camera, fact.run, fact.seq) for fact in facts]
    if len(set(keys)) != len(keys):
        report.wrong.append("a segment is journalled twice")
    for key in set(keys) ^ set(files):
        report.wrong.append(f"{key} is {'on the disk, but not journalled' if key in files else 'not on the disk'}")
    facts = [fact for fact in facts if (fact.camera, fact.run, fact.seq) in files]
    if left := site.files(VOLUME, part=True):
        report.wrong.append(f"{len(left)} segments were left open")
    paths = [files[fact.camera, fact.run, fact.seq] for fact in facts]
    with ThreadPoolExecutor(2) as pool:
        torn = [_is_torn(fact, losses) for fact in facts]
        twice = [number % TWICE_EVERY == 0 for number in range(len(facts))]
        for problem in pool.map(_problem, paths, facts, torn, twice):
            if problem:
                report.wrong.append(problem)
    shots = [_shot(path, fact) for fact, path in zip(facts, paths, strict=True)]
    report.unmarked_frames = sum(shot.unmarked for shot in shots)
    report.files, report.frames = len(shots), sum(shot.fact.frames for shot in shots)
    return sorted(shots, key=lambda shot: (shot.fact.camera, shot.fact.run, shot.fact.seq))


def _shot(path: Path, fact: SegmentSealed) -> Shot:
    """The access units of a file by their marks, in decoding order.

    Where a picture was lost but not the SEI message in front of it, that message stays, as signatures must, and stands
    with the next picture: so the last mark of an access unit is its own. Where the message was lost, there is none.
    """
    frames: list[Frame] = []
    unmarked = 0
    with av.open(str(path)) as container:
        for unit in container.demux(video=0):
            if unit.size == 0 or unit.pts is None or unit.time_base is None:
                continue
            marks = [mark for nal in _nals(bytes(unit)) if (mark := read_mark(nal)) is not None]
            if not marks:
                unmarked += 1
                continue
            pts_us = round(unit.pts * unit.time_base * 1_000_000)
            own = marks[-1]
            frames.append(Frame(own.counter, own.capture_us, unit.pts, unit.is_keyframe, own.camera, pts_us))
    return Shot(fact, frames, unmarked)


def _nals(unit: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(unit):
        size = int.from_bytes(unit[at : at + 4], "big")
        found.append(unit[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def _is_torn(fact: SegmentSealed, losses: list[Loss]) -> bool:
    """Whether packets are known to be missing from the file: from its own line, or where that was lost, from others."""
    if not fact.recovered:
        return fact.lost_packets > 0
    own = [loss for loss in losses if loss.camera == fact.camera and loss.packets]
    return _any_in(own, fact.start_us, fact.end_us)


def _problem(path: Path, fact: SegmentSealed, torn: bool, twice: bool) -> str:
    try:
        if torn:
            prove_torn(path, fact)
        else:
            prove(path, fact, twice=twice)
    except Exception as error:  # noqa: BLE001 - whatever a decoder finds is a find
        return f"{path.name}: {type(error).__name__} {error}"
    return ""


async def _coverage(outcome: Outcome) -> dict[str, Coverage]:
    """Take the journal into the index, and ask it about every camera."""
    database = Database(outcome.index)
    try:
        volumes = await database.write(open_volumes, [(VOLUME, outcome.site.path(VOLUME))], outcome.stopped_us)
        intake = Intake(database, SystemClock(), volumes, stamp, SHANGHAI)
        await intake.catch_up()
        intake.close()
        assert not intake.stopped, intake.stopped
        assert not intake.bad_lines
        window = Span(outcome.adopted_us - 3_600_000_000, outcome.stopped_us)
        return {
            camera["name"]: await database.read(query, camera["name"], StreamKind.MAIN, window)
            for camera in outcome.cameras
        }
    finally:
        database.close()


def judge_sum(coverage: Coverage, elapsed: Span, camera: str, report: Report) -> None:
    """Coverage and gaps lie side by side without a seam, from the adoption to the end."""
    pieces = sorted([*coverage.recorded, *(gap.span for gap in coverage.gaps)])
    at_us = elapsed.start_us
    for piece in pieces:
        report.unexplained_us += abs(piece.start_us - at_us)
        at_us = piece.end_us
    report.unexplained_us += abs(elapsed.end_us - at_us)
    if not pieces or pieces[0].start_us != elapsed.start_us or at_us != elapsed.end_us:
        report.wrong.append(f"{camera}: coverage and gaps are not all the time since its adoption")
    if any(after.start_us != before.end_us for before, after in itertools.pairwise(pieces)):
        report.wrong.append(f"{camera}: coverage and gaps overlap, or leave something out")


def _judge_frames(
    shots: list[Shot], losses: list[Loss], coverage: Coverage, number: int, fps: int, report: Report
) -> None:
    """Against the marks: nothing doubled, nothing missing without a gap or a loss, no gap where nothing is missing."""
    counters = [frame.counter for shot in shots for frame in shot.frames]
    camera = f"cam-{number}"
    if len(set(counters)) != len(counters):
        report.wrong.append(f"{camera}: {len(counters) - len(set(counters))} frames are recorded twice")
    if counters != sorted(counters):
        report.wrong.append(f"{camera}: frames are out of order")
    if {frame.camera for shot in shots for frame in shot.frames} != {number}:
        report.wrong.append(f"{camera}: frames of another camera")
    interval_us = 1_000_000 // fps
    for shot in shots:
        report.missing_frames -= shot.unmarked
        for a, b in itertools.pairwise(shot.frames):
            missing = b.counter - a.counter - 1
            report.missing_frames += missing
            begun_us = shot.fact.start_us + a.pts_us
            if missing and not _any_in(losses, begun_us, max(begun_us, shot.fact.start_us + b.pts_us)):
                report.wrong.append(f"{camera}: {missing} frames are missing inside a file, and no loss there says so")
    for before, after in itertools.pairwise(shots):
        missing = after.frames[0].counter - before.frames[-1].counter - 1
        report.missing_frames += missing
        between = Span(before.fact.end_us, max(before.fact.end_us, after.fact.start_us))
        said_us = sum(gap.span.cut_to(between).length_us for gap in coverage.gaps)
        if said_us != between.length_us:
            report.wrong.append(f"{camera}: {between.length_us} us lie between two files, the index says {said_us}")
        # Where the camera fell silent without the session ending, the file goes on and a loss says what is not in it.
        thin = _any_in(losses, before.fact.end_us - interval_us, between.end_us)
        error_us = abs(said_us - missing * interval_us)
        if missing and not said_us and not thin:
            report.wrong.append(f"{camera}: {missing} frames are missing between two files, and no gap says so")
        if said_us and not thin:
            report.worst_gap_error_ms = max(report.worst_gap_error_ms, error_us / 1000)
            if error_us > LATE_US:
                report.wrong.append(
                    f"{camera}: a gap of {said_us / 1e6:.2f} s where {missing * interval_us / 1e6:.2f} s are missing"
                )


def _any_in(losses: list[Loss], start_us: int, end_us: int) -> bool:
    return any(loss.start_us <= end_us and loss.end_us >= start_us for loss in losses)
