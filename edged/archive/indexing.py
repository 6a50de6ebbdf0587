"""Journal facts -> rows, inside the caller's transaction. Indexing a fact twice changes nothing.

A segment becomes its row, its part of the merged coverage and its share of the camera-day; every other fact becomes
a row that explains gaps. Each marks the hour whose record the ledger then owes. Overlapping segments are both kept as
they are: a clock that steps back may record the same minute twice, and both are footage.
"""

import dataclasses
import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple
from zoneinfo import ZoneInfo

from edged.archive import compared
from edged.archive.late import note_late
from edged.archive.roster import camera_no
from edged.archive.schema import SEALED, STREAM_NO
from edged.archive.segments import LONGEST_LOSS, LONGEST_SEGMENT, SegmentKey, local_day
from edged.archive.told import Told
from edged.base.clock import DAY, HOUR
from edged.base.files import canonical_json
from edged.base.spans import Span, union
from edged.law.counting import keep_until_us
from edged.model import Fact, Floor, Loss, RecorderStart, RecorderStop, SegmentSealed, StreamDown, StreamUp


class Stamped(NamedTuple):
    """What keeps a segment: its floor, the first instant at which it may go, and whether it came late."""

    floor: Floor
    keep_until_us: int
    late: bool = False


# Called on the database's thread, for cameras the roster may not know too.
Stamp = Callable[[SegmentSealed], Stamped]

_SEGMENT = (
    "INSERT INTO segment (camera, stream, start_us, run, seq, end_us, keep_until_us, floor, volume, bytes, frames,"
    " keyframes, lost, codec, width, height, recovered, state, sha256)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
# The same loss told twice, the second time longer, is one loss.
_FACT = (
    "INSERT INTO fact (camera, stream, at_us, kind, end_us, cause, packets, frames, detail)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
    " end_us = max(end_us, excluded.end_us), packets = max(packets, excluded.packets),"
    " frames = max(frames, excluded.frames)"
)
_CAMERA_DAY = (
    "INSERT INTO camera_day (camera, stream, day, segments, bytes, frames) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET segments = segments + excluded.segments, bytes = bytes + excluded.bytes,"
    " frames = frames + excluded.frames"
)
_CAMERA_DAY_GONE = (
    "UPDATE camera_day SET deleted_segments = deleted_segments + ?, deleted_bytes = deleted_bytes + ?"
    " WHERE camera = ? AND stream = ? AND day = ?"
)
_HOUR_DUE = "INSERT INTO hour_due (camera, stream, hour) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_LONGEST = (
    "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
    " WHERE CAST(excluded.value AS INTEGER) > CAST(value AS INTEGER)"
)


@dataclass(slots=True)
class Indexed:
    """What one batch brought. `doubled` segments were in the index already; `conflicting` ones with another hash;
    `deleted` ones are gone lawfully, as a ledger knows that outlived the index; `late` ones came long after they were
    recorded (see archive.late)."""

    segments: int = 0
    facts: int = 0
    deleted: int = 0
    doubled: int = 0
    conflicting: int = 0
    late: int = 0


def index_facts(
    connection: sqlite3.Connection,
    volume_no: int,
    facts: Iterable[Fact],
    stamp: Stamp,
    zone: ZoneInfo,
    recorder: str = "",
    absent: Collection[SegmentKey] = (),
) -> Indexed:
    """Enter `facts`, read from the volume's journal of `recorder`, into the index.

    `zone` is where civil days are counted. `absent` are segments whose files are not on the volume: where a restored
    ledger has their deletion on record they get no row, and else one like all others. Where `recorder` is "", the
    starts and ends of every recorder explain the streams' gaps, and else those of this one.
    """
    return _Batch(connection, volume_no, stamp, zone, recorder, absent).enter(list(facts))


