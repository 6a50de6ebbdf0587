"""What changes around the footage: volumes, the roster, the configuration, the clock, what a disk does to a file."""

import asyncio
from functools import partial

from edged.app.house import House
from edged.app.rebuild import rebuild
from edged.archive.ledger import LedgerKind
from edged.archive.segments import segments_in
from edged.base.clock import DAY, HOUR, MINUTE
from edged.base.spans import Span
from edged.discover.found import Change, Found
from edged.model import StreamKind
from edged.prove import hours
from edged.retain.pressure import Room
from edged.retain.timekeeping import confirm, reading
from tests.archive_kit import T0
from tests.cuts.acts_holds import wanted
from tests.cuts.box import ACT_US, SET_UP_US, Act, CutBox, Tells, minutes, recorded, set_up

AT_US = SET_UP_US + MINUTE
HOURS_US = T0 + 5 * HOUR + 30 * MINUTE
LATE_US = T0 + 3 * DAY
FULL = Room(size_bytes=1 << 30, free_bytes=1 << 20, reserve_bytes=1 << 28, exhausted=True)
ROOMY = Room(size_bytes=1 << 30, free_bytes=1 << 29, reserve_bytes=1 << 28, exhausted=False)


async def _some_footage(box: CutBox) -> None:
    await recorded(box, *minutes("cam-1", range(3)), *minutes("cam-2", range(2)))


# --- volumes, configuration -------------------------------------------------------------------------------------------


async def _nothing(box: CutBox) -> None:
    set_up(box)


async def _start(box: CutBox, cue: Tells) -> None:
    cue.begin()
    await box.start_and_stop(AT_US)


async def _under_another_configuration(box: CutBox) -> None:
    """Two cameras under an older law, and a third that is not configured any more."""
    box.cameras, box.at_least, box.pack_note = ("cam-1", "cam-2", "cam-3"), 1, ""
    await recorded(box, *minutes("cam-1", range(2)), *minutes("cam-3", range(2)))


# --- the roster -------------------------------------------------------------------------------------------------------


async def _adopt_and_remove(box: CutBox, cue: Tells) -> None:
    found = Found(
        camera_id="cam-3",
        change=Change.NEW,
        differs=(),
        endpoint_reference="endpoint-3",
        serial="serial-3",
        address="192.0.2.3",
        xaddr="http://192.0.2.3/onvif/device_service",
        manufacturer="maker",
        model="model",
        firmware="1",
        clock_offset_us=None,
        profiles=(),
        main_profile="main",
        stream_uri="rtsp://192.0.2.3/main",
        problem=None,
    )
    async with box.standing(AT_US) as house:
        cue.begin()
        await house.keeper.found(found)
        cue.told("found")
        await house.keeper.adopt("cam-3", "person-a")
        cue.told("adopted")
        await house.keeper.remove("cam-3", "person-a")
        cue.told("removed")


async def _stop_and_resume(box: CutBox, cue: Tells) -> None:
    """A full disk stops a camera until there is room; a start that finds room resumes it."""
    async with box.standing(AT_US) as house:
        cue.begin()
        await house.keeper.settle_space("v1", {"cam-2": 500_000}, FULL)
        cue.told("stopped")
        await house.keeper.settle_space("v1", {}, ROOMY)
        cue.told("resumed")


# --- the clock, hours -------------------------------------------------------------------------------------------------


async def _long_ago(box: CutBox) -> None:
    """Recorded before the box was off for weeks: nobody vouches for what the clock says since."""
    box.rebooted = False
    await _some_footage(box)


async def _confirm(box: CutBox, cue: Tells) -> None:
    async with box.standing(ACT_US) as house:
        cue.begin()
        for person in ("person-a", "person-b"):
            await house.database.write(confirm, person, reading(house.clock))
            cue.told(person)
        await house.sweep.one_pass()


