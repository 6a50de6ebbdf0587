"""The judge: knows by itself when footage was truly recorded, what the law asked for it, and who held it.

It decides nothing by edged's verdict, floors or retention clock. Of edged's own words it reads only what the invariants
speak of: ledger entries, rows, coverage, and where the retention clock stands.
"""

import base64
import collections
import json
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edged.archive import coverage
from edged.archive.schema import DOOMED, MISSING, SEALED
from edged.archive.segments import SegmentKey
from edged.base.clock import DAY, HOUR, MINUTE
from edged.base.spans import Span, subtract, union
from edged.model import StreamKind
from tests.state.laws import demands_deletion, floor_days, free_from_us, longest_days
from tests.state.ledger_truth import LedgerTruth
from tests.state.world import CAMERAS, DISKS, SEGMENT_BYTES, Footage, Lost, World

ALL_TIME = Span(0, 15_000_000_000_000_000)  # to 2445
# The retention clock takes over an hour on nobody's word, and believes a wall clock five minutes behind it (DESIGN 7).
NUDGES_US = HOUR + 5 * MINUTE
BELIEVED_BEHIND_US = 5 * MINUTE


@dataclass
class HeldTruth:
    """A hold as people know it; over when two different ones have released it."""

    id: str
    cameras: set[str]
    span: Span
    first: str = ""
    released: bool = False

    def covers(self, footage: Footage) -> bool:
        return not self.released and footage.camera in self.cameras and self.span.overlaps(footage.label)


@dataclass
class Known:
    """What an index has read of the journals: footage and losses."""

    footage: set[str] = field(default_factory=set)
    lost: set[Lost] = field(default_factory=set)
    adopted: dict[str, int] = field(default_factory=dict)
    # How far the retention clock began ahead of true time: on an empty index it takes any wall clock's word.
    began_ahead_us: int | None = None

    def copy(self) -> "Known":
        return Known(set(self.footage), set(self.lost), dict(self.adopted), self.began_ahead_us)


