"""The deleting transactions: mark with a ledger entry, forget once the file is gone (I3). Nothing else deletes.

Between the two a file is unlinked. A crash at any point leaves a doomed row, which the next pass completes; a row whose
deletion is not allowed any more (a hold was placed, a floor was raised) is spared instead, if its file is still there.
"""

import heapq
import itertools
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from edged.archive.deletions import Going, announce
from edged.archive.roster import cameras, get
from edged.archive.schema import DOOMED, MISSING, STREAM_NO
from edged.archive.segments import SegmentKey, local_day, set_state
from edged.archive.told import Told
from edged.base.clock import DAY, HOUR
from edged.law.site import SiteLaw
from edged.model import StreamKind
from edged.retain.as_told import AsTold
from edged.retain.rows import (
    Held,
    StoredSegment,
    delete_row,
    find_stored,
    held_by,
    holds_in_force,
    past_floor,
)
from edged.retain.timekeeping import read_state
from edged.retain.verdict import ERASING, Ceiling, Verdict, deletable, judge

# Looked at in one transaction, so that footage that stays (under a hold, within its grace) holds up nobody.
LOOKED_AT = 500
NEVER = -(2**62)  # before its first tick the clock stands before everything: nothing is past its floor

# Tells the ledger what there is of a stream's UTC hour (counted from 1970) at an instant, where that is still owed.
TellHour = Callable[[sqlite3.Connection, str, StreamKind, int, int], None]


def all_told(connection: sqlite3.Connection, camera: str, stream: StreamKind, hour: int, now_us: int) -> None:
    """A TellHour for where no hour's record is owed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What a pass has established before it asks for deletions.

    `tell_hour` is called before an hour's footage is announced to go: an hour's record names only what is there.
    """

    law: SiteLaw
    clock_trusted: bool
    proven: frozenset[str]  # ids of the volumes whose identity was just shown
    tell_hour: TellHour = all_told

    def erase_due(self, segment: StoredSegment, at_us: int) -> tuple[int, str] | None:
        """When a segment has to go by age and by which rule, as the law stands at `at_us`; None where it need not.

        The law of a time before it was recorded never counts, nor that of a clock that has not started.
        """
        return self.law.erase_due(
            segment.situation,
            end_us=segment.end_us,
            keep_until=segment.keep_until_us,
            floor_days=segment.floor.days,
            at_us=max(at_us, segment.end_us),
        )


Stream = tuple[str, int]  # camera and stream number
Reached = dict[Stream, SegmentKey]  # by camera and stream, the last segment looked at


@dataclass(slots=True)
class Doomed:
    """What one deleting transaction marked, and what it looked at and left: counts by action.

    `more` tells that it ended at a limit; the next goes on behind `reached`.
    """

    segments: list[StoredSegment] = field(default_factory=list)
    kept: Counter[str] = field(default_factory=Counter)
    examined: int = 0
    reached: Reached = field(default_factory=dict)
    more: bool = False


def verdict_on(
    segment: StoredSegment, holds: Held, retention_us: int, grounds: Grounds, *, space_needed: bool
) -> Verdict:
    """The verdict on a stored segment as the index stands."""
    due = grounds.erase_due(segment, retention_us)
    return judge(
        segment.facts,
        held_by=held_by(holds, segment),
        retention_us=retention_us,
        space_needed=space_needed,
        ceiling=None if due is None else Ceiling(erase_due_us=due[0], rule=due[1]),
        clock_trusted=grounds.clock_trusted,
        volume_proven=segment.volume in grounds.proven,
    )


def doom_due(
    connection: sqlite3.Connection,
    camera_id: str,
    stream_no: int,
    grounds: Grounds,
    limit: int,
    now_us: int,
    behind: Reached | None = None,
) -> Doomed:
    """Mark up to `limit` segments of one stream, `behind` what was looked at, that a duty to delete or the operator's
    wish to has reached.

    Where there is neither nothing is looked at, and where there is one, nothing that is still within its grace.
    """
    retention_us = _retention_us(connection)
    camera = get(connection, camera_id)
    by_age = camera.situation.own.keep == "floor"
    if not by_age and grounds.law.decision(camera.situation, retention_us).ceiling_days is None:
        return Doomed()
    found = past_floor(
        connection,
        camera_id,
        stream_no,
        retention_us - grounds.law.grace_days * DAY,
        behind=(behind or {}).get((camera_id, stream_no)),
    )
    return _doom(connection, found, retention_us, grounds, limit, now_us)


