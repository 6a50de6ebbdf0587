"""I2: a hold acts at once, is released by two different people, and wins every race against the sweep."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from edged.archive.ledger import LedgerKind
from edged.archive.schema import DOOMED, SEALED
from edged.base.clock import DAY, HOUR, MINUTE
from edged.base.errors import Refused
from edged.retain.doom import Grounds, doom_due, doom_for_space
from edged.retain.gate import Gate
from edged.retain.holds import BadHold, HoldRequest, NoSuchHold, ReleaseRefused, place_hold
from edged.retain.rows import held_by, holds_in_force
from tests.retaining import START_US, House, house

REQUEST = HoldRequest(
    cameras=("cam-a",), start_us=0, end_us=None, case="case-1", authority="unit-1", document="letter-1", placed_by="p"
)


def with_changes(**changes: object) -> HoldRequest:
    fields = {name: getattr(REQUEST, name) for name in HoldRequest.__slots__}
    return HoldRequest(**(fields | changes))


async def test_a_hold_is_placed_listed_and_in_the_ledger(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        await box.camera("cam-b")
        placed = await box.hold("cam-b", "cam-a", "cam-a", start_us=START_US, end_us=START_US + HOUR)
        assert placed.cameras == ("cam-a", "cam-b")
        assert await box.holds.list() == [placed]
        (entry,) = await box.told(LedgerKind.HOLD_PLACED)
        assert entry.body == {
            "hold": placed.id,
            "cameras": ["cam-a", "cam-b"],
            "start_us": START_US,
            "end_us": START_US + HOUR,
            "case": "case-1",
            "authority": "authority-1",
            "document": "letter-1",
            "placed_by": "person-a",
        }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cameras": ()}, "at least one camera"),
        ({"cameras": ("cam-a", "cam-z")}, "no camera cam-z"),
        ({"case": " \t"}, "case is empty"),
        ({"authority": ""}, "authority is empty"),
        ({"document": ""}, "document is empty"),
        ({"placed_by": ""}, "placed_by is empty"),
        ({"start_us": 5, "end_us": 5}, "ends before it begins"),
    ],
)
async def test_a_hold_that_makes_no_sense_is_refused_and_leaves_nothing(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        with pytest.raises(BadHold, match=said):
            await box.holds.place(with_changes(**changes))
        assert await box.holds.list(released=True) == []
        assert await box.told(LedgerKind.HOLD_PLACED) == []


async def test_i2_two_different_people_release(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        hold = await box.hold("cam-a", start_us=0)
        first = await box.holds.release(hold.id, "Person One")
        assert (first.release1_by, first.released_us) == ("Person One", None)
        for same in ("Person One", "person  one", " PERSON ONE ", "personone", "Ｐerson One"):
            with pytest.raises(ReleaseRefused, match="has released hold-1 already"):
                await box.holds.release(hold.id, same)
        assert [h.id for h in await box.holds.list()] == [hold.id]
        box.clock.advance(60)
        done = await box.holds.release(hold.id, "Person Two")
        assert (done.release2_by, done.released_us) == ("Person Two", START_US + 60_000_000)
        assert await box.holds.list() == []
        with pytest.raises(ReleaseRefused, match="released already"):
            await box.holds.release(hold.id, "Person Three")
        assert [e.body for e in await box.told(LedgerKind.HOLD_RELEASE_FIRST)] == [
            {"hold": "hold-1", "by": "Person One"}
        ]
        assert [e.body for e in await box.told(LedgerKind.HOLD_RELEASED)] == [
            {"hold": "hold-1", "first": "Person One", "second": "Person Two"}
        ]


async def test_a_release_names_a_hold_and_a_person(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        await box.hold("cam-a", start_us=0)
        with pytest.raises(NoSuchHold):
            await box.holds.release("hold-9", "Person One")
        with pytest.raises(Refused, match="is empty"):
            await box.holds.release("hold-1", "  ")


async def test_i2_the_database_itself_refuses_a_release_by_one_person(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        await box.hold("cam-a", start_us=0)
        with pytest.raises(sqlite3.IntegrityError):
            await box.sql("UPDATE hold SET released_us = 1, release2_by = 'x'")
        await box.holds.release("hold-1", "Person One")
        with pytest.raises(sqlite3.IntegrityError):
            await box.sql("UPDATE hold SET released_us = 1, release2_by = 'PERSON ONE'")
        with pytest.raises(sqlite3.IntegrityError, match="never deleted"):
            await box.sql("DELETE FROM hold")


async def doom_one(box: House, camera: str) -> None:
    """What a sweep leaves when the power goes right after its deleting transaction."""
    grounds = Grounds(law=box.law, clock_trusted=True, proven=frozenset({"disk-0"}))
    done = await box.database.write(doom_due, camera, 0, grounds, 100, box.clock.wall_us())
    assert done.segments


async def test_i2_a_hold_placed_after_the_mark_and_before_the_unlink_wins(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        await box.camera("cam-b")
        held, other = await box.record("cam-a"), await box.record("cam-b")
        await box.tick()
        box.clock.advance(40 * 86400)
        await box.tick()
        await doom_one(box, "cam-a")
        await doom_one(box, "cam-b")
        await box.hold("cam-a", start_us=START_US - HOUR, end_us=START_US + HOUR)
        row = await box.row(held)
        assert row is not None
        assert row.state == SEALED
        (spared,) = await box.told(LedgerKind.SEGMENT_SPARED)
        assert spared.body["segment"] == str(held)
        report = await box.one_pass()
        assert box.file(held).exists()
        assert not box.file(other).exists()
        assert report.erased == 1
        assert report.kept["held"] == 1


async def test_i2_a_hold_placed_past_a_hanging_disk_is_honoured_by_the_next_pass(tmp_path: Path) -> None:
    """Where a disk hangs the hold is placed without looking at files; the sweep looks before it unlinks."""
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        key = await box.record("cam-a")
        await box.tick()
        box.clock.advance(40 * 86400)
        await box.tick()
        await doom_one(box, "cam-a")
        await box.database.write(place_hold, REQUEST, box.clock.wall_us())
        report = await box.one_pass()
        assert (report.erased, report.spared) == (0, 1)
        assert box.file(key).exists()
        row = await box.row(key)
        assert row is not None
        assert row.state == SEALED
        (entry,) = await box.told(LedgerKind.SEGMENT_SPARED)
        assert (entry.body["segment"], entry.body["because"]) == (str(key), "under evidence hold hold-1")


async def test_i1_a_floor_raised_after_the_mark_and_before_the_unlink_wins(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a", "other")
        key = await box.record("cam-a")
        await box.tick()
        box.clock.advance(20 * 86400)
        await box.tick()
        grounds = Grounds(law=box.law, clock_trusted=True, proven=frozenset({"disk-0"}))
        await box.database.write(doom_for_space, "disk-0", 1, grounds, 10, box.clock.wall_us())
        await box.camera("cam-a", "listed")
        report = await box.one_pass()
        assert (report.raised, report.erased, report.spared) == (1, 0, 1)
        assert box.file(key).exists()


async def test_a_file_that_went_before_the_hold_is_not_called_back(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        gone = await box.record("cam-a")
        await box.tick()
        box.clock.advance(40 * 86400)
        await box.tick()
        await doom_one(box, "cam-a")
        box.file(gone).unlink()
        hold = await box.hold("cam-a", start_us=0)
        report = await box.one_pass()
        row = await box.row(gone)
        assert row is not None
        assert row.state == DOOMED  # its row waits for the release: the database refuses to forget what is held
        assert report.erased == 0
        await box.release(hold.id)
        assert (await box.one_pass()).erased == 1
        assert await box.row(gone) is None


class StoppingGate(Gate):
    """Stops the sweep's thread before its third file until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.asked = 0

    def stop_asked(self) -> bool:
        self.asked += 1
        if self.asked == 3:
            self.reached.set()
            assert self.go_on.wait(20)
        return super().stop_asked()

    def hold_waits(self) -> bool:
        return super().stop_asked()