class Oracle:
    """`index` is the file that edged keeps; `reached` counts what really happened."""

    def __init__(self, world: World, index: Path, reached: collections.Counter[str]) -> None:
        self.world = world
        self.index = index
        self.reached = reached
        self.holds: list[HeldTruth] = []
        self.known = Known()
        self.ledger = LedgerTruth()
        self.failures: list[OSError] = []  # what the next unlinks answer
        self.was_short = False  # has any volume ever been short of space
        self.laws: set[str] = set()  # that a pass has gone by
        self.late: list[Footage] = []  # came a day or more after it was recorded, by clocks that were right
        self._said: list[tuple[str, int, int]] = []  # which the ledger says came late: camera, from, to
        # Not configured when the index was lost: taken to be where the law is strictest.
        self.placeless: set[str] = set()

    # --- what edged is told ---------------------------------------------------------------------------------------

    def indexed(self, stopped: set[str]) -> None:
        """The journals have been read, but for those of the volumes in `stopped`."""
        for footage in self.world.footage:
            name = str(footage.key)
            if not footage.owed and footage.disk not in stopped and name not in self.known.footage:
                self.known.footage.add(name)
                footage.indexed_us = max(footage.indexed_us, self.world.true_us)
                right = self.world.error_us == 0 and footage.label.end_us == footage.true_end_us
                if right and self.world.true_us - footage.true_end_us > DAY and not footage.on_record:
                    self.late.append(footage)
                    self.reached["footage late"] += 1
                self.law_asks(footage, footage.true_end_us)
                self.law_asks(footage, self.world.true_us)
        self.known.lost |= {lost for lost in self.world.lost if lost.disk not in stopped}

    def adopted(self, at_us: Mapping[str, int]) -> None:
        """Cameras are adopted at these instants, unless they were before."""
        for camera, us in at_us.items():
            self.known.adopted.setdefault(camera, us)

    def read_partly(self, present: set[str], ends: Mapping[tuple[str, str], int]) -> None:
        """The reading was cut: so much footage is in the index, and so far (by disk and file) were journals read."""
        self.known.lost |= {lost for lost in self.world.lost if lost.end <= ends.get((lost.disk, lost.file), 0)}
        for footage in self.world.footage:
            if (name := str(footage.key)) in present and name not in self.known.footage:
                self.known.footage.add(name)
                footage.indexed_us = max(footage.indexed_us, self.world.true_us)

    def index_replaced(self, known: Known, told: list[bytes]) -> None:
        """The index is as it was when it knew `known` and its ledger had the lines `told`; all disks are there."""
        for camera in set(CAMERAS) - self.world.configured:
            self.world.designations[camera] = ()
            self.placeless.add(camera)
        known.adopted = dict(self.known.adopted)  # the ledger remembers
        self.known = known
        self.ledger.index_replaced(told, list(DISKS))
        for footage in self.world.footage:
            footage.on_record = False
        self.late.clear()
        self._said.clear()
        self._hear(self.ledger.lines)
        for footage in self.world.footage:
            if str(footage.key) not in known.footage and not footage.on_record:
                footage.floor_days = 0  # nobody knows any more under which law it was recorded

    def pass_begins(self) -> None:
        """The law as it is now binds all that is there."""
        self.laws.add(self.world.law)
        for footage in self.world.footage:
            if str(footage.key) in self.known.footage:
                self.law_asks(footage, self.world.true_us)

    def law_asks(self, footage: Footage, at_us: int) -> None:
        place, designations = CAMERAS[footage.camera][0], self.world.designations[footage.camera]
        days = floor_days(self.world.law, place, designations, at_us)
        if 0 < footage.floor_days < days:
            self.reached["floor raised"] += 1
        footage.floor_days = max(footage.floor_days, days)

    # --- while the sweep runs (on the volume's own thread) ----------------------------------------------------------

    def before_unlink(self, path: Path) -> None:
        """I1, I2, I3, I10 at the very instant at which a file would go."""
        real = Path(os.path.realpath(path))
        if not real.exists():
            return
        (footage,) = [each for each in self.world.footage if each.file == real]
        name, world = str(footage.key), self.world
        assert world.in_place(footage.disk), f"{name}: its volume is not in its place"
        free_from = free_from_us(footage.true_end_us, footage.floor_days)
        assert world.true_us + (NUDGES_US if world.nudged else 0) >= free_from, (
            f"I1: {name} goes {(free_from - world.true_us) / HOUR:.1f} h before its floor of {footage.floor_days} days"
        )
        holding = [hold.id for hold in self.holds if hold.covers(footage)]
        assert not holding, f"I2: {name} goes under {holding}"
        body = self._announced(footage)
        assert body is not None, f"I3: {name} goes without a committed ledger entry"
        assert self._on_record(footage), f"I3: {name} goes before its hour's record names it"
        assert body["rules"], f"I3: {name} goes without an article"
        assert body["because"], f"I3: {name} goes without a reason"
        if body["action"] == "may_erase":
            assert self.was_short, f"{name} goes, and nobody ever needed its space"
        else:
            place = "listed" if footage.camera in self.placeless else CAMERAS[footage.camera][0]
            assert any(demands_deletion(law, place) for law in self.laws), f"{name} goes, and no article demands it"
        ((retention,),) = self._observe("SELECT retention_us FROM retention_clock")
        assert int(str(retention)) <= world.clock.wall_us() + BELIEVED_BEHIND_US, f"I10: {name} goes by a clock ahead"
        if self.failures:
            self.reached["unlink failed"] += 1
            raise self.failures.pop()

    def _announced(self, footage: Footage) -> dict[str, Any] | None:
        """The newest committed entry that takes this segment, unless a later one spares it."""
        for kind, text in self._observe(
            "SELECT kind, body FROM ledger WHERE kind IN ('segments_deleted', 'segment_spared') ORDER BY seq DESC"
        ):
            body: dict[str, Any] = json.loads(str(text))
            if kind == "segment_spared":
                if body["segment"] == str(footage.key):
                    return None
            elif body["camera"] == footage.camera and body["stream"] == "main":
                at = footage.label.start_us - body["hour_us"]
                if [at, footage.label.length_us, footage.key.run, footage.key.seq] in body["segments"]:
                    return body
        return None

    def _on_record(self, footage: Footage) -> bool:
        """Whether a committed record of its hour names it."""
        hour_us = footage.key.start_us // HOUR * HOUR
        name = [footage.key.start_us - hour_us, footage.label.length_us, footage.key.run, footage.key.seq]
        records = self._observe(
            "SELECT body FROM ledger WHERE kind = 'camera_hour' AND body ->> 'camera' = ? AND body ->> 'hour_us' = ?",
            footage.camera,
            hour_us,
        )
        return any(name == one[:4] for (body,) in records for one in json.loads(str(body))["segments"])

    def after_unlink(self, path: Path) -> None:
        real = Path(os.path.realpath(path))
        for footage in self.world.footage:
            if footage.file == real:
                footage.gone = "edged"
                self.world.touch(real.parent)
                self.reached["deleted"] += 1

    def _observe(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """By a connection of its own: what is not committed is not seen."""
        connection = sqlite3.connect(self.index)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    # --- after every step -------------------------------------------------------------------------------------------

    def look_at_disks(self) -> None:
        """I1, I2: what nobody took away is there; what somebody else took away is there by its hold's link."""
        for footage in self.world.footage:
            names = self.world.names_of(footage)
            if not footage.gone:
                assert names, f"I1: {footage.key} is gone, and nobody took it"
            elif footage.linked and not names:
                # The sweep forgot a row whose file was gone, and then the link went with its hold.
                assert not any(hold.covers(footage) for hold in self.holds), f"I2: {footage.key} lost its second name"
                assert self.past_floor(footage), f"I1: {footage.key} lost its second name below its floor"
                footage.linked = False
            elif footage.gone == "outside" and footage.file.exists():
                footage.gone, footage.linked = "", False
                self.world.touch(footage.file.parent)
                self.reached["put back from a hold"] += 1

    def past_floor(self, footage: Footage) -> bool:
        slack = NUDGES_US if self.world.nudged else 0
        return self.world.true_us + slack >= free_from_us(footage.true_end_us, footage.floor_days)

    def look_at_index(self, connection: sqlite3.Connection) -> None:
        """I4, I10 and the ledger, and that the index has all that it has read."""
        self._hear(self.ledger.look(connection))
        unsaid = [str(each.key) for each in self.late if not self._said_late(each)]
        assert not unsaid, f"I4: {unsaid} came late, and the ledger does not say so"
        self._look_at_clock(connection)
        rows = {
            f"{row['id']}/main/{row['start_us']}-{row['run']}-{row['seq']}": row["state"]
            for row in connection.execute(
                "SELECT camera.id, start_us, run, seq, segment.state FROM segment JOIN camera ON no = camera"
            )
        }
        for footage in self.world.footage:
            name = str(footage.key)
            if name in self.known.footage and not footage.gone:
                assert name in rows, f"{name} lies on the disk and is missing from the index"
        for camera in CAMERAS:
            if camera in self.known.adopted:
                self._look_at_coverage(connection, camera)

    def _hear(self, lines: list[bytes]) -> None:
        for entry in map(json.loads, lines):
            if entry["kind"] == "camera_hour":
                self._look_at_record(entry["body"])
            elif entry["kind"] == "footage_late":
                body = entry["body"]
                self._said.append((body["camera"], body["from_us"], body["to_us"]))

    def _said_late(self, footage: Footage) -> bool:
        label = footage.label
        return any(c == footage.camera and a <= label.start_us and label.end_us <= b for c, a, b in self._said)

    def _look_at_record(self, body: dict[str, Any]) -> None:
        """I4: what an hour's record names was recorded, and looks as it says."""
        of_camera = {each.key: each for each in self.world.footage if each.camera == body["camera"]}
        for offset, length_us, run, seq, size, sha256 in body["segments"]:
            key = SegmentKey(body["camera"], StreamKind.MAIN, body["hour_us"] + offset, run, seq)
            assert key in of_camera, f"I4: {key} is on record and was never recorded"
            footage = of_camera[key]
            truth = footage.label.length_us, SEGMENT_BYTES, footage.sha256
            assert (length_us, size, base64.b64decode(sha256).hex()) == truth, f"I4: {key} is on record as another"
            footage.on_record = True
            self.reached["hour on record"] += 1

    def _look_at_clock(self, connection: sqlite3.Connection) -> None:
        """I10: once there is footage, the clock that deletion asks is never ahead of true time."""
        row = connection.execute("SELECT retention_us FROM retention_clock").fetchone()
        if row is None:
            return
        ahead = row[0] - self.world.true_us
        if self.known.began_ahead_us is None:
            blind = not self.known.footage and not self.world.ntp
            self.known.began_ahead_us = max(0, ahead) if blind else 0
        allowed = self.known.began_ahead_us + (NUDGES_US if self.world.nudged else 0)
        assert ahead <= allowed, f"I10: the retention clock is {ahead / HOUR:.1f} h ahead of true time"

    def _look_at_coverage(self, connection: sqlite3.Connection, camera: str) -> None:
        found = coverage.query(connection, camera, StreamKind.MAIN, ALL_TIME)
        labels = [each.label for each in self._read_of(camera)]
        lost = [each.span for each in self.known.lost if each.camera == camera]
        since = min([self.known.adopted[camera], *(label.start_us for label in labels)])
        assert found.window == Span(since, ALL_TIME.end_us), f"I4: {camera} is accounted for since another time"
        pieces = sorted([*found.recorded, *(gap.span for gap in found.gaps)])
        at = since
        for piece in pieces:
            assert piece.start_us == at, f"I4: {camera} has {piece.start_us - at} us neither recorded nor missing"
            at = piece.end_us
        assert at == ALL_TIME.end_us
        expected = [part for span in union(labels) for part in subtract(span, lost)]
        assert union(found.recorded) == union(expected), f"I4: {camera} has recorded what its journal does not say"

    def _read_of(self, camera: str) -> list[Footage]:
        return [each for each in self.world.footage if each.camera == camera and str(each.key) in self.known.footage]

    def look_after_start(self, rows: dict[str, int], fenced: set[str]) -> None:
        """I7: after journals and disks were compared, what lies on a volume that can be used stands in the index."""
        for footage in self.world.footage:
            if footage.disk in fenced or footage.owed:
                continue
            state = rows.get(str(footage.key))
            if footage.file.exists():
                assert state in (SEALED, DOOMED), f"{footage.key} lies on the disk and the index says {state}"
            elif state is not None:
                assert state in (MISSING, DOOMED), f"{footage.key} is not on the disk and the index says {state}"

    # --- progress ---------------------------------------------------------------------------------------------------

    def must_be_gone(self, still_held: list[tuple[set[str], Span]]) -> list[Footage]:
        """What a pass with a good clock, whole volumes and no room left has to have deleted.

        Labels are counted from later where the clock was ever wrong or not seen to run, and where they were read late:
        by no more than the worst of these and the delay.
        """
        doubt_us = self.world.worst_error_us + self.world.worst_unseen_us
        due = []
        for footage in self.world.footage:
            if str(footage.key) not in self.known.footage or footage.gone:
                continue
            if any(footage.camera in cameras and span.overlaps(footage.label) for cameras, span in still_held):
                continue
            late = footage.indexed_us - footage.true_end_us
            latest = max(footage.true_end_us, footage.label.end_us) + doubt_us
            if late > HOUR:
                latest = max(latest, footage.indexed_us + doubt_us)
            place = CAMERAS[footage.camera][0]
            days = longest_days(place, ("key_target",) if footage.camera in self.world.ever_designated else ())
            if free_from_us(latest, days) + DAY <= self.world.true_us:
                due.append(footage)
        return due