def doom_for_space(
    connection: sqlite3.Connection,
    volume: str,
    wanted_bytes: int,
    grounds: Grounds,
    limit: int,
    now_us: int,
    behind: Reached | None = None,
    among: Iterable[Stream] | None = None,
) -> Doomed:
    """Mark up to `limit` segments on `volume`, `behind` what was looked at, the oldest of all cameras first, until they
    make up `wanted_bytes`.

    The oldest is counted by the hour: of one hour a camera's segments go together, and so have one ledger entry.
    `among` are the streams that may have some (see `may_give`); all are asked where it is None.
    """
    retention_us = _retention_us(connection)
    streams = [
        past_floor(connection, *stream, retention_us, behind=(behind or {}).get(stream), volume=volume)
        for stream in (pairs(connection) if among is None else among)
    ]
    found = heapq.merge(*streams, key=lambda segment: (*_camera_hour(segment), segment.key.start_us))
    return _doom(connection, found, retention_us, grounds, limit, now_us, wanted_bytes=wanted_bytes)


def may_give(connection: sqlite3.Connection, camera_id: str, stream_no: int, volume: str) -> bool:
    """Whether the stream has footage past its floor on `volume`.

    Asked for each stream by itself: where others have a shorter floor, all between the two has to be looked through.
    """
    found = past_floor(connection, camera_id, stream_no, _retention_us(connection), volume=volume)
    return next(found, None) is not None