async def _tell_hours(box: CutBox, cue: Tells) -> None:
    """Four hours of two cameras, two in one transaction where eight are otherwise."""
    hours.HOURS_AT_ONCE = 2
    async with box.standing(HOURS_US) as house:
        await house.sweep.one_pass()
        cue.begin()
        assert await house.hours.one_pass() == 8


# --- footage ----------------------------------------------------------------------------------------------------------


async def _late(box: CutBox) -> None:
    """A disk's journal that nobody has read for days."""
    await _some_footage(box)
    box.put(*minutes("cam-1", range(3, 6)), *minutes("cam-2", range(2, 4)))


async def _take_in_late(box: CutBox, cue: Tells) -> None:
    async with box.standing(LATE_US) as house:
        cue.begin()
        await house.intake.catch_up()


async def _decayed(box: CutBox) -> None:
    await _some_footage(box)
    _turn_a_bit(box)


async def _mended(box: CutBox) -> None:
    """What was found altered is again what was recorded: somebody has a copy."""
    await _decayed(box)
    async with box.standing(AT_US) as house:
        assert await _look_at_all(house) == ["altered", "sound", "sound"]
    _turn_a_bit(box)


def _turn_a_bit(box: CutBox) -> None:
    file = box.file(minutes("cam-1", [1])[0])
    content = bytearray(file.read_bytes())
    content[10] ^= 1
    file.write_bytes(content)


async def _scrub(box: CutBox, cue: Tells) -> None:
    async with box.standing(AT_US) as house:
        cue.begin()
        await _look_at_all(house)
        cue.told("looked at")


async def _look_at_all(house: House) -> list[str]:
    rows = await house.database.read(segments_in, "cam-1", StreamKind.MAIN, Span(T0, AT_US))
    return sorted((await house.scrub.now(rows)).values())


async def _whole_box(box: CutBox) -> None:
    """Something held, something half released, something deleted."""
    await _some_footage(box)
    async with box.standing(AT_US) as house:
        await house.holds.place(wanted("cam-1", first=1, end=2))
        await house.holds.place(wanted("cam-2", end=1))
        await house.holds.release("hold-2", "person-b")
    await box.start_and_stop(ACT_US)


async def _rebuild(box: CutBox, cue: Tells) -> None:
    cue.begin()
    await asyncio.to_thread(rebuild, box.config, box.clock(ACT_US + MINUTE))
    cue.told("rebuilt")


ACTS = {
    "first start": Act(
        prepare=_nothing,
        perform=_start,
        start_us=AT_US,
        box=partial(CutBox, indifferent=frozenset({LedgerKind.ARCHIVE_REBUILT})),
    ),
    "change the configuration": Act(
        prepare=_under_another_configuration,
        perform=_start,
        start_us=AT_US,
        box=partial(CutBox, at_least=40, pack_note="# amended"),
    ),
    "adopt and remove a camera": Act(prepare=_some_footage, perform=_adopt_and_remove, start_us=AT_US),
    "stop a camera on a full disk": Act(
        prepare=_some_footage, perform=_stop_and_resume, start_us=AT_US, box=partial(CutBox, awaits=("space",))
    ),
    "confirm the clock": Act(prepare=_long_ago, perform=_confirm, box=partial(CutBox, rebooted=True)),
    "tell hours": Act(
        prepare=_some_footage,
        perform=_tell_hours,
        start_us=HOURS_US,
        box=partial(CutBox, awaits=("hours",), telling=frozenset({LedgerKind.CAMERA_HOUR})),
    ),
    "take in late footage": Act(prepare=_late, perform=_take_in_late, start_us=LATE_US),
    "find a file altered": Act(prepare=_decayed, perform=_scrub, start_us=AT_US, box=partial(CutBox, decays=True)),
    "find a file sound again": Act(prepare=_mended, perform=_scrub, start_us=AT_US),
    "rebuild the archive": Act(
        prepare=_whole_box,
        perform=_rebuild,
        box=partial(CutBox, indifferent=frozenset({LedgerKind.ARCHIVE_REBUILT, LedgerKind.LEDGER_RESTORED})),
    ),
}
