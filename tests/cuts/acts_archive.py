"""What the controller does to its index and its ledger: intake, floors, the ledger's heads and copies, whole starts."""

from edged.archive.ledger import LedgerKind, append
from edged.archive.schema import STREAM_NO
from edged.base.clock import DAY, MINUTE
from edged.model import Cause, Fact, StreamKind
from edged.retain.doom import Grounds, doom_due
from edged.retain.holds import HoldExtension
from edged.retain.timekeeping import tick
from tests.archive_kit import T0, down, up, write_journal
from tests.cuts.acts_holds import wanted
from tests.cuts.box import ACT_US, RECORDER, SET_UP_US, START_US, Act, CutBox, Tells, minutes, recorded

AT_US = SET_UP_US + MINUTE


# --- intake, floors ---------------------------------------------------------------------------------------------------


async def _unread_journals(box: CutBox) -> None:
    """Two days' files that no transaction has seen, the second with a torn end; a hold waits for some of it."""
    await recorded(box, *minutes("cam-1", range(2)))
    async with box.standing(SET_UP_US) as house:
        await house.holds.place(wanted("cam-1", first=3, end=5))
    box.put(*minutes("cam-1", range(2, 6)))
    lost = T0 + 6 * MINUTE
    feed_lost: list[Fact] = [down(lost, Cause.STALLED, "cam-1", lost), up(lost + MINUTE, "cam-1")]
    write_journal(box.volume, feed_lost, recorder=RECORDER)
    box.put(*minutes("cam-2", range(2)), at_us=T0 + DAY)
    write_journal(box.volume, [b'{"v":1,"kind":"segm'], at_us=T0 + DAY, recorder=RECORDER)


async def _take_in(box: CutBox, cue: Tells) -> None:
    async with box.standing(AT_US) as house:
        cue.begin()
        await house.intake.catch_up()
        await house.evidence.keep_step()


async def _under_fifteen_days(box: CutBox) -> None:
    box.place = "other"
    await recorded(box, *minutes("cam-1", range(3)), *minutes("cam-2", range(2)))


async def _raise_floors(box: CutBox, cue: Tells) -> None:
    async with box.standing(AT_US) as house:
        cue.begin()
        report = await house.sweep.one_pass()
        assert report.raised == 5, report


# --- the ledger -------------------------------------------------------------------------------------------------------


async def _some_footage(box: CutBox) -> None:
    await recorded(box, *minutes("cam-1", range(2)))


async def _log(box: CutBox, cue: Tells) -> None:
    async with box.standing(AT_US) as house:
        cue.begin()
        for number in range(3):
            await house.database.write(append, AT_US, LedgerKind.PROOF_MADE, {"camera": "cam-1", "n": number})
            cue.told(f"entry-{number}")
            for mirror in house.proofs.mirrors:
                await mirror.catch_up()
            await house.proofs.sign()
        await house.proofs.finish()


async def _edited_copy(box: CutBox) -> None:
    """Somebody has changed a byte of the copy on the volume."""
    await recorded(box, *minutes("cam-1", range(2)))
    (copy,) = (box.volume / "ledger" / RECORDER).glob("*.ndjson")
    content = bytearray(copy.read_bytes())
    content[100] ^= 1
    copy.write_bytes(content)


async def _write_copy_anew(box: CutBox, cue: Tells) -> None:
    async with box.standing(AT_US) as house:
        cue.begin()
        await house.proofs.finish()


# --- the sweep against a hold -----------------------------------------------------------------------------------------


async def _doomed(box: CutBox) -> None:
    """A sweep was killed after its transaction and before the first file went."""
    await recorded(box, *minutes("cam-1", range(4)))
    async with box.standing(ACT_US) as house:
        await tick(house.database, house.clock, lambda: False)
        grounds = Grounds(law=house.law, clock_trusted=True, proven=frozenset({"v1"}))
        done = await house.database.write(doom_due, "cam-1", STREAM_NO[StreamKind.MAIN], grounds, 500, ACT_US)
        assert len(done.segments) == 4


async def _hold_the_doomed(box: CutBox, cue: Tells) -> None:
    async with box.standing(ACT_US) as house:
        cue.begin()
        await house.holds.place(wanted("cam-1", first=1, end=2))
        cue.told("placed")
        await house.holds.extend("hold-1", HoldExtension(end_us=T0 + 3 * MINUTE, document="letter-2", by="person-a"))
        cue.told("extended")
        await house.evidence.keep_step()


# --- whole starts -----------------------------------------------------------------------------------------------------


async def _a_busy_box(box: CutBox) -> None:
    """A hold linked, a hold released and still linked, some footage deleted, some past its floor, some not read yet."""
    await recorded(box, *minutes("cam-1", range(4)), *minutes("cam-2", range(2)))
    async with box.standing(AT_US) as house:
        await house.holds.place(wanted("cam-1", first=1, end=2))
        await house.holds.place(wanted("cam-2", end=1))
        await house.evidence.keep_step()
        for person in ("person-b", "person-c"):
            await house.holds.release("hold-2", person)
    box.put(*minutes("cam-2", range(2, 4)))


async def _lost_index(box: CutBox) -> None:
    """I2, I7: the state folder keeps its key, the index is gone."""
    await _a_busy_box(box)
    await box.start_and_stop(ACT_US)
    for file in box.state.glob("index.sqlite3*"):
        file.unlink()


async def _old_index(box: CutBox) -> None:
    """A copy of the index from before a hold was placed and footage was deleted."""
    await recorded(box, *minutes("cam-1", range(4)))
    index = box.state / "index.sqlite3"
    saved = index.read_bytes()
    async with box.standing(AT_US) as house:
        await house.holds.place(wanted("cam-1", first=1, end=2))
    await box.start_and_stop(ACT_US)
    index.write_bytes(saved)


async def _start(box: CutBox, cue: Tells) -> None:
    cue.begin()
    await box.start_and_stop(START_US)


ACTS = {
    "take in journals": Act(prepare=_unread_journals, perform=_take_in, start_us=AT_US),
    "raise floors": Act(prepare=_under_fifteen_days, perform=_raise_floors, start_us=AT_US),
    "log, sign and copy": Act(prepare=_some_footage, perform=_log, start_us=AT_US),
    "write an edited copy anew": Act(prepare=_edited_copy, perform=_write_copy_anew, start_us=AT_US),
    "hold what is doomed": Act(prepare=_doomed, perform=_hold_the_doomed),
    "start": Act(prepare=_a_busy_box, perform=_start),
    "start without an index": Act(prepare=_lost_index, perform=_start),
    "start with an old index": Act(prepare=_old_index, perform=_start),
}
