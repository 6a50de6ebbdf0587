"""What the archive's tests share: artificial facts, journals on real folders, an index, and rows put in by hand."""

import hashlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from edged.archive.database import transact
from edged.archive.indexing import Stamped, floor_no
from edged.archive.journal import encode
from edged.archive.layout import journal_path, segment_path
from edged.archive.ledger import deletion_topic, hold_topic
from edged.archive.segments import SegmentKey
from edged.archive.volumes import Volume, open_volumes
from edged.base.clock import DAY, HOUR, MINUTE
from edged.base.files import canonical_json
from edged.model import (
    Cause,
    Fact,
    Floor,
    RecorderStart,
    RecorderStop,
    SegmentSealed,
    StreamDown,
    StreamKind,
    StreamUp,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
T0 = 1_790_000_000_000_000  # 2026-09-21 14:13:20 UTC
FLOOR = Floor(days=30, rules=("art-x",))


def stamp(fact: SegmentSealed) -> Stamped:
    """A floor of 30 days with a date that keeps it generously."""
    return Stamped(FLOOR, fact.end_us + 32 * DAY)


def sealed(camera: str = "cam-1", start_us: int = T0, length_us: int = MINUTE, **changes: Any) -> SegmentSealed:
    fields: dict[str, Any] = {
        "camera": camera,
        "stream": StreamKind.MAIN,
        "start_us": start_us,
        "end_us": start_us + length_us,
        "run": 1,
        "seq": 0,
        "bytes": 1000,
        "frames": 25,
        "keyframes": 1,
        "codec": "avc1.64001f",
        "width": 640,
        "height": 360,
        "sha256": hashlib.sha256(f"{camera} {start_us}".encode()).hexdigest(),
        "lost_packets": 0,
        "recovered": False,
        "boot_id": "boot-1",
        "start_mono_us": 1,
    }
    return SegmentSealed(**{**fields, **changes})


def leave_segment(volume: Path, key: SegmentKey, end_us: int, size: int = 64, **changes: Any) -> SegmentSealed:
    """A sealed segment as the recorder leaves it: a file unlike any other, and what the journal will say of it."""
    content = f"{key} ".encode().ljust(size, b".")
    file = volume / segment_path(*key)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return sealed(**{**key._asdict(), "end_us": end_us, "bytes": len(content), "sha256": digest, **changes})


def row_of_segments(count: int, camera: str = "cam-1", start_us: int = T0, run: int = 1) -> list[SegmentSealed]:
    """Minutes of one session: each begins where the one before ends."""
    return [sealed(camera, start_us + i * MINUTE, run=run, seq=i) for i in range(count)]


def up(at_us: int, camera: str = "cam-1") -> StreamUp:
    return StreamUp(camera=camera, stream=StreamKind.MAIN, at_us=at_us, mono_us=1, boot_id="boot-1")


def down(at_us: int, cause: Cause, camera: str = "cam-1", last_frame_us: int | None = None) -> StreamDown:
    return StreamDown(
        camera=camera,
        stream=StreamKind.MAIN,
        at_us=at_us,
        mono_us=1,
        boot_id="boot-1",
        cause=cause,
        last_frame_us=last_frame_us,
        code="REC-001",
    )


def recorder_start(at_us: int, run: int = 1) -> RecorderStart:
    return RecorderStart(recorder="nvr", run=run, at_us=at_us, mono_us=1, boot_id="boot-1", version="0")


def recorder_stop(at_us: int, run: int = 1) -> RecorderStop:
    return RecorderStop(recorder="nvr", run=run, at_us=at_us, mono_us=1, boot_id="boot-1")


def write_journal(volume: Path, facts: Iterable[Fact | bytes], at_us: int = T0, recorder: str = "nvr") -> Path:
    """Append facts, or raw bytes, to the volume's journal file of that day."""
    path = volume / journal_path(recorder, at_us)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        for fact in facts:
            file.write(fact if isinstance(fact, bytes) else encode(fact))
    return path


def write_files(volume: Path, facts: Iterable[SegmentSealed]) -> list[Path]:
    """The published files that `facts` promise."""
    paths = []
    for fact in facts:
        path = volume / segment_path(fact.camera, fact.stream, fact.start_us, fact.run, fact.seq)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"footage")
        paths.append(path)
    return paths


def make_volume(connection: sqlite3.Connection, path: Path, volume_id: str = "disk-a") -> Volume:
    """An initialised volume at `path`."""
    path.mkdir(parents=True, exist_ok=True)
    (volume,) = transact(connection, open_volumes, [(volume_id, path)], T0)
    assert not volume.fenced
    return volume


def put_rows(connection: sqlite3.Connection, *, now_us: int = T0 + 100 * DAY) -> None:
    """One camera (no 1), one volume (no 1), one segment of one minute at T0, and a retention clock at `now_us`."""
    connection.execute("INSERT INTO volume VALUES (1, 'disk-a', 'uuid-a', 0)")
    connection.execute(
        "INSERT INTO camera (no, id, source, state, place, found_us, adopted_us)"
        " VALUES (1, 'cam-1', 'static', 'adopted', 'listed', 0, 0)"
    )
    connection.execute("INSERT INTO retention_clock VALUES (1, ?, 0, 'boot-1', ?)", (now_us, now_us))
    floor = floor_no(connection, FLOOR)
    connection.execute(
        "INSERT INTO segment VALUES (1, 0, ?, 1, 0, ?, ?, ?, 1, 1000, 25, 1, 0, 'avc1', 640, 360, 0, 0, ?)",
        (T0, T0 + MINUTE, T0 + 32 * DAY, floor, bytes(32)),
    )


def put_hold(connection: sqlite3.Connection, start_us: int = T0 - MINUTE, end_us: int | None = None) -> None:
    """Hold 1 over camera 1."""
    connection.execute(
        "INSERT INTO hold (no, id, case_ref, authority, document, start_us, end_us, placed_by, placed_us)"
        " VALUES (1, 'hold-1', 'case', 'office', 'letter', ?, ?, 'ann', 0)",
        (start_us, end_us),
    )
    connection.execute("INSERT INTO hold_camera (hold, camera) VALUES (1, 1)")


def told(kind: str, topic: str, body: object) -> tuple[str, str]:
    """Statements that append an entry to the ledger past all of edged, for guards that ask it."""
    text = canonical_json(body).decode()
    return (
        f"INSERT INTO ledger SELECT coalesce(max(seq), 0) + 1, 1, '{kind}', '{text}', zeroblob(32) FROM ledger",
        f"INSERT INTO ledger_topic SELECT '{topic}', max(seq) FROM ledger",
    )


def told_going(start_us: int = T0, run: int = 1, seq: int = 0) -> tuple[str, str]:
    """The entry that announces the deletion of one minute of camera 1."""
    named = [[start_us % HOUR, MINUTE, run, seq]]
    return told("segments_deleted", deletion_topic("cam-1", "main", start_us // HOUR), {"segments": named})


# Hold 1 is released by ann, then by bob.
TOLD_FIRST = told("hold_release_first", hold_topic("hold-1"), {"hold": "hold-1", "by": "ann"})
TOLD_RELEASE = told("hold_released", hold_topic("hold-1"), {"hold": "hold-1", "first": "ann", "second": "bob"})


def execute_all(connection: sqlite3.Connection, *statements: str) -> None:
    for statement in statements:
        connection.execute(statement)
