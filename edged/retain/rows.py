"""The index's segments and holds, as the files of this station read them. Every function runs inside one call."""

import functools
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from edged.archive.layout import segment_path
from edged.archive.roster import situation_of
from edged.archive.schema import DOOMED, MISSING, SEALED
from edged.archive.segments import BY_KEY, STREAM_OF, SegmentKey, key_values
from edged.base.clock import DAY
from edged.model import Floor, Situation
from edged.retain.verdict import SegmentFacts

_SELECT = """
SELECT segment.*, camera.id AS camera_id, camera.place, camera.designations, camera.keep_days, camera.keep,
       floor.days AS floor_days, floor.rules AS floor_rules, volume.id AS volume_id
FROM segment JOIN camera ON camera.no = segment.camera JOIN floor ON floor.no = segment.floor
JOIN volume ON volume.no = segment.volume
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSegment:
    """One row of the index with what it refers to. `camera_no` is the camera's row number, `state` the schema's."""

    key: SegmentKey
    camera_no: int
    situation: Situation
    end_us: int
    keep_until_us: int
    floor: Floor
    volume: str
    bytes: int
    sha256: str
    state: int

    @property
    def file(self) -> PurePosixPath:
        """Below its volume."""
        return segment_path(self.key.camera, self.key.stream, self.key.start_us, self.key.run, self.key.seq)

    @property
    def facts(self) -> SegmentFacts:
        return SegmentFacts(keep_until_us=self.keep_until_us, floor=self.floor)


@dataclass(frozen=True, slots=True)
class HeldSpan:
    """A hold in force, as far as one camera is concerned."""

    hold: str
    start_us: int
    end_us: int | None

    def covers(self, segment: StoredSegment) -> bool:
        """Whether the segment shares an instant with the hold; the same comparison as the database's own guard."""
        return self.start_us < segment.end_us and (self.end_us is None or self.end_us > segment.key.start_us)


Held = Mapping[int, list[HeldSpan]]  # by camera number


def holds_in_force(connection: sqlite3.Connection) -> Held:
    """Every hold not yet released by two people."""
    spans: dict[int, list[HeldSpan]] = {}
    for row in connection.execute(
        "SELECT hold_camera.camera, hold.id, hold.start_us, hold.end_us FROM hold JOIN hold_camera"
        " ON hold_camera.hold = hold.no WHERE hold.released_us IS NULL ORDER BY hold.no"
    ):
        spans.setdefault(row["camera"], []).append(HeldSpan(row["id"], row["start_us"], row["end_us"]))
    return spans


def held_at(connection: sqlite3.Connection, at_us: int) -> frozenset[str]:
    """The ids of the cameras of which a hold in force covers the instant `at_us`."""
    rows = connection.execute(
        "SELECT DISTINCT camera.id FROM hold JOIN hold_camera ON hold_camera.hold = hold.no"
        " JOIN camera ON camera.no = hold_camera.camera"
        " WHERE hold.released_us IS NULL AND hold.start_us <= ?1 AND (hold.end_us IS NULL OR hold.end_us > ?1)",
        (at_us,),
    )
    return frozenset(row["id"] for row in rows)


def held_by(holds: Held, segment: StoredSegment) -> tuple[str, ...]:
    """The ids of the holds that cover `segment`."""
    return tuple(span.hold for span in holds.get(segment.camera_no, ()) if span.covers(segment))


def doomed_segments(
    connection: sqlite3.Connection, limit: int, after: StoredSegment | None = None
) -> list[StoredSegment]:
    """Up to `limit` doomed segments in the order of their camera numbers and keys, from behind `after`."""
    behind = (-1, 0, 0, 0, 0) if after is None else (after.camera_no, *key_values(after.key)[1:])
    rows = connection.execute(
        f"{_SELECT} WHERE segment.state = {DOOMED} AND"
        " (segment.camera, segment.stream, segment.start_us, segment.run, segment.seq) > (?, ?, ?, ?, ?)"
        " ORDER BY segment.camera, segment.stream, segment.start_us, segment.run, segment.seq LIMIT ?",
        (*behind, limit),
    )
    return [stored(row) for row in rows]


def find_stored(connection: sqlite3.Connection, key: SegmentKey) -> StoredSegment | None:
    """The segment with that key, in whatever state."""
    row = connection.execute(f"{_SELECT} WHERE {BY_KEY}", key_values(key)).fetchone()
    return None if row is None else stored(row)


def delete_row(connection: sqlite3.Connection, key: SegmentKey) -> None:
    connection.execute(f"DELETE FROM segment WHERE {BY_KEY}", key_values(key))


def past_floor(
    connection: sqlite3.Connection,
    camera_id: str,
    stream_no: int,
    by_us: int,
    *,
    behind: SegmentKey | None = None,
    volume: str | None = None,
) -> Iterator[StoredSegment]:
    """The segments of one stream whose floor had passed by `by_us`, oldest first; neither doomed nor forgotten.

    Only those behind the key `behind`, and on `volume`, where these are given. No floor is shorter than the shortest
    in the index, which bounds how far the keys are read.
    """
    rows = connection.execute(
        f"{_SELECT} WHERE segment.camera = (SELECT no FROM camera WHERE id = :camera) AND segment.stream = :stream"
        " AND (segment.start_us, segment.run, segment.seq) > (:start_us, :run, :seq)"
        f" AND segment.start_us <= :by - (SELECT min(days) FROM floor) * {DAY}"
        f" AND segment.state IN ({SEALED}, {MISSING}) AND segment.keep_until_us <= :by"
        " AND (:volume IS NULL OR volume.id = :volume)"
        " ORDER BY segment.start_us, segment.run, segment.seq",
        {
            "camera": camera_id,
            "stream": stream_no,
            "start_us": -1 if behind is None else behind.start_us,
            "run": 0 if behind is None else behind.run,
            "seq": 0 if behind is None else behind.seq,
            "by": by_us,
            "volume": volume,
        },
    )
    return (stored(row) for row in rows)


def stored(row: sqlite3.Row) -> StoredSegment:
    """A row of this file's own selection."""
    key = SegmentKey(row["camera_id"], STREAM_OF[row["stream"]], row["start_us"], row["run"], row["seq"])
    return StoredSegment(
        key=key,
        camera_no=row["camera"],
        situation=situation_of(row),
        end_us=row["end_us"],
        keep_until_us=row["keep_until_us"],
        floor=_floor(row["floor_days"], row["floor_rules"]),
        volume=row["volume_id"],
        bytes=row["bytes"],
        sha256=row["sha256"].hex(),
        state=row["state"],
    )


@functools.lru_cache(256)
def _floor(days: int, rules: str) -> Floor:
    return Floor(days=days, rules=tuple(json.loads(rules)))
