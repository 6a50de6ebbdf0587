"""What must be true of a box after a power cut, read from the disk alone (I7)."""

import hashlib
import itertools
import shutil
import sqlite3
from collections import defaultdict
from pathlib import Path

from edged.archive.journal import BadLine, decode
from edged.archive.layout import segment_path
from edged.model import Fact, SegmentSealed, StreamKind
from simulators.fleet import Fleet
from simulators.judge import Frame, decode_all, read_frames

SECOND = 1_000_000


def facts_of(volume: Path) -> list[Fact]:
    """Every whole line of the volume's journals. A line that a cut has torn is none."""
    found: list[Fact] = []
    for day in sorted(volume.glob("journal/*/*.ndjson")):
        for line in day.read_bytes().rpartition(b"\n")[0].split(b"\n"):
            try:
                found.append(decode(line))
            except BadLine:
                continue
    return found


def sealed_of(volume: Path) -> list[SegmentSealed]:
    return [fact for fact in facts_of(volume) if isinstance(fact, SegmentSealed)]


def path_of(volume: Path, fact: SegmentSealed) -> Path:
    return volume / segment_path(fact.camera, fact.stream, fact.start_us, fact.run, fact.seq)


def check_journal_is_true(volume: Path) -> int:
    """A line is a promise: its file is there with these bytes. Returns how many were checked."""
    sealed = sealed_of(volume)
    for fact in sealed:
        path = path_of(volume, fact)
        assert path.exists(), f"journalled, but not on the disk: {path.name}"
        content = path.read_bytes()
        assert len(content) == fact.bytes, f"{path.name}: {len(content)} bytes, the journal says {fact.bytes}"
        assert hashlib.sha256(content).hexdigest() == fact.sha256, f"{path.name} has not the hash of its journal line"
    return len(sealed)


def check_index_is_true(state: Path, volume: Path, scratch: Path) -> int:
    """A row is a promise too. The database is copied first, so that looking changes nothing. Returns how many rows."""
    scratch.mkdir()
    for file in state.glob("index.sqlite3*"):
        shutil.copyfile(file, scratch / file.name)
    database = sqlite3.connect(scratch / "index.sqlite3")
    try:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'segment'").fetchone() == (0,):
            return 0
        rows = database.execute(
            "SELECT camera.id, segment.stream, start_us, run, seq, bytes, sha256 FROM segment"
            " JOIN camera ON camera.no = segment.camera WHERE segment.state = 0"
        ).fetchall()
    finally:
        database.close()
        shutil.rmtree(scratch)
    for camera, stream, start_us, run, seq, size, sha256 in rows:
        kind = StreamKind.SUB if stream else StreamKind.MAIN
        path = volume / segment_path(camera, kind, start_us, run, seq)
        assert path.exists(), f"indexed, but not on the disk: {path.name}"
        content = path.read_bytes()
        assert len(content) == size, f"{path.name}: {len(content)} bytes, the index says {size}"
        assert hashlib.sha256(content).digest() == sha256, f"{path.name} has not the hash of its row"
    return len(rows)


def check_disk_is_journalled(volume: Path) -> None:
    """After an orderly end: every segment has exactly one line, and nothing is left open."""
    files = set(volume.glob("segments/*/*/*"))
    lines = [path_of(volume, fact) for fact in sealed_of(volume)]
    assert len(lines) == len(set(lines)), "a segment has two journal lines"
    assert set(lines) == files, "what is on the disk and what is journalled differ"


def frames_by_camera(volume: Path) -> dict[int, list[Frame]]:
    """Each camera's frames in recording order; every file is decoded whole on the way."""
    found: dict[int, list[Frame]] = defaultdict(list)
    for fact in sorted(sealed_of(volume), key=lambda fact: (fact.camera, fact.run, fact.seq)):
        frames = read_frames(path_of(volume, fact))
        assert decode_all(path_of(volume, fact)) == len(frames) == fact.frames
        assert frames[0].is_keyframe
        found[frames[0].camera] += frames
    return dict(found)


def sessions_began(fleet: Fleet) -> dict[int, list[int]]:
    """When the first frame of each session was captured, by camera: film from before it was never sent."""
    return {
        number: [
            camera.feed.captured_us(one["first"]) for one in camera.stats()["sessions"] if one["first"] is not None
        ]
        for number, camera in enumerate(fleet.cameras, start=1)
    }


def check_losses(
    frames: dict[int, list[Frame]], cuts_us: list[int], limit_us: int, began_us: dict[int, list[int]]
) -> list[int]:
    """Holes are at cuts alone, and of the session that a cut ended no more than `limit_us` is missing.

    Returns what was lost before each cut, of every camera, in microseconds.
    """
    lost: list[int] = []
    for camera, kept in frames.items():
        counters = [frame.counter for frame in kept]
        assert len(set(counters)) == len(counters), f"camera {camera}: a frame is stored twice"
        assert counters == sorted(counters), f"camera {camera}: frames are out of order"
        holes = [(a, b) for a, b in itertools.pairwise(kept) if b.counter != a.counter + 1]
        for a, b in holes:
            assert any(a.capture_us <= cut_us <= b.capture_us for cut_us in cuts_us), (
                f"camera {camera}: frames {a.counter + 1} to {b.counter - 1} are missing, and no cut was then"
            )
        for cut_us in cuts_us:
            before = [frame.capture_us for frame in kept if frame.capture_us <= cut_us]
            assert before, f"camera {camera}: nothing is left from before the cut"
            sent_us = max((began for began in began_us[camera] if began <= cut_us), default=0)
            lost.append(cut_us - max(before[-1], sent_us))
            assert lost[-1] <= limit_us, f"camera {camera}: {lost[-1] / SECOND:.2f} s were lost"
    return lost