class _Batch:
    def __init__(
        self,
        connection: sqlite3.Connection,
        volume_no: int,
        stamp: Stamp,
        zone: ZoneInfo,
        recorder: str,
        absent: Collection[SegmentKey],
    ) -> None:
        self._connection = connection
        self._volume = volume_no
        self._stamp = stamp
        self._zone = zone
        self._recorder = recorder
        self._absent = absent
        self._told = Told(connection)
        self._cameras: dict[str, int] = {}
        self._floors: dict[Floor, int] = {}
        self._spans: defaultdict[tuple[int, int], list[Span]] = defaultdict(list)
        self._days: defaultdict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0, 0, 0])
        self._gone: dict[tuple[int, int, int], list[int]] = {}
        self._hours: set[tuple[int, int, int]] = set()
        self._late: dict[str, list[Span]] = {}
        self._folders: set[tuple[str, int, int]] = set()  # as compared.FolderKey
        self._longest_loss = 0
        self._done = Indexed()

    def enter(self, facts: list[Fact]) -> Indexed:
        self._find_cameras(facts)
        others = []
        for fact in facts:
            if isinstance(fact, SegmentSealed):
                self._segment(fact)
            else:
                row = self._row(fact)
                others.append(row)
                self._hours.add((row[0], row[1], row[2] // HOUR))
        self._connection.executemany(_FACT, others)
        self._done.facts = len(others)
        self._merge_coverage()
        self._connection.executemany(_CAMERA_DAY, [(*key, *sums) for key, sums in self._days.items()])
        self._connection.executemany(_CAMERA_DAY_GONE, [(*gone, *key) for key, gone in self._gone.items()])
        longest = max((span.length_us for spans in self._spans.values() for span in spans), default=0)
        for key, length_us in ((LONGEST_SEGMENT, longest), (LONGEST_LOSS, self._longest_loss)):
            if length_us:
                self._connection.execute(_LONGEST, (key, str(length_us)))
        self._connection.executemany(_HOUR_DUE, sorted(self._hours))
        if self._late:
            note_late(self._connection, self._late)
        compared.forget(self._connection, self._volume, map(compared.FolderKey._make, self._folders))
        return self._done

    def _find_cameras(self, facts: list[Fact]) -> None:
        earliest: dict[str, int] = {}
        for fact in facts:
            if not isinstance(fact, RecorderStart | RecorderStop):
                at = fact.at_us if isinstance(fact, StreamUp | StreamDown) else fact.start_us
                earliest[fact.camera] = min(at, earliest.get(fact.camera, at))
        for camera, at in earliest.items():
            self._cameras[camera] = camera_no(self._connection, camera, create_from_journal_at_us=at)

    def _segment(self, fact: SegmentSealed) -> None:
        camera, stream = self._cameras[fact.camera], STREAM_NO[fact.stream]
        if self._told:
            name = SegmentKey(fact.camera, fact.stream, fact.start_us, fact.run, fact.seq)
            if name in self._absent and self._told.deleted(name):
                self._deleted(fact, camera, stream)
                return
        stamped = self._kept_as(fact)
        key = (camera, stream, fact.start_us, fact.run, fact.seq)
        sha256 = bytes.fromhex(fact.sha256)
        cursor = self._connection.execute(
            _SEGMENT,
            (
                *key,
                fact.end_us,
                stamped.keep_until_us,
                self._floor(stamped.floor),
                self._volume,
                fact.bytes,
                fact.frames,
                fact.keyframes,
                fact.lost_packets,
                fact.codec,
                fact.width,
                fact.height,
                fact.recovered,
                SEALED,
                sha256,
            ),
        )
        if not cursor.rowcount:
            known = self._connection.execute(
                "SELECT sha256 FROM segment WHERE camera = ? AND stream = ? AND start_us = ? AND run = ? AND seq = ?",
                key,
            ).fetchone()
            self._done.doubled += 1
            self._done.conflicting += known["sha256"] != sha256
            return
        self._done.segments += 1
        if stamped.late:
            self._done.late += 1
            self._late.setdefault(fact.camera, []).append(Span(fact.start_us, fact.end_us))
        self._folders.add((fact.camera, stream, fact.start_us // DAY))
        self._recorded(fact, camera, stream)

    def _kept_as(self, fact: SegmentSealed) -> Stamped:
        stamped = self._stamp(fact)
        if not self._told:
            return stamped
        name = SegmentKey(fact.camera, fact.stream, fact.start_us, fact.run, fact.seq)
        if self._told.doubted(name, fact.end_us):
            # Nor is its label believed now: it is counted like one that says 1970, where that keeps it longer.
            as_1970 = self._stamp(dataclasses.replace(fact, start_us=0, end_us=fact.end_us - fact.start_us))
            stamped = self._longer(stamped, as_1970, fact.end_us)
        kept = self._told.raised(name, fact.end_us, stamped.floor, stamped.keep_until_us, self._zone)
        return Stamped(*kept, late=stamped.late and not self._told.known(name))

    def _longer(self, one: Stamped, other: Stamped, end_us: int) -> Stamped:
        """The larger of the two floors, and the later of the dates that it gives."""
        floor = max(one.floor, other.floor, key=lambda floor: floor.days)
        dates = [each.keep_until_us + (floor.days - each.floor.days) * DAY for each in (one, other)]
        return Stamped(floor, max(*dates, keep_until_us(end_us, floor.days, self._zone)), one.late)

    def _deleted(self, fact: SegmentSealed, camera: int, stream: int) -> None:
        """It was recorded and has gone lawfully: no row, but its time is covered and its day counts it."""
        self._done.deleted += 1
        self._recorded(fact, camera, stream)
        gone = self._gone.setdefault((camera, stream, local_day(fact.end_us, self._zone)), [0, 0])
        gone[0] += 1
        gone[1] += fact.bytes

    def _recorded(self, fact: SegmentSealed, camera: int, stream: int) -> None:
        self._hours.add((camera, stream, fact.start_us // HOUR))
        self._hours.add((camera, stream, (fact.end_us - 1) // HOUR))
        self._spans[camera, stream].append(Span(fact.start_us, fact.end_us))
        sums = self._days[camera, stream, local_day(fact.end_us, self._zone)]
        sums[0] += 1
        sums[1] += fact.bytes
        sums[2] += fact.frames

    def _row(
        self, fact: StreamUp | StreamDown | Loss | RecorderStart | RecorderStop
    ) -> tuple[int, int, int, *tuple[object, ...]]:
        match fact:
            case StreamUp():
                # Its detail says whose starts and ends explain the gaps that follow.
                camera = self._cameras[fact.camera]
                return (camera, STREAM_NO[fact.stream], fact.at_us, "stream_up", None, None, 0, 0, self._recorder)
            case StreamDown(last_frame_us=last, cause=cause, code=code):
                camera = self._cameras[fact.camera]
                return (camera, STREAM_NO[fact.stream], fact.at_us, "stream_down", last, cause, 0, 0, code)
            case Loss(start_us=start, end_us=end, cause=cause, packets=packets, frames=frames):
                self._longest_loss = max(self._longest_loss, end - start)
                camera = self._cameras[fact.camera]
                return (camera, STREAM_NO[fact.stream], start, "loss", end, cause, packets, frames, cause)
            case RecorderStart() | RecorderStop():
                kind = "recorder_start" if isinstance(fact, RecorderStart) else "recorder_stop"
                return (0, 0, fact.at_us, kind, None, None, 0, 0, f"{fact.recorder}/{fact.run}")

    def _floor(self, floor: Floor) -> int:
        no = self._floors.get(floor)
        if no is None:
            no = self._floors[floor] = floor_no(self._connection, floor)
        return no

    def _merge_coverage(self) -> None:
        for (camera, stream), spans in self._spans.items():
            for span in union(spans):
                _cover(self._connection, camera, stream, span)


def floor_no(connection: sqlite3.Connection, floor: Floor) -> int:
    """The row number of `floor`, entered where it is new."""
    values = (floor.days, canonical_json(list(floor.rules)).decode())
    row = connection.execute("SELECT no FROM floor WHERE days = ? AND rules = ?", values).fetchone()
    if row is None:
        row = connection.execute("INSERT INTO floor (days, rules) VALUES (?, ?) RETURNING no", values).fetchone()
    no: int = row["no"]
    return no


def floor_of(connection: sqlite3.Connection, no: int) -> Floor:
    """The floor of row `no`. Raises KeyError where there is none."""
    row = connection.execute("SELECT days, rules FROM floor WHERE no = ?", (no,)).fetchone()
    if row is None:
        raise KeyError(no)
    return Floor(days=row["days"], rules=tuple(json.loads(row["rules"])))


def _cover(connection: sqlite3.Connection, camera: int, stream: int, span: Span) -> None:
    """Join `span` to the recorded spans it touches or overlaps; not to those a single microsecond away (I4)."""
    touched = []
    for start, end in connection.execute(
        "SELECT start_us, end_us FROM coverage WHERE camera = ? AND stream = ? AND start_us <= ?"
        " ORDER BY start_us DESC",
        (camera, stream, span.end_us),
    ):
        if end < span.start_us:  # spans are disjoint, so those before end earlier still
            break
        touched.append(Span(start, end))
    joined = Span(
        min([span.start_us, *(each.start_us for each in touched)]),
        max([span.end_us, *(each.end_us for each in touched)]),
    )
    if len(touched) == 1 and touched[0].start_us == joined.start_us:
        connection.execute(
            "UPDATE coverage SET end_us = ? WHERE camera = ? AND stream = ? AND start_us = ?",
            (joined.end_us, camera, stream, joined.start_us),
        )
        return
    connection.executemany(
        "DELETE FROM coverage WHERE camera = ? AND stream = ? AND start_us = ?",
        [(camera, stream, each.start_us) for each in touched],
    )
    connection.execute("INSERT INTO coverage VALUES (?, ?, ?, ?)", (camera, stream, *joined))
