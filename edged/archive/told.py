"""What a restored ledger says about segments that the index reads anew: gone lawfully, or kept under which floor.

A journal names what was recorded, not what became of it. The ledger knows: what it has on record as deleted is not
missing, and the floor and the doubts under which a segment was first kept are not undercut by the law of today (I1).
Asked only where the ledger came back from a volume; on a box that has never lost its index it has nothing to add.
"""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from edged.archive.deletions import deleted
from edged.archive.ledger import CLOCK_TOPIC, about, floor_topic, hour_topic
from edged.archive.rebuilding import proven, restored_ranges
from edged.archive.segments import SegmentKey
from edged.base.clock import DAY, HOUR
from edged.base.spans import Span
from edged.law.counting import BELIEVED_BEHIND_US, corrected_end_us, keep_until_us
from edged.model import Floor, StreamKind

_MOST_DAYS = 36_525  # a century: more is not a floor but damage
_NEVER_TOLD = 1 << 62


Name = tuple[int, int, int]  # of a segment within its stream: start_us, run, seq


class _Record(NamedTuple):
    seq: int
    floors: dict[Name, Floor]


class _Raise(NamedTuple):
    seq: int
    at_us: int
    body: dict[str, Any]


class Told:
    """Answers for one batch, within the caller's transaction. False where there is nothing to ask."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ranges = restored_ranges(connection)
        self._records: dict[tuple[str, StreamKind, int], list[_Record]] = {}
        self._deleted: dict[tuple[str, StreamKind, int], frozenset[SegmentKey]] = {}
        self._raises: dict[str, list[_Raise]] = {}
        self._clock: list[tuple[int, int]] | None = None

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def deleted(self, key: SegmentKey) -> bool:
        """Whether its deletion is on record, under a head that was signed, and it was not spared."""
        hour = key.camera, key.stream, key.start_us // HOUR
        if hour not in self._deleted:
            found = deleted(self._connection, key.camera, key.stream, key.start_us, key.start_us)
            self._deleted[hour] = frozenset(one for one, told in found.items() if proven(self._ranges, told.seq))
        return key in self._deleted[hour]

    def known(self, key: SegmentKey) -> bool:
        """Whether its hour's record names it: it did not come late, whatever the index has lost."""
        return self._first(key) != _NEVER_TOLD

    def doubted(self, key: SegmentKey, end_us: int) -> bool:
        """Whether its label was not believed beside the retention clock when it was first told of."""
        if self._clock is None:
            # The first tick of an index says nothing of what entered it before.
            moved = (each for each in self._bodies(CLOCK_TOPIC) if each[1].get("retention_before_us") is not None)
            self._clock = [(seq, body["retention_us"]) for seq, body in moved]
        first = self._first(key)
        return any(seq < first and at - end_us > BELIEVED_BEHIND_US for seq, at in self._clock)

    def raised(self, key: SegmentKey, end_us: int, floor: Floor, keep_until: int, zone: ZoneInfo) -> tuple[Floor, int]:
        """The floor and date that the segment had: never less than what is given."""
        first = self._first(key)
        name = key.start_us, key.run, key.seq
        wanted = [one.floors[name] for one in self._hour(key) if one.seq == first]
        for one in self._camera_raises(key.camera):
            if not (first < one.seq or (first == _NEVER_TOLD and end_us <= one.at_us)):
                continue
            if "days" in one.body:
                wanted.append(Floor(days=one.body["days"], rules=tuple(one.body["rules"])))
            elif (ended := corrected_by(one.body, end_us, one.at_us)) is not None:
                keep_until = max(keep_until, keep_until_us(ended, floor.days, zone))
        for other in wanted:
            if floor.days < other.days <= _MOST_DAYS:
                later = keep_until + (other.days - floor.days) * DAY
                floor, keep_until = other, max(later, keep_until_us(end_us, other.days, zone))
        return floor, keep_until

    def _first(self, key: SegmentKey) -> int:
        name = key.start_us, key.run, key.seq
        return min((one.seq for one in self._hour(key) if name in one.floors), default=_NEVER_TOLD)

    def _hour(self, key: SegmentKey) -> list[_Record]:
        hour = key.camera, key.stream, key.start_us // HOUR
        if hour not in self._records:
            told = self._bodies(hour_topic(key.camera, key.stream.value, hour[2]))
            self._records[hour] = [_Record(seq, floors_of(body)) for seq, body in told]
        return self._records[hour]

    def _camera_raises(self, camera: str) -> list[_Raise]:
        if camera not in self._raises:
            raises = [_Raise(seq, self._at(seq), body) for seq, body in self._bodies(floor_topic(camera))]
            # Entered for a page of segments each: the last of those that say the same says it of all before.
            says = "days", "labels_from_us", "labels_to_us", "shift_us"
            alike = {tuple(map(one.body.get, says)): one for one in raises}
            self._raises[camera] = list(alike.values())
        return self._raises[camera]

    def _bodies(self, topic: str) -> list[tuple[int, dict[str, Any]]]:
        return [(seq, json.loads(self._column(seq, "body"))) for _, seq in about(self._connection, topic)]

    def _at(self, seq: int) -> int:
        return int(self._column(seq, "at_us"))

    def _column(self, seq: int, name: str) -> Any:
        return self._connection.execute(f"SELECT {name} FROM ledger WHERE seq = ?", (seq,)).fetchone()[0]


def corrected_by(body: Mapping[str, Any], end_us: int, at_us: int) -> int | None:
    """The end of footage labelled `end_us` by the correction of labels that an entry of `at_us` tells, or None."""
    labels = Span(body["labels_from_us"], body["labels_to_us"])
    return corrected_end_us(end_us, labels, body["shift_us"], at_us)


def floors_of(record: Mapping[str, Any]) -> dict[Name, Floor]:
    """The floor under which each segment stands in an hour's record (prove/hour_record.py)."""
    hour_us: int = record["hour_us"]
    floor = Floor(days=record["floor_days"], rules=tuple(record["rules"]))
    floors = {(hour_us + offset, run, seq): floor for offset, _, run, seq, *_ in record["segments"]}
    for days, rules, names in record.get("longer", ()):
        longer = Floor(days=days, rules=tuple(rules))
        floors.update({(hour_us + offset, run, seq): longer for offset, run, seq in names})
    return floors