async def test_i2_a_hold_stops_a_deletion_under_way_after_the_file_it_is_at(tmp_path: Path) -> None:
    gate = StoppingGate()
    async with house(tmp_path, gate=gate) as box:
        await box.camera("cam-a")
        keys = [await box.record("cam-a", START_US + n * MINUTE) for n in range(5)]
        await box.tick()
        box.clock.advance(40 * 86400)
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            sweeping = group.create_task(box.one_pass())
            while not gate.reached.is_set():
                await asyncio.sleep(0.001)
            placing = group.create_task(box.hold("cam-a", start_us=0))
            while not gate.hold_waits():
                await asyncio.sleep(0.001)
            assert not placing.done()
            gate.go_on.set()
        assert sweeping.result().erased == 2
        assert [box.file(key).exists() for key in keys] == [False, False, True, True, True]
        rows = [await box.row(key) for key in keys]
        assert [row.state if row else None for row in rows] == [None, None, SEALED, SEALED, SEALED]
        await box.one_pass()
        assert [box.file(key).exists() for key in keys] == [False, False, True, True, True]


async def test_the_gate_lets_a_hold_through_when_a_disk_hangs() -> None:
    gate = Gate()
    async with gate.deleting():
        async with gate.placing(0.01) as undisturbed:
            assert not undisturbed
            assert gate.stop_asked()
        assert not gate.stop_asked()
    async with gate.placing(0.01) as undisturbed:
        assert undisturbed
    async with asyncio.timeout(1), gate.deleting():
        pass


async def test_a_hold_covers_what_is_recorded_after_it(tmp_path: Path) -> None:
    async with house(tmp_path) as box:
        await box.camera("cam-a")
        await box.hold("cam-a", start_us=START_US)
        box.clock.advance(86400)
        later = await box.record("cam-a")
        earlier = await box.record("cam-a", START_US - DAY)
        row, before = await box.row(later), await box.row(earlier)
        assert row is not None
        assert before is not None
        holds = await box.database.read(holds_in_force)
        assert held_by(holds, row) == ("hold-1",)
        assert held_by(holds, before) == ()
