"""What is done to evidence: holds, and the sweep beside them."""

from functools import partial

from edged.archive.ledger import LedgerKind
from edged.base.clock import MINUTE
from edged.base.files import working_name
from edged.retain import held_list
from edged.retain.holds import HoldExtension, HoldRequest
from edged.retain.sidecar import SIDECAR
from tests.archive_kit import T0
from tests.cuts import album
from tests.cuts.box import ACT_US, SET_UP_US, Act, CutBox, Tells, minutes, recorded


def wanted(*cameras: str, first: int = 0, end: int | None = None) -> HoldRequest:
    """A hold from minute `first` to minute `end`."""
    return HoldRequest(
        cameras=cameras,
        start_us=T0 + first * MINUTE,
        end_us=None if end is None else T0 + end * MINUTE,
        case="case-1",
        authority="authority-1",
        document="letter-1",
        placed_by="person-a",
    )


# --- a hold -----------------------------------------------------------------------------------------------------------


async def _two_cameras(box: CutBox) -> None:
    await recorded(box, *minutes("cam-1", range(3)), *minutes("cam-2", range(2)))


async def _place(box: CutBox, cue: Tells) -> None:
    async with box.standing(SET_UP_US + MINUTE) as house:
        cue.begin()
        await house.holds.place(wanted("cam-1", end=2))
        cue.told("placed")
        await house.evidence.keep_step()
        cue.told("linked")


async def _place_in_steps(box: CutBox, cue: Tells) -> None:
    """Two files a step, where two thousand are a step otherwise; the start behind the cut goes on with large ones."""
    held_list.PAGE = 2
    await _place(box, cue)


async def _place_and_copy(box: CutBox, cue: Tells) -> None:
    """Promised here is no more than what the volume has: the index is going to be lost."""
    async with box.standing(SET_UP_US + MINUTE) as house:
        cue.begin()
        await house.holds.place(wanted("cam-1", end=2))
        await house.evidence.keep_step()
        await house.proofs.finish()
        cue.told("copied")


def _lose_index(box: CutBox) -> None:
    """A folder with neither hold.json nor link in it is nobody's: the next hold of that name has it."""
    for file in box.state.glob("index.sqlite3*"):
        file.unlink()
    for folder in box.volume.glob("held/*"):
        if not [name for name in folder.iterdir() if name != working_name(folder / SIDECAR)]:
            album.remove(folder)


async def _held(box: CutBox) -> None:
    await _two_cameras(box)
    async with box.standing(SET_UP_US + MINUTE) as house:
        await house.holds.place(wanted("cam-1", end=2))
        await house.evidence.keep_step()


async def _extend(box: CutBox, cue: Tells) -> None:
    async with box.standing(SET_UP_US + 2 * MINUTE) as house:
        cue.begin()
        extension = HoldExtension(open_end=True, cameras=("cam-2",), document="letter-2", by="person-a")
        await house.holds.extend("hold-1", extension)
        cue.told("extended")
        await house.evidence.keep_step()
        cue.told("linked")


async def _release(box: CutBox, cue: Tells) -> None:
    async with box.standing(SET_UP_US + 2 * MINUTE) as house:
        cue.begin()
        await house.holds.release("hold-1", "person-b")
        cue.told("half")
        await house.evidence.keep_step()
        await house.holds.release("hold-1", "person-c")
        cue.told("released")
        await house.evidence.keep_step()
        cue.told("unlinked")


async def _held_and_stray_rm(box: CutBox) -> None:
    """I2: somebody has removed the camera's folder; the links alone keep its footage."""
    await _held(box)
    for file in sorted((box.volume / "segments" / "cam-1").rglob("*.mp4"))[:2]:
        file.unlink()


# --- the sweep --------------------------------------------------------------------------------------------------------


async def _old_footage(box: CutBox) -> None:
    """Past its floor: two cameras' footage, some of it held, some released but still linked."""
    await recorded(box, *minutes("cam-1", range(3)), *minutes("cam-2", [0, 1, 700]))
    async with box.standing(SET_UP_US + MINUTE) as house:
        await house.holds.place(wanted("cam-1", end=1))
        await house.holds.place(wanted("cam-2", end=1))
        await house.evidence.keep_step()
        await house.holds.release("hold-2", "person-b")
        await house.holds.release("hold-2", "person-c")


async def _other_place(box: CutBox) -> None:
    """The same where no law wants footage to go: it goes for space alone, and there is room."""
    box.reserve = "1MiB"
    await _old_footage(box)


async def _sweep(box: CutBox, cue: Tells) -> None:
    async with box.standing(ACT_US) as house:
        cue.begin()
        report = await house.sweep.one_pass()
        assert report.erased == 5, report
        await house.evidence.keep_step()


ACTS = {
    "place a hold": Act(prepare=_two_cameras, perform=_place),
    "place a hold in steps": Act(prepare=_two_cameras, perform=_place_in_steps),
    # The hold comes back from the ledger's copy, or from its own file where the copy had not been reached.
    "place a hold, then lose the index": Act(
        prepare=_two_cameras,
        perform=_place_and_copy,
        meanwhile=_lose_index,
        box=partial(
            CutBox,
            indifferent=frozenset({LedgerKind.ARCHIVE_REBUILT, LedgerKind.LEDGER_RESTORED, LedgerKind.HOLD_PLACED}),
        ),
    ),
    "place an immutable hold": Act(prepare=_two_cameras, perform=_place, box=partial(CutBox, immutable=True)),
    "extend an immutable hold": Act(prepare=_held, perform=_extend, box=partial(CutBox, immutable=True)),
    "release an immutable hold": Act(prepare=_held, perform=_release, box=partial(CutBox, immutable=True)),
    "extend a hold": Act(prepare=_held, perform=_extend),
    "release a hold": Act(prepare=_held, perform=_release),
    "release after a stray rm": Act(prepare=_held_and_stray_rm, perform=_release),
    "sweep": Act(prepare=_old_footage, perform=_sweep),
    # On a disk that wants more room than it has.
    "sweep for space": Act(
        prepare=_other_place, perform=_sweep, box=partial(CutBox, jurisdiction="national", reserve="1000TiB")
    ),
}