def _doom(
    connection: sqlite3.Connection,
    candidates: Iterable[StoredSegment],
    retention_us: int,
    grounds: Grounds,
    limit: int,
    now_us: int,
    *,
    wanted_bytes: int | None = None,
) -> Doomed:
    done = Doomed()
    chosen: list[tuple[StoredSegment, Verdict]] = []
    holds = holds_in_force(connection)
    to_free = wanted_bytes
    hour: object = None
    of_hour = 0
    # Chosen first and changed afterwards: SQLite does not say what a query sees of rows changed under it.
    as_told = AsTold(connection, grounds.law.tz)
    for candidate in candidates:
        segment = as_told(candidate)
        if _camera_hour(segment) != hour:
            # Where another hour of that many would not fit it is left whole: one entry in the ledger instead of two.
            done.more = bool(chosen) and len(chosen) + of_hour > limit
            hour, of_hour = _camera_hour(segment), 0
        done.more |= len(chosen) >= limit or done.examined >= LOOKED_AT or (to_free is not None and to_free <= 0)
        if done.more:
            break
        done.reached[segment.key.camera, STREAM_NO[segment.key.stream]] = segment.key
        verdict = verdict_on(segment, holds, retention_us, grounds, space_needed=wanted_bytes is not None)
        done.examined += 1
        if verdict.action not in ERASING:
            done.kept[verdict.action.value] += 1
            continue
        chosen.append((segment, verdict))
        of_hour += 1
        if to_free is not None:
            to_free -= segment.bytes if segment.state != MISSING else 0
    as_told.put_back(connection)
    for camera, stream, hour in dict.fromkeys((s.key.camera, s.key.stream, s.key.start_us // HOUR) for s, _ in chosen):
        grounds.tell_hour(connection, camera, stream, hour, now_us)
    for segments, why in _alike(chosen, retention_us):
        # Announced first: the index dooms nothing that no entry names (I3).
        announce(connection, [Going(one.key, one.end_us, one.bytes, one.sha256) for one in segments], why, now_us)
        done.segments += [one for one in segments if set_state(connection, one.key, one.state, DOOMED)]
    return done


def sort_doomed(
    connection: sqlite3.Connection, keys: Iterable[SegmentKey], grounds: Grounds
) -> tuple[list[StoredSegment], list[tuple[StoredSegment, str]]]:
    """Of doomed segments, those that may go and those that must be spared, with why; others are left out.

    Asked again right before the files go, because a hold may have been placed or a floor raised since.
    """
    retention_us, holds, told = _retention_us(connection), holds_in_force(connection), Told(connection)
    go: list[StoredSegment] = []
    spare: list[tuple[StoredSegment, str]] = []
    for key in keys:
        segment = find_stored(connection, key)
        if segment is None or segment.state != DOOMED:
            continue
        if not told.deleted(key):
            spare.append((segment, "no entry of the ledger announces that it goes"))
        elif _may_go(segment, holds, retention_us, grounds):
            go.append(segment)
        else:
            verdict = verdict_on(segment, holds, retention_us, grounds, space_needed=False)
            spare.append((segment, verdict.because))
    return go, spare


def forget(connection: sqlite3.Connection, segments: Iterable[StoredSegment], grounds: Grounds) -> int:
    """Delete the rows of doomed segments whose files are gone, and keep their camera-days; returns how many.

    A row that came under a hold in the meantime stays, doomed, until the hold is released.
    """
    retention_us, holds = _retention_us(connection), holds_in_force(connection)
    forgotten = 0
    for segment in segments:
        if not _may_go(segment, holds, retention_us, grounds):
            continue
        connection.execute(
            "INSERT INTO camera_day (camera, stream, day, segments, bytes, frames, deleted_segments, deleted_bytes)"
            " VALUES (?, ?, ?, 0, 0, 0, 1, ?) ON CONFLICT DO UPDATE SET"
            " deleted_segments = deleted_segments + 1, deleted_bytes = deleted_bytes + excluded.deleted_bytes",
            (
                segment.camera_no,
                STREAM_NO[segment.key.stream],
                local_day(segment.end_us, grounds.law.tz),
                segment.bytes,
            ),
        )
        delete_row(connection, segment.key)
        forgotten += 1
    return forgotten


def _may_go(segment: StoredSegment, holds: Held, retention_us: int, grounds: Grounds) -> bool:
    return deletable(
        segment.facts,
        held_by=held_by(holds, segment),
        retention_us=retention_us,
        clock_trusted=grounds.clock_trusted,
        volume_proven=segment.volume in grounds.proven,
    )


def _retention_us(connection: sqlite3.Connection) -> int:
    state = read_state(connection)
    return NEVER if state is None else state.retention_us


def _alike(
    chosen: Iterable[tuple[StoredSegment, Verdict]], retention_us: int
) -> list[tuple[list[StoredSegment], dict[str, object]]]:
    """The chosen by what one ledger entry can say of them: one camera-hour, the same reason and floor.

    The date it names is the latest of theirs: all of them were past it.
    """
    groups: dict[object, tuple[list[StoredSegment], dict[str, object]]] = {}
    for segment, verdict in chosen:
        why = _why(segment, verdict, retention_us)
        key = *_camera_hour(segment), segment.floor, segment.volume, segment.state == MISSING
        groups.setdefault((key, verdict), ([], why))[0].append(segment)
    for segments, why in groups.values():
        why["keep_until_us"] = max(segment.keep_until_us for segment in segments)
    return list(groups.values())


def _camera_hour(segment: StoredSegment) -> tuple[int, int, int]:
    return segment.key.start_us // HOUR, segment.camera_no, STREAM_NO[segment.key.stream]


def _why(segment: StoredSegment, verdict: Verdict, retention_us: int) -> dict[str, object]:
    return {
        "volume": segment.volume,
        "floor_days": segment.floor.days,
        "action": verdict.action.value,
        "because": verdict.because,
        "rules": list(verdict.rules),
        "retention_us": retention_us,
        "file": "missing" if segment.state == MISSING else "present",
    }


def pairs(connection: sqlite3.Connection) -> list[Stream]:
    """Every stream that may have footage: camera id and stream number, removed cameras included."""
    return list(itertools.product([camera.id for camera in cameras(connection)], STREAM_NO.values()))
